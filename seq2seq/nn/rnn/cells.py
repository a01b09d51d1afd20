"""Recurrent cells: one step of an LSTM or a GRU, registered in `CELLS`.

N rows, H the size of the state. The product with the input, which does not depend on the state, is computed beforehand
by `project`, for all steps in one product where they are known.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from seq2seq.nn.interface import State
from seq2seq.nn.ops.linear import Linear
from seq2seq.nn.ops.lstm import lstm_gates


class RecurrentCell(nn.Module):
    """Base of the cells: one step for N rows."""

    gates: ClassVar[int]  # how many vectors of size H `project` yields
    parts: ClassVar[tuple[str, ...]]  # names of the state's parts, "hidden" first
    sequence: ClassVar[type[nn.Module] | None] = None  # torch's own layer for whole sequences, for the encoder

    def __init__(self, input_size: int, size: int, *, fed_size: int = 0) -> None:
        """input_size: of the input that does not depend on the state. size: H. fed_size: of a second input, which
        depends on the step before; 0: none."""
        super().__init__()
        self.size = size
        self.input = Linear(input_size, self.gates * size)

    def project(self, x: Tensor) -> Tensor:
        """x (..., input_size) -> (..., gates * H), off the recurrence."""
        projected: Tensor = self.input(x)
        return projected

    def start(self, hidden: Tensor) -> State:
        """The first state, from a first hidden state (B, H)."""
        return {"hidden": hidden}

    def forward(self, projected: Tensor, fed: Tensor | None, state: State) -> State:
        """projected (N, gates * H), fed (N, fed_size) or None, state (N, H) each -> the next state."""
        raise NotImplementedError


class LSTMCell(RecurrentCell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate of Gers et al. 2000); the gates in the
    order of torch.nn.LSTM."""

    gates, parts, sequence = 4, ("hidden", "cell"), nn.LSTM

    def __init__(self, input_size: int, size: int, *, fed_size: int = 0) -> None:
        super().__init__(input_size, size, fed_size=fed_size)
        self.recurrent = Linear(fed_size + size, 4 * size, bias=False)
        nn.init.constant_(self.input.bias[size : 2 * size], 1.0)  # forget gates start open (Jozefowicz et al. 2015)

    def start(self, hidden: Tensor) -> State:
        return {"hidden": hidden, "cell": torch.zeros_like(hidden)}

    def forward(self, projected: Tensor, fed: Tensor | None, state: State) -> State:
        before = state["hidden"] if fed is None else torch.cat((fed, state["hidden"]), -1)
        hidden, cell = lstm_gates(projected + self.recurrent(before), state["cell"])
        return {"hidden": hidden, "cell": cell}


class GRUCell(RecurrentCell):
    """Gated recurrent unit (Cho et al. 2014), the reset gate applied after the product as in torch.nn.GRU."""

    gates, parts, sequence = 3, ("hidden",), nn.GRU

    def __init__(self, input_size: int, size: int, *, fed_size: int = 0) -> None:
        super().__init__(input_size, size, fed_size=fed_size)
        self.feed = Linear(fed_size, 3 * size, bias=False) if fed_size else None
        self.recurrent = Linear(size, 3 * size)

    def forward(self, projected: Tensor, fed: Tensor | None, state: State) -> State:
        hidden = state["hidden"]
        if fed is not None and self.feed is not None:
            projected = projected + self.feed(fed)
        r, z, n = projected.chunk(3, -1)
        hr, hz, hn = self.recurrent(hidden).chunk(3, -1)
        update = (z + hz).sigmoid()
        new = (n + (r + hr).sigmoid() * hn).tanh()
        return {"hidden": new + update * (hidden - new)}


class GRUChoCell(RecurrentCell):
    """The gated recurrent unit as first published, the reset gate applied before the product  (Cho et al. 2014, eq.
    5-8; Bahdanau et al. 2015, section A.1.1)."""

    gates, parts = 3, ("hidden",)

    def __init__(self, input_size: int, size: int, *, fed_size: int = 0) -> None:
        super().__init__(input_size, size, fed_size=fed_size)
        self.feed = Linear(fed_size, 3 * size, bias=False) if fed_size else None
        self.recurrent = Linear(size, 2 * size, bias=False)
        self.candidate = Linear(size, size, bias=False)

    def forward(self, projected: Tensor, fed: Tensor | None, state: State) -> State:
        hidden = state["hidden"]
        if fed is not None and self.feed is not None:
            projected = projected + self.feed(fed)
        gates, new = projected.split((2 * self.size, self.size), -1)
        reset, update = (gates + self.recurrent(hidden)).sigmoid().chunk(2, -1)
        new = (new + self.candidate(reset * hidden)).tanh()
        return {"hidden": hidden + update * (new - hidden)}


CELLS: dict[str, type[RecurrentCell]] = {"lstm": LSTMCell, "gru": GRUCell, "gru_cho": GRUChoCell}
