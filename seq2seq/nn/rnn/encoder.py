"""Recurrent encoders, and the bridges from their last states to the decoder's first, registered in `BRIDGES`.

B sentences, S source positions, M size of the memory, H of the states.
"""

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
    """Runs a cell over a whole sequence step by step: slower than torch's layers, for cells that torch lacks, and where
    every part of the state is needed."""

    def __init__(self, cell: RecurrentCell) -> None:
        super().__init__()
        self.cell = cell
        if cell.sequence is not None:  # initialized as torch's layer, so that the choice of layer makes no difference
            nn.init.uniform_(cell.input.bias, -(cell.size**-0.5), cell.size**-0.5)

    def forward(self, x: Tensor) -> State:
        """x (B, S, input size) -> every part of the state after each position, (B, S, H)."""
        projected = self.cell.project(x.transpose(0, 1))
        start = self.cell.start(projected.new_zeros(x.size(0), self.cell.size))
        states, _ = scan(self.step, (projected,), start)
        return dict(zip(self.cell.parts, states, strict=True))

    def step(self, projected: tuple[Tensor], state: State) -> tuple[tuple[Tensor, ...], State]:
        """One position of `scan`."""
        state = self.cell(projected[0], None, state)
        return tuple(state[name] for name in self.cell.parts), state


def run_layer(layer: nn.Module, x: Tensor) -> State:
    """x (B, S, input size) -> the parts of the state after each position, (B, S, H); from torch's layers only
    "hidden"."""
    return layer(x) if isinstance(layer, CellLayer) else {"hidden": layer(x)[0]}


def read(layer: nn.Module, x: Tensor, mask: Tensor, backward: bool = False) -> tuple[Tensor, State]:
    """x (B, S, input size), mask (B, S) -> hidden states (B, S, H), and the parts of the final state (B, H), of a layer
    that reads each row from its first token to its last, or `backward`."""
    states = run_layer(layer, reverse(x, mask) if backward else x)
    last = (mask.sum(1) - 1).view(-1, 1, 1)
    end = {name: value.gather(1, last.expand(-1, 1, value.size(-1))).squeeze(1) for name, value in states.items()}
    return reverse(states["hidden"], mask) if backward else states["hidden"], end


class RecurrentEncoder(nn.Module):
    """Recurrent layers over the source in one direction or in both  (Bahdanau et al. 2015, section 3.2)."""

    def __init__(
        self,
        embedding: nn.Embedding,
        cell: type[RecurrentCell],
        size: int,
        layers: int,
        *,
        dropout: float = 0.0,
        bidirectional_layers: int = 0,
        residual: int = 0,
        reverse_source: bool = False,
        keep_state: bool = False,
    ) -> None:
        """size: M, of the output; each of two directions has half of it.

        bidirectional_layers: how many layers, from the lowest, read in both directions (one in Wu et al. 2016, section
        3.2). residual: the first layer, from 1, whose input is added to its output; 0: none. reverse_source: the source
        is read last to first (Sutskever et al. 2014, section 3.3), the states are those of their tokens all the same.
        keep_state: return every part of the final states, not the hidden states alone."""
        super().__init__()
        self.embedding, self.size, self.reversed = embedding, size, reverse_source
        self.residual = residual or layers + 1

        def layer(number: int) -> nn.Module:
            input_size = size if number else embedding.embedding_dim
            width = size // 2 if number < bidirectional_layers else size
            if keep_state or cell.sequence is None:
                return CellLayer(cell(input_size, width))
            return cell.sequence(input_size, width, batch_first=True)

        self.forwards = nn.ModuleList(map(layer, range(layers)))
        self.backwards = nn.ModuleList(map(layer, range(bidirectional_layers)))
        self.dropout = Dropout(dropout)
        self.read = read  # replaced where a graph has a node for a whole layer

    def forward(self, source: Tensor, mask: Tensor) -> EncoderOutput:
        """source (B, S) ids, mask (B, S) bool, True on tokens -> the states of all positions and the final ones."""
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
        """x (B, S, input size) -> hidden states (B, S, M), and the parts of the final state (B, M); both directions are
        concatenated."""
        states, end = self.read(self.forwards[number], x, mask)
        if number >= len(self.backwards):
            return states, end
        backward_states, backward_end = self.read(self.backwards[number], x, mask, backward=True)
        end = {name: torch.cat((end[name], backward_end[name]), -1) for name in end}
        return torch.cat((states, backward_states), -1), end


class Bridge(nn.Module):
    """Base of the bridges: the decoder's first state from the encoder's final one."""

    # which of the fields "ends" and "cells" of EncoderOutput it reads from memory.cached
    reads: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, memory: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.hidden, self.layers = hidden, layers

    def forward(self, memory: Memory) -> Sequence[State]:
        """The parts of each layer's state that are not zero: (B, H) each."""
        raise NotImplementedError


class DenseBridge(Bridge):
    """tanh(W h + b), h the encoder's final hidden state, both directions concatenated."""

    def __init__(self, memory: int, hidden: int, layers: int) -> None:
        super().__init__(memory, hidden, layers)
        self.project = Linear(memory, layers * hidden)

    def forward(self, memory: Memory) -> Sequence[State]:
        return [{"hidden": hidden} for hidden in self.project(memory.summary).tanh().chunk(self.layers, -1)]


class BackwardBridge(Bridge):
    """tanh(W h + b), h the final hidden state of the direction that reads backwards  (Bahdanau et al. 2015, section
    A.2.2, which leaves biases out of its equations)."""

    def __init__(self, memory: int, hidden: int, layers: int) -> None:
        super().__init__(memory, hidden, layers)
        self.project = Linear(memory // 2, layers * hidden)

    def forward(self, memory: Memory) -> Sequence[State]:
        projected = self.project(memory.summary.chunk(2, -1)[1])
        return [{"hidden": hidden} for hidden in projected.tanh().chunk(self.layers, -1)]


class CopyBridge(Bridge):
    """The hidden states themselves, layer by layer; the cell states of an LSTM start at zero."""

    reads = frozenset({"ends"})

    def forward(self, memory: Memory) -> Sequence[State]:
        return [{"hidden": hidden} for hidden in memory.cached["ends"].unbind(1)]


class CopyAllBridge(Bridge):
    """Hidden and cell states themselves, layer by layer  (Sutskever et al. 2014, section 2; Luong et al. 2015)."""

    reads = frozenset({"ends", "cells"})

    def forward(self, memory: Memory) -> Sequence[State]:
        parts = (memory.cached["ends"].unbind(1), memory.cached["cells"].unbind(1))
        return [{"hidden": hidden, "cell": cell} for hidden, cell in zip(*parts, strict=True)]


class DirectionsBridge(Bridge):
    """Hidden and cell states themselves, a layer for each direction: the first forwards, the first backwards, the
    second forwards, ... (tf/nmt: Luong et al. 2017)."""

    reads = frozenset({"ends", "cells"})

    def forward(self, memory: Memory) -> Sequence[State]:
        parts = (memory.cached[name].unflatten(-1, (2, -1)).flatten(1, 2).unbind(1) for name in ("ends", "cells"))
        return [{"hidden": hidden, "cell": cell} for hidden, cell in zip(*parts, strict=True)]


class ReduceBridge(Bridge):
    """relu(W h + b) and relu(V c + d), h and c of the encoder's last layer, both directions concatenated  (code of See
    et al. 2017)."""

    reads = frozenset({"cells"})

    def __init__(self, memory: int, hidden: int, layers: int) -> None:
        super().__init__(memory, hidden, layers)
        self.project, self.cell = Linear(memory, layers * hidden), Linear(memory, layers * hidden)

    def forward(self, memory: Memory) -> Sequence[State]:
        parts = self.project(memory.summary), self.cell(memory.cached["cells"][:, -1])
        pairs = zip(*(part.relu().chunk(self.layers, -1) for part in parts), strict=True)
        return [{"hidden": hidden, "cell": cell} for hidden, cell in pairs]


class ZeroBridge(Bridge):
    """Zeros: the decoder reads the source by attention alone."""

    def forward(self, memory: Memory) -> Sequence[State]:
        return [{"hidden": memory.summary.new_zeros(memory.summary.size(0), self.hidden)}] * self.layers


BRIDGES: dict[str, type[Bridge]] = {
    "dense": DenseBridge,
    "backward": BackwardBridge,
    "copy": CopyBridge,
    "copy_all": CopyAllBridge,
    "directions": DirectionsBridge,
    "reduce": ReduceBridge,
    "zero": ZeroBridge,
}
