"""How does a recurrent encoder-decoder read and write? The encoder and the decoders in Luong's and in Bahdanau's order."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.ids import UNK
from seq2seq.nn.attention import Attention
from seq2seq.nn.cells import Cell
from seq2seq.nn.dropout import Dropout, kept
from seq2seq.nn.interface import Encoded, Memory, Output, State
from seq2seq.nn.linear import Linear
from seq2seq.nn.recurrence import Deferred, Plain
from seq2seq.nn.scorers import Cached


def reverse(x: Tensor, mask: Tensor) -> Tensor:
    """(B, S, ...), (B, S): each row's tokens last to first, its padding stays behind them."""
    B, S = mask.shape
    index = (mask.sum(1, keepdim=True) - 1 - torch.arange(S, device=mask.device)) % S  # (B, S)
    turned: Tensor = Permuted.apply(x, (index + S * torch.arange(B, device=mask.device).unsqueeze(1)).flatten())
    return turned


class Permuted(torch.autograd.Function):
    """The rows of x (B, S, ...) in another order, that of a permutation which is its own inverse: no sum on the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor) -> Tensor:
        ctx.index = index
        return x.flatten(0, 1).index_select(0, index).view_as(x)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        return slopes[0].flatten(0, 1).index_select(0, ctx.index).view_as(slopes[0]), None


class RecurrentEncoder(nn.Module):
    """Reads the source with LSTMs or GRUs, in both directions side by side if asked  (Bahdanau et al. 2015, section 3.2)."""

    def __init__(
        self,
        embedding: nn.Embedding,
        cell: type[Cell],
        size: int,
        layers: int,
        dropout: float = 0.0,
        bidirectional: bool = True,
        residual: bool = False,
    ) -> None:
        """size: of the output M; each of two directions has half of it."""
        super().__init__()
        self.embedding, self.size, self.residual = embedding, size, residual
        kind, directions = cell.sequence, 2 if bidirectional else 1
        sizes = [embedding.embedding_dim] + [size] * (layers - 1)
        self.forwards = nn.ModuleList(kind(given, size // directions, batch_first=True) for given in sizes)
        self.backwards = nn.ModuleList(kind(given, size // directions, batch_first=True) for given in sizes[: layers * (directions - 1)])
        self.dropout = Dropout(dropout)

    def forward(self, source: Tensor, mask: Tensor) -> Encoded:
        """(B, S) ids, (B, S) mask -> states, summary and ends."""
        x = self.embedding(source)
        ends = []
        last = (mask.sum(1) - 1).view(-1, 1, 1)
        for number, there in enumerate(self.forwards):
            given = self.dropout(x)
            x = there(given)[0]
            end = x.gather(1, last.expand(-1, 1, x.size(-1))).squeeze(1)
            if self.backwards:
                back = reverse(self.backwards[number](reverse(given, mask))[0], mask)
                x, end = torch.cat((x, back), -1), torch.cat((end, back[:, 0]), -1)
            ends.append(end)
            if self.residual and number:
                x = x + given
        return Encoded(x, ends[-1], torch.stack(ends, 1))


class Bridge(nn.Module):
    """The decoder's first hidden states: tanh(W h) of the encoder's last, both directions side by side  (Bahdanau et al.
    2015, section A.2.2, where h is the backward one's), h itself, or zeros."""

    def __init__(self, kind: str, memory: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.kind, self.hidden, self.layers = kind, hidden, layers
        self.project = Linear(memory, layers * hidden) if kind == "dense" else None

    def forward(self, memory: Memory) -> tuple[Tensor, ...]:
        """-> (B, hidden) for each layer."""
        if self.project is not None:
            return self.project(memory.summary).tanh().chunk(self.layers, -1)
        if self.kind == "copy":
            return memory.cached["ends"].unbind(1)
        return (memory.summary.new_zeros(memory.summary.size(0), self.hidden),) * self.layers


class Moment(NamedTuple):
    """What one step of the recurrence yields."""

    features: Tensor  # (N, H)
    weights: Tensor  # (N, S)
    state: State


class RecurrentDecoder(nn.Module):
    """What both orders share: embedding, cells, attention, the attentional state, the loop over time."""

    cells: Sequence[Cell]

    def __init__(
        self,
        embedding: nn.Embedding,
        cells: Sequence[Cell],
        attention: Attention,
        bridge: Bridge,
        memory_size: int,
        feature_size: int,
        dropout: float = 0.0,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.embedding, self.attention, self.bridge = embedding, attention, bridge
        self.cells = nn.ModuleList(cells)  # type: ignore[assignment]
        self.combine = Linear(memory_size + cells[-1].size, feature_size, bias=False)
        self.dropout, self.residual = Dropout(dropout), residual

    def cache(self, encoded: Encoded) -> Cached:
        """What the attention wants to compute once per source, and what the bridge copies."""
        cached = self.attention.cache(encoded.states)
        return cached | {"ends": encoded.ends} if self.bridge.kind == "copy" else cached

    def start(self, memory: Memory, capacity: int | None = None) -> State:
        """The state has one size however long the target: `capacity` makes no difference."""
        rows = memory.mask.size(0)
        state = {"number": torch.zeros(rows, dtype=torch.long, device=memory.mask.device), **self.first(memory)}
        for layer, hidden in enumerate(self.bridge(memory)):
            state |= {f"{name}{layer}": value for name, value in self.cells[layer].start(hidden).items()}
        if self.attention.direction is not None:
            state["covered"] = torch.zeros_like(memory.states[..., 0], dtype=torch.float32)
        return state

    def select(self, rows: Tensor, state: State) -> State:
        """The states of `rows`."""
        return {name: value.index_select(0, rows.flatten()) for name, value in state.items()}

    def first(self, memory: Memory) -> State:
        """What the order keeps besides the cells' states."""
        return {}

    def embed(self, token: Tensor) -> Tensor:
        """Ids, those beyond the vocabulary read as UNK, -> the part of the first cell's gates that is off the recurrence."""
        token = token.where(token < self.embedding.num_embeddings, UNK)
        projected: Tensor = self.cells[0].project(self.dropout(self.embedding(token)))
        return projected

    def advance(self, projected: Tensor, fed: Tensor | None, state: State, masks: Tensor | None, by: Plain) -> tuple[Tensor, State]:
        """One step of all layers: -> top (N, H), the cells' states."""
        after: State = {}
        top = projected
        for layer, cell in enumerate(self.cells):
            below = top
            if layer:
                below = top if masks is None else top * masks[layer - 1, :, : cell.size]
                projected, fed = by.project(below, cell.input), None
            new = cell(projected, fed, {name: state[f"{name}{layer}"] for name in cell.parts}, by)
            top = new["hidden"] + below if self.residual and layer else new["hidden"]
            after |= {f"{name}{layer}": value for name, value in new.items()}
        return top, after

    def attend(self, query: Tensor, state: State, memory: Memory, by: Plain) -> tuple[Tensor, Tensor]:
        """query (N, H) -> context (N, M), weights (N, S); the W rows of a sentence share its memory."""
        B = memory.mask.size(0)
        covered = state["covered"].unflatten(0, (B, -1)) if "covered" in state else None
        seen = self.attention(
            query.unflatten(0, (B, -1)), memory.states, memory.cached, memory.mask, state["number"].unflatten(0, (B, -1)), covered, by
        )
        return seen.context.flatten(0, 1), seen.weights.flatten(0, 1)

    def mix(self, top: Tensor, context: Tensor, by: Plain) -> Tensor:
        """tanh(W [c; h]), the attentional state  (Luong et al. 2015, eq. 5)."""
        return torch.tanh(by.project(torch.cat((context, top), -1), self.combine))

    def after(self, cells: State, weights: Tensor, state: State) -> State:
        """The next state, but for what the order adds."""
        cells["number"] = state["number"] + 1
        if "covered" in state:
            cells["covered"] = state["covered"] + weights
        return cells

    def moment(self, projected: Tensor, state: State, memory: Memory, by: Plain, masks: Tensor | None = None) -> Moment:
        """One step in the order of the subclass: projected (N, gates), masks (layers, N, H) of dropout."""
        raise NotImplementedError

    def step(self, token: Tensor, state: State, memory: Memory, attention: bool = False) -> tuple[Output, State]:
        features, weights, state = self.moment(self.embed(token), state, memory, Plain())
        return Output(features, weights, weights[:, None, None] if attention else None), state

    def decode(self, target_in: Tensor, memory: Memory, attention: bool = False) -> Output:
        projected = self.embed(target_in.t())  # (T, B, gates)
        masks = self.draw_masks(target_in.size(0), target_in.size(1), projected)
        state, moments = self.start(memory), []
        by = Deferred() if torch.is_grad_enabled() and not torch.compiler.is_compiling() else Plain()
        for now, mask in zip(projected.unbind(0), masks, strict=True):
            moments.append(self.moment(now, state, memory, by, mask))
            state = moments[-1].state
        features, weights = (torch.stack(parts, 1) for parts in list(zip(*moments, strict=True))[:2])
        return Output(features, weights, weights[:, None, None] if attention else None)

    def draw_masks(self, rows: int, steps: int, like: Tensor) -> Sequence[Tensor | None]:
        """Dropout of all steps at once, (layers, B, H) for each: below the upper cells, and last on the features."""
        if not self.training or not self.dropout.p:
            return [None] * steps
        keep = 1 - self.dropout.p
        size = max(self.cells[-1].size, self.combine.out_features)
        return kept((steps, len(self.cells), rows, size), self.dropout.p, like.device).to(like.dtype).div_(keep).unbind(0)


class LuongDecoder(RecurrentDecoder):
    """h_t = cell(y_{t-1}, h_{t-1}), then attend with h_t  (Luong et al. 2015, section 3); nothing is fed back."""

    def moment(self, projected: Tensor, state: State, memory: Memory, by: Plain, masks: Tensor | None = None) -> Moment:
        top, cells = self.advance(projected, None, state, masks, by)
        context, weights = self.attend(top, state, memory, by)
        return Moment(self.drop(self.mix(top, context, by), masks), weights, self.after(cells, weights, state))

    def drop(self, features: Tensor, masks: Tensor | None) -> Tensor:
        """Dropout of the attentional state."""
        return features if masks is None else features * masks[-1, :, : features.size(-1)]


class InputFeedingDecoder(LuongDecoder):
    """Luong's order with the attentional state fed to the next step  (Luong et al. 2015, section 3.3)."""

    def first(self, memory: Memory) -> State:
        return {"feed": memory.states.new_zeros(memory.states.size(0), self.combine.out_features)}

    def moment(self, projected: Tensor, state: State, memory: Memory, by: Plain, masks: Tensor | None = None) -> Moment:
        top, cells = self.advance(projected, state["feed"], state, masks, by)
        context, weights = self.attend(top, state, memory, by)
        features = self.drop(self.mix(top, context, by), masks)
        return Moment(features, weights, {**self.after(cells, weights, state), "feed": features})


class BahdanauDecoder(LuongDecoder):
    """Attend with h_{t-1}, then h_t = cell(y_{t-1}, c_t, h_{t-1})  (Bahdanau et al. 2015, eq. 4-6)."""

    def moment(self, projected: Tensor, state: State, memory: Memory, by: Plain, masks: Tensor | None = None) -> Moment:
        context, weights = self.attend(state[f"hidden{len(self.cells) - 1}"], state, memory, by)
        top, cells = self.advance(projected, context, state, masks, by)
        return Moment(self.drop(self.mix(top, context, by), masks), weights, self.after(cells, weights, state))
