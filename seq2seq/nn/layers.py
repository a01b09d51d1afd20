"""What else is a Transformer made of? Feed-forward networks, positions and the table of normalisations."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from seq2seq.nn.ops.dropout import Dropout
from seq2seq.nn.ops.linear import Linear


class FeedForward(nn.Module):
    """W2 f(W1 x)  (Vaswani et al. 2017, eq. 2); f may gate one half with the other."""

    def __init__(
        self, size: int, inner: int, dropout: float, activation: tuple[int, Callable[[Tensor], Tensor]]
    ) -> None:
        super().__init__()
        halves, self.activation = activation
        self.inner, self.outer = Linear(size, halves * inner), Linear(inner, size)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        given = self.inner(x)
        hidden = (
            self.dropout.relu(given) if self.activation is nn.functional.relu else self.dropout(self.activation(given))
        )
        y: Tensor = self.outer(hidden)
        return y


def swiglu(x: Tensor) -> Tensor:
    """swish(a) * b of the two halves  (Shazeer 2020, eq. 6)."""
    a, b = x.chunk(2, -1)
    return nn.functional.silu(a) * b


class Rotary(nn.Module):
    """Turns pairs of features by an angle that grows with the position, so that products see distances  (Su et al. 2021, eq. 34)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor, number: Tensor) -> Tensor:
        """x (B, heads, N, d) at positions (N,) -> the same shape; pairs are (0, 1), (2, 3), ..."""
        angle = angles(number, self.size)
        cos, sin = (
            angle.cos().to(x.dtype),
            angle.sin().to(x.dtype),
        )  # an angle in half precision would be off by a radian at position 300
        a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
        turned = torch.stack((a * cos - b * sin, a * sin + b * cos), -1)
        return turned.flatten(-2)


class Positions(nn.Module):
    """Tells an embedded token where it stands: sqrt(D) x + sinusoids or a learned table; `rotary` leaves it to attention."""

    def __init__(self, kind: str, size: int, heads: int, most: int) -> None:
        """most: positions of the learned table."""
        super().__init__()
        self.kind, self.scale, self.size = kind, math.sqrt(size), size
        self.rotary = Rotary(size // heads) if kind == "rotary" else None
        self.table = nn.Embedding(most, size) if kind == "learned" else None
        if self.table is not None:
            nn.init.normal_(self.table.weight, std=0.02)

    def forward(self, x: Tensor, number: Tensor) -> Tensor:
        """x (B, N, D) at positions (N,) -> (B, N, D)."""
        x = x * self.scale
        if self.table is not None:
            return x + self.table(number)
        if self.kind == "sinusoidal":
            angle = angles(number, self.size)
            return x + torch.cat((angle.sin(), angle.cos()), -1).to(
                x.dtype
            )  # Vaswani et al. 2017, section 3.5, halves not interleaved
        return x


def angles(number: Tensor, size: int) -> Tensor:
    """position / 10000^(2i / size): (N,) -> (N, size / 2)  (Vaswani et al. 2017, section 3.5)."""
    rate = torch.exp(torch.arange(0, size, 2, device=number.device) * (-math.log(10000.0) / size))
    return number.unsqueeze(-1) * rate


NORMS: dict[str, type[nn.Module]] = {
    "layer": nn.LayerNorm,
    "rms": nn.RMSNorm,
}  # Ba et al. 2016; Zhang & Sennrich 2019, eq. 4
ACTIVATIONS: dict[str, tuple[int, Callable[[Tensor], Tensor]]] = {  # name -> how many halves it reads, function
    "relu": (1, nn.functional.relu),
    "gelu": (1, nn.functional.gelu),
    "swiglu": (2, swiglu),
}
