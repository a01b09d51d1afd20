"""How does a recurrent encoder-decoder read? Layers over whole sequences, in one direction or both, and what the
decoder begins with."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from seq2seq.nn.interface import EncoderOutput, Memory, State
from seq2seq.nn.ops.dropout import Dropout
from seq2seq.nn.ops.linear import Linear
from seq2seq.nn.ops.reverse import reverse
from seq2seq.nn.ops.scan import scan
from seq2seq.nn.rnn.cells import RecurrentCell


class CellLayer(nn.Module):
    """A cell over a whole sequence, step by step: slower than torch's layers, for cells that torch lacks, and where
    every part of the state is needed."""

    def __init__(self, cell: RecurrentCell) -> None:
        super().__init__()
        self.cell = cell
        if cell.sequence is not None:  # the same first values as torch's layer, so that the choice makes no difference
            nn.init.uniform_(cell.input.bias, -(cell.size**-0.5), cell.size**-0.5)

    def forward(self, x: Tensor) -> State:
        """(B, S, given) -> every part of the state after each position, (B, S, H)."""
        projected = self.cell.project(x.transpose(0, 1))
        start = self.cell.start(projected.new_zeros(x.size(0), self.cell.size))
        states, _ = scan(self.step, (projected,), start)
        return dict(zip(self.cell.parts, states, strict=True))

    def step(self, projected: tuple[Tensor], state: State) -> tuple[tuple[Tensor, ...], State]:
        """One position of `scan`."""
        state = self.cell(projected[0], None, state)
        return tuple(state[name] for name in self.cell.parts), state


def run_layer(layer: nn.Module, x: Tensor) -> State:
    """(B, S, given) -> the parts of the state after each position; of torch's layers the hidden state alone."""
    return layer(x) if isinstance(layer, CellLayer) else {"hidden": layer(x)[0]}


class RecurrentEncoder(nn.Module):
    """Reads the source in one direction, or in both side by side  (Bahdanau et al. 2015, section 3.2)."""

    def __init__(
        self,
        embedding: nn.Embedding,
        cell: type[RecurrentCell],
        size: int,
        layers: int,
        *,
        dropout: float = 0.0,
        both: int = 0,
        residual: int = 0,
        backwards: bool = False,
        whole: bool = False,
    ) -> None:
        """size: of the output M; each of two directions has half of it. both: the number of lower layers that read in
        both directions (one in Wu et al. 2016, section 3.2). residual: the first layer, from 1, whose input is added to
        its output; 0: none. backwards: the source is read last to first (Sutskever et al. 2014, section 3.3); states
        stay where their tokens are. whole: every part of the last states is returned."""
        super().__init__()
        self.embedding, self.size, self.residual, self.reversed = embedding, size, residual or layers + 1, backwards

        def layer(number: int) -> nn.Module:
            given, width = size if number else embedding.embedding_dim, size // 2 if number < both else size
            if whole or cell.sequence is None:
                return CellLayer(cell(given, 0, width))
            return cell.sequence(given, width, batch_first=True)

        self.forwards = nn.ModuleList(map(layer, range(layers)))
        self.backwards = nn.ModuleList(map(layer, range(both)))
        self.dropout = Dropout(dropout)

    def forward(self, source: Tensor, mask: Tensor) -> EncoderOutput:
        """(B, S) ids, (B, S) mask -> states, summary and ends."""
        x, ends = self.embedding(source), []
        x = reverse(x, mask) if self.reversed else x
        for number in range(len(self.forwards)):
            below = x
            x, end = self.layer(number, self.dropout(x), mask)
            ends.append(end)
            if number + 1 >= self.residual:
                x = x + below  # without its dropout, which would thin the residual path out layer by layer
        hidden, *cells = (torch.stack([end[name] for end in ends], 1) for name in ends[0])
        return EncoderOutput(reverse(x, mask) if self.reversed else x, ends[-1]["hidden"], hidden, *cells)

    def layer(self, number: int, x: Tensor, mask: Tensor) -> tuple[Tensor, State]:
        """(B, S, size of the input) -> hidden states (B, S, M), and the parts of the last states (B, M), both
        directions side by side."""
        states = run_layer(self.forwards[number], x)
        last = (mask.sum(1) - 1).view(-1, 1, 1)
        end = {name: value.gather(1, last.expand(-1, 1, value.size(-1))).squeeze(1) for name, value in states.items()}
        if number >= len(self.backwards):
            return states["hidden"], end
        backward_states = run_layer(self.backwards[number], reverse(x, mask))
        backward = {name: reverse(value, mask) for name, value in backward_states.items()}
        end = {name: torch.cat((end[name], backward[name][:, 0]), -1) for name in end}
        return torch.cat((states["hidden"], backward["hidden"]), -1), end


class Bridge(nn.Module):
    """Base of the bridges: the decoder's first state, from the encoder's last."""

    reads: ClassVar[frozenset[str]] = (
        frozenset()
    )  # of EncoderOutput's ends and cells: those that memory.cached must hold

    def __init__(self, memory: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.hidden, self.layers = hidden, layers

    def forward(self, memory: Memory) -> Sequence[State]:
        """The parts of each layer's state that are not zero: (B, H) each."""
        raise NotImplementedError


class Dense(Bridge):
    """tanh(W h + b), h the encoder's last hidden state, both directions side by side."""

    def __init__(self, memory: int, hidden: int, layers: int) -> None:
        super().__init__(memory, hidden, layers)
        self.project = Linear(memory, layers * hidden)

    def forward(self, memory: Memory) -> Sequence[State]:
        return [{"hidden": hidden} for hidden in self.project(memory.summary).tanh().chunk(self.layers, -1)]


class Backward(Bridge):
    """tanh(W h + b), h the last hidden state of the direction that reads backwards  (Bahdanau et al. 2015, section
    A.2.2, which leaves biases out of its equations)."""

    def __init__(self, memory: int, hidden: int, layers: int) -> None:
        super().__init__(memory, hidden, layers)
        self.project = Linear(memory // 2, layers * hidden)

    def forward(self, memory: Memory) -> Sequence[State]:
        projected = self.project(memory.summary.chunk(2, -1)[1])
        return [{"hidden": hidden} for hidden in projected.tanh().chunk(self.layers, -1)]


class Copy(Bridge):
    """The hidden states themselves, layer by layer; the cell states of an LSTM start at zero."""

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
    """Hidden and cell states themselves, a layer for each direction: the first forwards, the first backwards, the
    second forwards, ... (tf/nmt: Luong et al. 2017)."""

    reads = frozenset({"ends", "cells"})

    def forward(self, memory: Memory) -> Sequence[State]:
        parts = (memory.cached[name].unflatten(-1, (2, -1)).flatten(1, 2).unbind(1) for name in ("ends", "cells"))
        return [{"hidden": hidden, "cell": cell} for hidden, cell in zip(*parts, strict=True)]


class Reduce(Bridge):
    """relu(W h + b) and relu(V c + d), h and c of the encoder's last layer, both directions side by side  (code of See
    et al. 2017)."""

    reads = frozenset({"cells"})

    def __init__(self, memory: int, hidden: int, layers: int) -> None:
        super().__init__(memory, hidden, layers)
        self.project, self.cell = Linear(memory, layers * hidden), Linear(memory, layers * hidden)

    def forward(self, memory: Memory) -> Sequence[State]:
        parts = self.project(memory.summary), self.cell(memory.cached["cells"][:, -1])
        pairs = zip(*(part.relu().chunk(self.layers, -1) for part in parts), strict=True)
        return [{"hidden": hidden, "cell": cell} for hidden, cell in pairs]


class Zero(Bridge):
    """Zeros: the decoder knows the source by attention alone."""

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
