"""Recurrent decoders with attention: one class per order of attention and recurrence, registered in `DECODERS`.

B sentences, W hypotheses of each, N = B * W rows, T target steps, S source positions; E size of the embeddings, M of
the memory, Q of the top cell's state, H of the features that the head reads.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.ids import UNK
from seq2seq.nn.attention.attention import Attention
from seq2seq.nn.attention.multihead import MultiHeadAttention
from seq2seq.nn.interface import Cached, EncoderOutput, Memory, Output, State
from seq2seq.nn.ops.dropout import Dropout, keep_scales
from seq2seq.nn.ops.linear import Linear
from seq2seq.nn.ops.scan import scan
from seq2seq.nn.rnn.cells import RecurrentCell
from seq2seq.nn.rnn.encoder import Bridge


class StepInput(NamedTuple):
    """The input of a step, computed off the recurrence: of one step (N, ...), of all steps (T, B, ...)."""

    projected: Tensor  # (..., N, gates) for the first cell
    embedded: Tensor  # (..., N, E)
    # (..., layers, N, max(Q, H)) factors: below each upper cell, and last of the features
    dropout: Tensor | None = None


class StepOutput(NamedTuple):
    """The output of a step, besides the next state."""

    features: Tensor  # (N, H)
    maps: Tensor  # (N, heads, S)
    parts: Tensor | None = None  # (N, M + Q + E) context, state and input, for a head that reads them


class Context(NamedTuple):
    """The result of attention for N rows."""

    vector: Tensor  # (N, M)
    maps: Tensor  # (N, heads, S)


class Recurrence(NamedTuple):
    """A step of the cells and of attention, in either order."""

    top: Tensor  # (N, Q) output of the top cell
    cells: State  # the next state of every cell
    context: Context


class Readout(NamedTuple):
    """How the features are made of context, state and input."""

    activate: Callable[[Tensor], Tensor]
    pieces: int = 1  # times the features that it is made from
    embedded: bool = False  # whether it reads the input
    bias: bool = False


def maxout(x: Tensor) -> Tensor:
    """(..., 2 H) -> (..., H), the larger of each pair  (Goodfellow et al. 2013, section 2)."""
    return x.unflatten(-1, (-1, 2)).amax(-1)


READOUTS: dict[str, Readout | None] = {
    "tanh": Readout(torch.tanh),  # tanh(W [c; h])  (Luong et al. 2015, eq. 5)
    "linear": Readout(lambda x: x, bias=True),  # V [h; c] + b  (See et al. 2017, eq. 4)
    # max of pairs of U h + V E y + C c + b  (Bahdanau et al. 2015, section A.2.2)
    "maxout": Readout(maxout, pieces=2, embedded=True, bias=True),
    "state": None,  # the decoder's state alone  (Wu et al. 2016, figure 1)
}


class RecurrentDecoder(nn.Module):
    """What all orders share: embedding, cells, attention, readout, and the loop over time."""

    cells: Sequence[RecurrentCell]
    fed: ClassVar[str] = ""  # what enters the first cell beside the embedding: "features", "context", or nothing
    carried: ClassVar[bool] = False  # whether that is of the step before, so that the state carries it
    upper_context: ClassVar[bool] = False  # whether the context enters the upper cells, too

    def __init__(
        self,
        embedding: nn.Embedding,
        cells: Sequence[RecurrentCell],
        attention: Attention | MultiHeadAttention,
        bridge: Bridge,
        *,
        memory_size: int,
        feature_size: int,
        dropout: float = 0.0,
        residual: int = 0,
        readout: Readout | None = READOUTS["tanh"],
        keeps_parts: bool = False,
    ) -> None:
        """residual: as in the encoder. keeps_parts: the output has `parts`."""
        super().__init__()
        self.embedding, self.attention, self.bridge, self.memory_size = embedding, attention, bridge, memory_size
        self.cells = nn.ModuleList(cells)  # type: ignore[assignment]
        self.readout, self.feature_size, self.keeps_parts = readout, feature_size, keeps_parts
        if readout is not None:
            read = memory_size + cells[-1].size + (embedding.embedding_dim if readout.embedded else 0)
            self.combine = Linear(read, readout.pieces * feature_size, bias=readout.bias)
        self.dropout, self.residual = Dropout(dropout), residual or len(cells) + 1

    def cache(self, encoded: EncoderOutput, source: Tensor, mask: Tensor) -> Cached:
        """What attention computes once per source, and what the bridge reads."""
        cached = self.attention.cache(encoded.states)
        for name, value in (("ends", encoded.ends), ("cells", encoded.cells)):
            if name in self.bridge.reads and value is not None:
                cached[name] = value
        return cached

    def start(self, memory: Memory, capacity: int | None = None) -> State:
        """The first state. It has one size however long the target, so `capacity` makes no difference."""
        rows = memory.mask.size(0)
        state = {"number": torch.zeros(rows, dtype=torch.long, device=memory.mask.device)}
        if self.carried:
            size = self.feature_size if self.fed == "features" else self.memory_size
            state["feed"] = memory.states.new_zeros(rows, size)
        for layer, (cell, initial) in enumerate(zip(self.cells, self.bridge(memory), strict=True)):
            state |= {f"{name}{layer}": value for name, value in (cell.start(initial["hidden"]) | initial).items()}
        if self.attention.direction is not None:
            state["covered"] = torch.zeros_like(memory.states[..., 0], dtype=torch.float32)
        return state

    def select(self, rows: Tensor, state: State) -> State:
        """As interface.Model."""
        return {name: value.index_select(0, rows.flatten()) for name, value in state.items()}

    def decode(self, target_in: Tensor, memory: Memory, attention: bool = False) -> Output:
        """All steps of a known target (B, T) -> features (B, T, H)."""
        steps, _ = scan(partial(self.advance, memory=memory), self.inputs(target_in.t()), self.start(memory))
        return self.output(steps.features, steps.maps.transpose(1, 2), steps.parts, attention)

    def step(self, token: Tensor, state: State, memory: Memory, attention: bool = False) -> tuple[Output, State]:
        """One step: token (N,) -> features (N, H), and the next state."""
        output, state = self.advance(self.inputs(token), state, memory)
        return self.output(output.features, output.maps, output.parts, attention), state

    def inputs(self, token: Tensor) -> StepInput:
        """Ids (..., N), those beyond the vocabulary read as UNK -> the inputs of one step, or of all."""
        token = token.where(token < self.embedding.num_embeddings, UNK)
        embedded = self.dropout(self.embedding(token))
        projected = self.cells[0].project(embedded)
        if not self.training or not self.dropout.p:
            return StepInput(projected, embedded)
        *steps, rows = token.shape
        size = (*steps, len(self.cells), rows, max(self.cells[-1].size, self.feature_size))
        return StepInput(projected, embedded, keep_scales(size, self.dropout.p, like=projected))

    def advance(self, inputs: StepInput, state: State, memory: Memory) -> tuple[StepOutput, State]:
        """One step of the recurrence for N rows."""
        top, cells, context = self.recur(inputs, state, memory)
        features = self.read_out(inputs, top, context.vector, state)
        new = cells | {"number": state["number"] + 1}
        if "covered" in state:
            new["covered"] = state["covered"] + context.maps[:, 0]
        if self.carried:
            new["feed"] = features if self.fed == "features" else context.vector
        parts = torch.cat((context.vector, top, inputs.embedded), -1) if self.keeps_parts else None
        return StepOutput(features, context.maps, parts), new

    def recur(self, inputs: StepInput, state: State, memory: Memory) -> Recurrence:
        """The cells and attention, in the order of the subclass."""
        raise NotImplementedError

    def first_cell(self, inputs: StepInput, fed: Tensor | None, state: State) -> State:
        """The next state of the first cell; fed (N, H or M) enters it beside the embedding."""
        cell = self.cells[0]
        return cell(inputs.projected, fed, {name: state[f"{name}0"] for name in cell.parts})

    def upper_cells(
        self, inputs: StepInput, first: State, state: State, context: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """The first cell's next state -> output of the top cell (N, Q), next states of all cells; context (N, M)
        enters the upper ones."""
        top, states = first["hidden"], {f"{name}0": value for name, value in first.items()}
        for layer, cell in enumerate(self.cells[1:], 1):
            below = top
            cell_input = top if inputs.dropout is None else top * inputs.dropout[layer - 1, :, : cell.size]
            cell_input = cell_input if context is None else torch.cat((cell_input, context), -1)
            new = cell(cell.project(cell_input), None, {name: state[f"{name}{layer}"] for name in cell.parts})
            top = new["hidden"] + below if layer + 1 >= self.residual else new["hidden"]
            states |= {f"{name}{layer}": value for name, value in new.items()}
        return top, states

    def attend(self, query: Tensor, state: State, memory: Memory) -> Context:
        """query (N, Q) -> the context; the W rows of a sentence share its memory, in the place of T steps."""
        B = memory.mask.size(0)
        covered = state["covered"].unflatten(0, (B, -1)) if "covered" in state else None
        step = state["number"].unflatten(0, (B, -1))
        attended = self.attention(query.unflatten(0, (B, -1)), memory, step, covered)
        maps = attended.weights.unsqueeze(2) if attended.maps is None else attended.maps  # (B, W, heads, S)
        return Context(attended.context.flatten(0, 1), maps.flatten(0, 1))

    def read_out(self, inputs: StepInput, top: Tensor, context: Tensor, state: State) -> Tensor:
        """Top cell's output (N, Q), context (N, M) and input -> features (N, H)."""
        features = self.readout_state(top, state)
        if self.readout is not None:
            parts = (context, features, inputs.embedded) if self.readout.embedded else (context, features)
            features = self.readout.activate(self.combine(torch.cat(parts, -1)))
        return features if inputs.dropout is None else features * inputs.dropout[-1, :, : features.size(-1)]

    def readout_state(self, top: Tensor, state: State) -> Tensor:
        """The state that the readout reads (N, Q): of this step, or of the one before."""
        return top

    def output(self, features: Tensor, maps: Tensor, parts: Tensor | None, attention: bool) -> Output:
        """maps (N, heads, S) or (B, heads, T, S) -> the output with their mean over the heads, and with all of them if
        asked for."""
        weights = maps.squeeze(1) if maps.size(1) == 1 else maps.mean(1)
        return Output(features, weights, maps.unsqueeze(1) if attention else None, parts)


class LuongDecoder(RecurrentDecoder):
    """h_t = cell(y_{t-1}, h_{t-1}), then attend with h_t  (Luong et al. 2015, section 3); nothing is fed back."""

    def recur(self, inputs: StepInput, state: State, memory: Memory) -> Recurrence:
        first = self.first_cell(inputs, state.get("feed"), state)
        top, cells = self.upper_cells(inputs, first, state)
        return Recurrence(top, cells, self.attend(top, state, memory))


class InputFeedingDecoder(LuongDecoder):
    """Luong's order with the attentional state fed to the next step  (Luong et al. 2015, section 3.3)."""

    fed, carried = "features", True


class ContextFeedingDecoder(LuongDecoder):
    """Luong's order with the context fed to the next step  (code of See et al. 2017)."""

    fed, carried = "context", True


class BahdanauDecoder(RecurrentDecoder):
    """Attend with h_{t-1}, then h_t = cell(y_{t-1}, c_t, h_{t-1})  (Bahdanau et al. 2015, eq. 4-6)."""

    fed = "context"

    def recur(self, inputs: StepInput, state: State, memory: Memory) -> Recurrence:
        context = self.attend(state[f"hidden{len(self.cells) - 1}"], state, memory)
        first = self.first_cell(inputs, context.vector, state)
        top, cells = self.upper_cells(inputs, first, state)
        return Recurrence(top, cells, context)


class BahdanauPreviousDecoder(BahdanauDecoder):
    """The same, with h_{t-1} in the readout  (Bahdanau et al. 2015, section A.2.2 and code, against their eq. 4)."""

    def readout_state(self, top: Tensor, state: State) -> Tensor:
        return state[f"hidden{len(self.cells) - 1}"]


class GNMTDecoder(RecurrentDecoder):
    """Attend with the first layer's h_{t-1}; the context enters every cell of the step  (Wu et al. 2016, section 3)."""

    fed, upper_context = "context", True

    def recur(self, inputs: StepInput, state: State, memory: Memory) -> Recurrence:
        context = self.attend(state["hidden0"], state, memory)
        first = self.first_cell(inputs, context.vector, state)
        top, cells = self.upper_cells(inputs, first, state, context=context.vector)
        return Recurrence(top, cells, context)


class GNMT2Decoder(RecurrentDecoder):
    """Attend with the first layer's h_t; the context enters the upper cells, and the first one of the next
    step  (gnmt_v2 of tf/nmt: Luong et al. 2017)."""

    fed, carried, upper_context = "context", True, True

    def recur(self, inputs: StepInput, state: State, memory: Memory) -> Recurrence:
        first = self.first_cell(inputs, state["feed"], state)
        context = self.attend(first["hidden"], state, memory)
        top, cells = self.upper_cells(inputs, first, state, context=context.vector)
        return Recurrence(top, cells, context)


DECODERS: dict[tuple[str, str], type[RecurrentDecoder]] = {  # (model.order, what distinguishes decoders of one order)
    ("luong", ""): LuongDecoder,
    ("luong", "attentional"): InputFeedingDecoder,
    ("luong", "context"): ContextFeedingDecoder,
    ("bahdanau", "new"): BahdanauDecoder,
    ("bahdanau", "previous"): BahdanauPreviousDecoder,
    ("gnmt", ""): GNMTDecoder,
    ("gnmt_v2", ""): GNMT2Decoder,
}
