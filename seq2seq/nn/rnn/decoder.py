"""How does a recurrent encoder-decoder write? One decoder per order of attention and recurrence, one row per decoder in DECODERS."""

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.ids import UNK
from seq2seq.nn.attention.attention import Attention
from seq2seq.nn.attention.multihead import MultiHeadAttention
from seq2seq.nn.attention.scorers import Cached
from seq2seq.nn.interface import EncoderOutput, Memory, Output, State
from seq2seq.nn.ops.dropout import Dropout, kept
from seq2seq.nn.ops.linear import Linear
from seq2seq.nn.ops.scan import Plain, for_a_loop
from seq2seq.nn.rnn.cells import RecurrentCell
from seq2seq.nn.rnn.encoder import Bridge


class StepInput(NamedTuple):
    """What a step is given, all of it off the recurrence."""

    gates: Tensor  # (..., gates) of the first cell, from the embedding
    embedded: Tensor  # (..., E)


class StepOutput(NamedTuple):
    """What one step of the recurrence yields."""

    features: Tensor  # (N, H)
    maps: Tensor  # (N, heads, S)
    state: State
    parts: Tensor | None = None  # (N, M + Q + E) context, state and input, for a head that reads them


class Readout(NamedTuple):
    """What is made of context, state and input before the head."""

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
    "maxout": Readout(
        maxout, 2, embedded=True, bias=True
    ),  # max of pairs of U h + V E y + C c + b  (Bahdanau et al. 2015, section A.2.2)
    "state": None,  # the decoder's state alone  (Wu et al. 2016, figure 1)
}


class RecurrentDecoder(nn.Module):
    """What all orders share: embedding, cells, attention, the attentional state, the loop over time."""

    cells: Sequence[RecurrentCell]
    fed: ClassVar[str] = ""  # what enters the first cell beside the embedding: features, context, or nothing
    carried: ClassVar[bool] = False  # whether that is the last step's, so that the state carries it
    beside: ClassVar[bool] = False  # whether the context enters the upper cells

    def __init__(
        self,
        embedding: nn.Embedding,
        cells: Sequence[RecurrentCell],
        attention: Attention | MultiHeadAttention,
        bridge: Bridge,
        memory_size: int,
        feature_size: int,
        dropout: float = 0.0,
        residual: int = 0,
        readout: Readout | None = READOUTS["tanh"],
        keeps_parts: bool = False,
    ) -> None:
        """residual: as in the encoder. keeps_parts: the output has them."""
        super().__init__()
        self.embedding, self.attention, self.bridge, self.memory_size = embedding, attention, bridge, memory_size
        self.cells = nn.ModuleList(cells)  # type: ignore[assignment]
        self.readout, self.feature_size, self.keeps_parts = readout, feature_size, keeps_parts
        if readout is not None:
            read = memory_size + cells[-1].size + readout.embedded * embedding.embedding_dim
            self.combine = Linear(read, readout.pieces * feature_size, bias=readout.bias)
        self.dropout, self.residual = Dropout(dropout), residual or len(cells) + 1

    def cache(self, encoded: EncoderOutput) -> Cached:
        """What the attention wants to compute once per source, and what the bridge copies."""
        kept = {"ends": encoded.ends, "cells": encoded.cells}
        return self.attention.cache(encoded.states) | {
            name: value for name, value in kept.items() if name in self.bridge.reads and value is not None
        }

    def start(self, memory: Memory, capacity: int | None = None) -> State:
        """The state has one size however long the target: `capacity` makes no difference."""
        rows = memory.mask.size(0)
        state = {"number": torch.zeros(rows, dtype=torch.long, device=memory.mask.device)}
        if self.carried:
            state["feed"] = memory.states.new_zeros(
                rows, self.feature_size if self.fed == "features" else self.memory_size
            )
        for layer, (cell, known) in enumerate(zip(self.cells, self.bridge(memory), strict=True)):
            state |= {f"{name}{layer}": value for name, value in (cell.start(known["hidden"]) | known).items()}
        if self.attention.direction is not None:
            state["covered"] = torch.zeros_like(memory.states[..., 0], dtype=torch.float32)
        return state

    def select(self, rows: Tensor, state: State) -> State:
        """The states of `rows`."""
        return {name: value.index_select(0, rows.flatten()) for name, value in state.items()}

    def embed(self, token: Tensor) -> StepInput:
        """Ids, those beyond the vocabulary read as UNK."""
        token = token.where(token < self.embedding.num_embeddings, UNK)
        embedded = self.dropout(self.embedding(token))
        return StepInput(self.cells[0].project(embedded), embedded)

    def first(self, given: StepInput, fed: Tensor | None, state: State, by: Plain) -> State:
        """The first cell's next state."""
        cell = self.cells[0]
        return cell(given.gates, fed, {name: state[f"{name}0"] for name in cell.parts}, by)

    def upper(
        self, new: State, beside: Tensor | None, state: State, masks: Tensor | None, by: Plain
    ) -> tuple[Tensor, State]:
        """The first cell's next state -> what the top one puts out (N, H), the next states of all; beside (N, M) enters the upper ones."""
        top, after = new["hidden"], {f"{name}0": value for name, value in new.items()}
        for layer, cell in enumerate(self.cells[1:], 1):
            below, given = top, top if masks is None else top * masks[layer - 1, :, : cell.size]
            joined = given if beside is None else torch.cat((given, beside), -1)
            new = cell(by.project(joined, cell.input), None, {name: state[f"{name}{layer}"] for name in cell.parts}, by)
            top = new["hidden"] + below if layer + 1 >= self.residual else new["hidden"]
            after |= {f"{name}{layer}": value for name, value in new.items()}
        return top, after

    def attend(self, query: Tensor, state: State, memory: Memory, by: Plain) -> tuple[Tensor, Tensor]:
        """query (N, H) -> context (N, M), maps (N, heads, S); the W rows of a sentence share its memory."""
        B = memory.mask.size(0)
        covered = state["covered"].unflatten(0, (B, -1)) if "covered" in state else None
        seen = self.attention(
            query.unflatten(0, (B, -1)),
            memory.states,
            memory.cached,
            memory.mask,
            state["number"].unflatten(0, (B, -1)),
            covered,
            by,
        )
        return seen.context.flatten(0, 1), seen.weights.unsqueeze(2).flatten(
            0, 1
        ) if seen.maps is None else seen.maps.flatten(0, 1)

    def reads(self, top: Tensor, state: State) -> Tensor:
        """The state that the readout sees: of the new one (N, Q) and all before it."""
        return top

    def finish(
        self,
        top: Tensor,
        context: Tensor,
        maps: Tensor,
        given: StepInput,
        cells: State,
        state: State,
        masks: Tensor | None,
        by: Plain,
    ) -> StepOutput:
        """What a step yields of the new state (N, Q), the context (N, M), maps (N, heads, S) and the cells' next states."""
        features = self.reads(top, state)
        if self.readout is not None:
            parts = (context, features, given.embedded) if self.readout.embedded else (context, features)
            features = self.readout.activate(by.project(torch.cat(parts, -1), self.combine))
        features = features if masks is None else features * masks[-1, :, : features.size(-1)]
        after = cells | {"number": state["number"] + 1}
        if "covered" in state:
            after["covered"] = state["covered"] + maps[:, 0]
        if self.carried:
            after["feed"] = features if self.fed == "features" else context
        return StepOutput(
            features, maps, after, torch.cat((context, top, given.embedded), -1) if self.keeps_parts else None
        )

    def moment(
        self, given: StepInput, state: State, memory: Memory, by: Plain, masks: Tensor | None = None
    ) -> StepOutput:
        """One step in the order of the subclass; masks (layers, N, H) of dropout."""
        raise NotImplementedError

    def step(self, token: Tensor, state: State, memory: Memory, attention: bool = False) -> tuple[Output, State]:
        now = self.moment(self.embed(token), state, memory, Plain())
        return self.output(now.features, now.maps, now.parts, attention), now.state

    def decode(self, target_in: Tensor, memory: Memory, attention: bool = False) -> Output:
        given = self.embed(target_in.t())  # (T, B, ...)
        masks = self.draw_masks(target_in.size(0), target_in.size(1), given.gates)
        state, moments, by = self.start(memory), [], for_a_loop()
        for now, mask in zip(zip(*(part.unbind(0) for part in given), strict=True), masks, strict=True):
            moments.append(self.moment(StepInput(*now), state, memory, by, mask))
            state = moments[-1].state
        features, maps = torch.stack([m.features for m in moments], 1), torch.stack([m.maps for m in moments], 2)
        parts = torch.stack([m.parts for m in moments if m.parts is not None], 1) if self.keeps_parts else None
        return self.output(features, maps, parts, attention)

    def output(self, features: Tensor, maps: Tensor, parts: Tensor | None, attention: bool) -> Output:
        """maps (N, heads, S) or (B, heads, T, S) -> the output with their mean over the heads, and with all of them if asked for."""
        weights = maps.squeeze(1) if maps.size(1) == 1 else maps.mean(1)
        return Output(features, weights, maps.unsqueeze(1) if attention else None, parts)

    def draw_masks(self, rows: int, steps: int, like: Tensor) -> Sequence[Tensor | None]:
        """Dropout of all steps at once, (layers, B, H) for each: below the upper cells, and last on the features."""
        if not self.training or not self.dropout.p:
            return [None] * steps
        keep = 1 - self.dropout.p
        size = max(self.cells[-1].size, self.feature_size)
        return (
            kept((steps, len(self.cells), rows, size), self.dropout.p, like.device).to(like.dtype).div_(keep).unbind(0)
        )


class LuongDecoder(RecurrentDecoder):
    """h_t = cell(y_{t-1}, h_{t-1}), then attend with h_t  (Luong et al. 2015, section 3); nothing is fed back."""

    def moment(
        self, given: StepInput, state: State, memory: Memory, by: Plain, masks: Tensor | None = None
    ) -> StepOutput:
        top, cells = self.upper(self.first(given, state.get("feed"), state, by), None, state, masks, by)
        context, maps = self.attend(top, state, memory, by)
        return self.finish(top, context, maps, given, cells, state, masks, by)


class InputFeedingDecoder(LuongDecoder):
    """Luong's order with the attentional state fed to the next step  (Luong et al. 2015, section 3.3)."""

    fed, carried = "features", True


class ContextFeedingDecoder(LuongDecoder):
    """Luong's order with the context fed to the next step  (code of See et al. 2017)."""

    fed, carried = "context", True


class BahdanauDecoder(RecurrentDecoder):
    """Attend with h_{t-1}, then h_t = cell(y_{t-1}, c_t, h_{t-1})  (Bahdanau et al. 2015, eq. 4-6)."""

    fed = "context"

    def moment(
        self, given: StepInput, state: State, memory: Memory, by: Plain, masks: Tensor | None = None
    ) -> StepOutput:
        context, maps = self.attend(state[f"hidden{len(self.cells) - 1}"], state, memory, by)
        top, cells = self.upper(self.first(given, context, state, by), None, state, masks, by)
        return self.finish(top, context, maps, given, cells, state, masks, by)


class BahdanauPreviousDecoder(BahdanauDecoder):
    """The same, of which the readout sees h_{t-1}  (Bahdanau et al. 2015, section A.2.2 and code, against their eq. 4)."""

    def reads(self, top: Tensor, state: State) -> Tensor:
        return state[f"hidden{len(self.cells) - 1}"]


class GNMTDecoder(RecurrentDecoder):
    """Attend with the first layer's h_{t-1}; the context enters every cell of the step  (Wu et al. 2016, section 3)."""

    fed, beside = "context", True

    def moment(
        self, given: StepInput, state: State, memory: Memory, by: Plain, masks: Tensor | None = None
    ) -> StepOutput:
        context, maps = self.attend(state["hidden0"], state, memory, by)
        top, cells = self.upper(self.first(given, context, state, by), context, state, masks, by)
        return self.finish(top, context, maps, given, cells, state, masks, by)


class GNMT2Decoder(RecurrentDecoder):
    """Attend with the first layer's h_t; the context enters the upper cells, and the first one of the next step  (gnmt_v2 of tf/nmt:
    Luong et al. 2017)."""

    fed, carried, beside = "context", True, True

    def moment(
        self, given: StepInput, state: State, memory: Memory, by: Plain, masks: Tensor | None = None
    ) -> StepOutput:
        new = self.first(given, state["feed"], state, by)
        context, maps = self.attend(new["hidden"], state, memory, by)
        top, cells = self.upper(new, context, state, masks, by)
        return self.finish(top, context, maps, given, cells, state, masks, by)


DECODERS: dict[
    tuple[str, str], type[RecurrentDecoder]
] = {  # by model.order, and what tells decoders of one order apart
    ("luong", ""): LuongDecoder,
    ("luong", "attentional"): InputFeedingDecoder,
    ("luong", "context"): ContextFeedingDecoder,
    ("bahdanau", "new"): BahdanauDecoder,
    ("bahdanau", "previous"): BahdanauPreviousDecoder,
    ("gnmt", ""): GNMTDecoder,
    ("gnmt_v2", ""): GNMT2Decoder,
}
