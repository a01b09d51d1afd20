"""How does a recurrent encoder-decoder read? Layers over whole sequences, in one direction or both, and what the decoder begins with."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from seq2seq.nn.interface import EncoderOutput, Memory, State
from seq2seq.nn.ops.dropout import Dropout
from seq2seq.nn.ops.linear import Linear
from seq2seq.nn.ops.scan import for_a_loop
from seq2seq.nn.rnn.cells import RecurrentCell


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


class Scan(nn.Module):
    """A cell step by step, slower than torch's layers: for cells that torch has none for, and where every part of the state is wanted."""

    def __init__(self, cell: RecurrentCell) -> None:
        super().__init__()
        self.cell = cell
        if cell.sequence is not None:  # begins like torch's layer, so that it makes no difference which of them it is
            nn.init.uniform_(cell.input.bias, -(cell.size**-0.5), cell.size**-0.5)

    def forward(self, x: Tensor) -> State:
        """(B, S, given) -> every part of the state after each position, (B, S, size)."""
        projected, by = self.cell.project(x.transpose(0, 1)), for_a_loop()
        state, states = self.cell.start(projected.new_zeros(x.size(0), self.cell.size)), []
        for now in projected.unbind(0):
            state = self.cell(now, None, state, by)
            states.append(state)
        return {name: torch.stack([state[name] for state in states], 1) for name in self.cell.parts}


def run(layer: nn.Module, x: Tensor) -> State:
    """What Scan gives; of torch's layers the hidden state alone."""
    return layer(x) if isinstance(layer, Scan) else {"hidden": layer(x)[0]}


class RecurrentEncoder(nn.Module):
    """Reads the source in one direction, or in both side by side  (Bahdanau et al. 2015, section 3.2)."""

    def __init__(
        self,
        embedding: nn.Embedding,
        cell: type[RecurrentCell],
        size: int,
        layers: int,
        dropout: float = 0.0,
        both: int = 0,
        residual: int = 0,
        backwards: bool = False,
        whole: bool = False,
    ) -> None:
        """size: of the output M; each of two directions has half of it. both: so many lower layers read in both directions (one in
        Wu et al. 2016, section 3.2). residual: the first layer, from 1, whose input is added to its output; 0: none. backwards: the source
        is read last to first (Sutskever et al. 2014, section 3.3); states stay where their tokens are. whole: every part of the last
        states is kept."""
        super().__init__()
        self.embedding, self.size, self.residual, self.turned = embedding, size, residual or layers + 1, backwards

        def layer(number: int) -> nn.Module:
            given, width = size if number else embedding.embedding_dim, size // 2 if number < both else size
            if whole or cell.sequence is None:
                return Scan(cell(given, 0, width))
            return cell.sequence(given, width, batch_first=True)

        self.forwards = nn.ModuleList(map(layer, range(layers)))
        self.backwards = nn.ModuleList(map(layer, range(both)))
        self.dropout = Dropout(dropout)

    def forward(self, source: Tensor, mask: Tensor) -> EncoderOutput:
        """(B, S) ids, (B, S) mask -> states, summary and ends."""
        x, ends = self.embedding(source), []
        x = reverse(x, mask) if self.turned else x
        last = (mask.sum(1) - 1).view(-1, 1, 1)
        for number, there in enumerate(self.forwards):
            below, given = x, self.dropout(x)
            states = run(there, given)
            end = {
                name: value.gather(1, last.expand(-1, 1, value.size(-1))).squeeze(1) for name, value in states.items()
            }
            x = states["hidden"]
            if number < len(self.backwards):
                back = {
                    name: reverse(value, mask)
                    for name, value in run(self.backwards[number], reverse(given, mask)).items()
                }
                x, end = (
                    torch.cat((x, back["hidden"]), -1),
                    {name: torch.cat((end[name], back[name][:, 0]), -1) for name in end},
                )
            ends.append(end)
            if number + 1 >= self.residual:
                x = x + below  # past the dropout, which else would thin it out layer by layer
        hidden, *cells = (torch.stack([end[name] for end in ends], 1) for name in ends[0])
        return EncoderOutput(reverse(x, mask) if self.turned else x, ends[-1]["hidden"], hidden, *cells)


class Bridge(nn.Module):
    """The decoder's first states, from the encoder's last. One class per way, one row per class in BRIDGES."""

    reads: ClassVar[frozenset[str]] = frozenset()  # of Encoded's ends and cells: those that memory.cached must hold

    def __init__(self, memory: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.hidden, self.layers = hidden, layers

    def forward(self, memory: Memory) -> Sequence[State]:
        """-> the parts of each layer's state that are not zero: (B, hidden)."""
        raise NotImplementedError


class Dense(Bridge):
    """tanh(W h + b), h the encoder's last hidden state, both directions side by side."""

    def __init__(self, memory: int, hidden: int, layers: int) -> None:
        super().__init__(memory, hidden, layers)
        self.project = Linear(memory, layers * hidden)

    def forward(self, memory: Memory) -> Sequence[State]:
        return [{"hidden": hidden} for hidden in self.project(memory.summary).tanh().chunk(self.layers, -1)]


class Backward(Bridge):
    """tanh(W h + b), h the last hidden state of the direction that reads backwards  (Bahdanau et al. 2015, section A.2.2, which leaves
    biases out of its equations)."""

    def __init__(self, memory: int, hidden: int, layers: int) -> None:
        super().__init__(memory, hidden, layers)
        self.project = Linear(memory // 2, layers * hidden)

    def forward(self, memory: Memory) -> Sequence[State]:
        return [
            {"hidden": hidden} for hidden in self.project(memory.summary.chunk(2, -1)[1]).tanh().chunk(self.layers, -1)
        ]


class Copy(Bridge):
    """The hidden states themselves, layer by layer; an LSTM's cells begin with zero."""

    reads = frozenset({"ends"})

    def forward(self, memory: Memory) -> Sequence[State]:
        return [{"hidden": hidden} for hidden in memory.cached["ends"].unbind(1)]


class CopyAll(Bridge):
    """Hidden and cell states themselves, layer by layer  (Sutskever et al. 2014, section 2; Luong et al. 2015)."""

    reads = frozenset({"ends", "cells"})

    def forward(self, memory: Memory) -> Sequence[State]:
        parts = (memory.cached["ends"].unbind(1), memory.cached["cells"].unbind(1))
        return [{"hidden": hidden, "cell": cell} for hidden, cell in zip(*parts, strict=True)]


class Directions(Bridge):
    """Hidden and cell states themselves, a layer for each direction: the first forwards, the first backwards, the second forwards, ...
    (tf/nmt: Luong et al. 2017)."""

    reads = frozenset({"ends", "cells"})

    def forward(self, memory: Memory) -> Sequence[State]:
        parts = (memory.cached[name].unflatten(-1, (2, -1)).flatten(1, 2).unbind(1) for name in ("ends", "cells"))
        return [{"hidden": hidden, "cell": cell} for hidden, cell in zip(*parts, strict=True)]


class Reduce(Bridge):
    """relu(W h + b) and relu(V c + d), h and c of the encoder's last layer, both directions side by side  (code of See et al. 2017)."""

    reads = frozenset({"cells"})

    def __init__(self, memory: int, hidden: int, layers: int) -> None:
        super().__init__(memory, hidden, layers)
        self.project, self.cell = Linear(memory, layers * hidden), Linear(memory, layers * hidden)

    def forward(self, memory: Memory) -> Sequence[State]:
        parts = self.project(memory.summary), self.cell(memory.cached["cells"][:, -1])
        pairs = zip(*(part.relu().chunk(self.layers, -1) for part in parts), strict=True)
        return [{"hidden": hidden, "cell": cell} for hidden, cell in pairs]


class Zero(Bridge):
    """Zeros: all that the decoder knows comes by attention."""

    def forward(self, memory: Memory) -> Sequence[State]:
        return [{"hidden": memory.summary.new_zeros(memory.summary.size(0), self.hidden)}] * self.layers


BRIDGES: dict[str, type[Bridge]] = {
    "dense": Dense,
    "backward": Backward,
    "copy": Copy,
    "copy_all": CopyAll,
    "directions": Directions,
    "reduce": Reduce,
    "zero": Zero,
}
