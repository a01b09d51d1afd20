"""Which units are left out? Dropout that draws few random numbers and keeps one byte a unit for the way back."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

STEPS = 2**16  # a unit is kept or not by 16 random bits


def kept(size: tuple[int, ...] | torch.Size, p: float, device: torch.device) -> Tensor:
    """int8 of this size: 1 with probability 1 - p, to the nearest 1 / 65,536, else 0.

    On the processor torch draws a number for each unit, which takes longer than a layer's products; here one serves four."""
    if device.type != "cpu":
        return (torch.rand(size, device=device) >= p).to(torch.int8)
    count = torch.Size(size).numel()
    source = np.random.SFC64(int(torch.randint(2**63 - 1, ())))
    bits = torch.from_numpy(np.atleast_1d(source.random_raw(-(-count // 4))).view(np.int16))[:count]
    least = round(p * STEPS) - STEPS // 2  # of the numbers from -32,768 on that keep their unit
    return (
        bits.clamp_(least - 1, least).sub_(least - 1).to(torch.int8).view(size)
    )  # comparing, to bool, is not vectorised


class Masked(torch.autograd.Function):
    """x * mask * scale, of which the mask alone is kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(mask)
        ctx.scale = scale
        return x * mask.to(x.dtype).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return Masked.apply(grads[0], *ctx.saved_tensors, ctx.scale), None, None


class MaskedReLU(torch.autograd.Function):
    """max(x, 0) * mask * scale, of which the result alone is kept: it is above 0 where a slope passes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor, scale: float) -> Tensor:
        y = x.relu().mul_(mask.to(x.dtype).mul_(scale))
        ctx.save_for_backward(y)
        ctx.scale = scale
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(grads[0], y, 0).mul_(ctx.scale), None, None


class Dropout(nn.Module):
    """x / (1 - p) of the units that are kept, else 0, in training alone  (Srivastava et al. 2014, section 4, scaled early)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """(...) -> the same."""
        if not self.training or not self.p:
            return x
        dropped: Tensor = Masked.apply(x, kept(x.shape, self.p, x.device), 1 / (1 - self.p))
        return dropped

    def relu(self, x: Tensor) -> Tensor:
        """The same of max(x, 0): what the next layer keeps serves both on the way back."""
        if not self.training or not self.p:
            return x.relu()
        dropped: Tensor = MaskedReLU.apply(x, kept(x.shape, self.p, x.device), 1 / (1 - self.p))
        return dropped
