"""Building blocks of the Transformer: feed-forward networks, positional encodings, normalizations and activations."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from seq2seq.nn.ops.dropout import Dropout
from seq2seq.nn.ops.linear import Linear


class FeedForward(nn.Module):
    """W2 f(W1 x)  (Vaswani et al. 2017, eq. 2). A gated f reads twice as many features as it returns."""

    def __init__(
        self, size: int, inner: int, dropout: float, activation: tuple[int, Callable[[Tensor], Tensor]]
    ) -> None:
        """size: D. inner: size between the two layers. activation: an entry of ACTIVATIONS."""
        super().__init__()
        factor, self.activation = activation
        self.inner, self.outer = Linear(size, factor * inner), Linear(inner, size)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        x = self.inner(x)
        relu = self.activation is nn.functional.relu
        x = self.dropout.relu(x) if relu else self.dropout(self.activation(x))
        y: Tensor = self.outer(x)
        return y


def swiglu(x: Tensor) -> Tensor:
    """(..., 2 D) -> (..., D): swish(a) * b of the two halves  (Shazeer 2020, eq. 6)."""
    a, b = x.chunk(2, -1)
    return nn.functional.silu(a) * b


def angles(positions: Tensor, size: int) -> Tensor:
    """position / 10000^(2i / size): (N,) -> (N, size / 2)  (Vaswani et al. 2017, section 3.5)."""
    rate = torch.exp(torch.arange(0, size, 2, device=positions.device) * (-math.log(10000.0) / size))
    return positions.unsqueeze(-1) * rate


class Rotary(nn.Module):
    """Rotary position embedding  (Su et al. 2021, eq. 34).

    Rotates pairs of features by an angle proportional to the position: inner products depend on distances only."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """x (B, heads, N, d) at positions (N,) -> the same shape; the pairs are (0, 1), (2, 3), ..."""
        angle = angles(positions, self.size)
        # cast after cos and sin: an angle in half precision would be off by a radian at position 300
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
        rotated = torch.stack((a * cos - b * sin, a * sin + b * cos), -1)
        return rotated.flatten(-2)


class PositionalEncoding(nn.Module):
    """sqrt(D) x plus sinusoids or a learned table; `rotary` adds nothing and leaves positions to self-attention."""

    def __init__(self, kind: str, *, size: int, heads: int, max_length: int) -> None:
        """kind: "sinusoidal", "learned" or "rotary". size: D. max_length: entries of the learned table."""
        super().__init__()
        self.kind, self.scale, self.size = kind, math.sqrt(size), size
        self.rotary = Rotary(size // heads) if kind == "rotary" else None
        self.table = nn.Embedding(max_length, size) if kind == "learned" else None
        if self.table is not None:
            nn.init.normal_(self.table.weight, std=0.02)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """x (B, N, D) at positions (N,) -> (B, N, D)."""
        x = x * self.scale
        if self.table is not None:
            return x + self.table(positions)
        if self.kind == "sinusoidal":  # Vaswani et al. 2017, section 3.5; sines first, then cosines, not interleaved
            angle = angles(positions, self.size)
            return x + torch.cat((angle.sin(), angle.cos()), -1).to(x.dtype)
        return x


NORMS: dict[str, type[nn.Module]] = {
    "layer": nn.LayerNorm,  # Ba et al. 2016
    "rms": nn.RMSNorm,  # Zhang & Sennrich 2019, eq. 4
}
ACTIVATIONS: dict[str, tuple[int, Callable[[Tensor], Tensor]]] = {  # name -> inputs per output, function
    "relu": (1, nn.functional.relu),
    "gelu": (1, nn.functional.gelu),
    "swish": (1, nn.functional.silu),  # Ramachandran et al. 2017, also called SiLU
    "swiglu": (2, swiglu),
}
