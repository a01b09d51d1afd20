"""Dropout with one random draw per four units and an int8 mask saved for the backward pass."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

LEVELS = 2**16  # each mask entry compares 16 random bits with p


def keep_mask(size: tuple[int, ...] | torch.Size, p: float, device: torch.device) -> Tensor:
    """int8 of this size: 1 with probability 1 - p, else 0, for 0 < p < 1.

    On the CPU p is rounded to a multiple of 1 / 65,536, at least one and less than 1. There torch draws a random number
    per unit, which takes longer than the layer's products; here one serves four."""
    if device.type != "cpu":
        return (torch.rand(size, device=device) >= p).to(torch.int8)
    count = torch.Size(size).numel()
    generator = np.random.SFC64(int(torch.randint(2**63 - 1, ())))
    bits = torch.from_numpy(np.atleast_1d(generator.random_raw(-(-count // 4))).view(np.int16))[:count]
    dropped = min(max(round(p * LEVELS), 1), LEVELS - 1)  # of the values from -32,768 on
    least = dropped - LEVELS // 2  # that keeps its unit
    # a comparison, to bool, is not vectorized
    return bits.clamp_(least - 1, least).sub_(least - 1).to(torch.int8).view(size)


def keep_scales(size: tuple[int, ...], p: float, like: Tensor) -> Tensor:
    """Factors of dropout, 1 / (1 - p) with probability 1 - p, else 0, in the dtype and on the device of `like`."""
    return keep_mask(size, p, like.device).to(like.dtype).div_(1 - p)


class Dropout(nn.Module):
    """x / (1 - p) for units that are kept, 0 for the others; the identity outside of training  (Srivastava et al. 2014,
    section 4)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """(...) -> the same shape."""
        if not self.training or not self.p:
            return x
        dropped: Tensor = MaskedScale.apply(x, keep_mask(x.shape, self.p, x.device), 1 / (1 - self.p))
        return dropped

    def relu(self, x: Tensor) -> Tensor:
        """dropout(max(x, 0)) as one operation, which saves its result alone."""
        if not self.training or not self.p:
            return x.relu()
        dropped: Tensor = MaskedReLU.apply(x, keep_mask(x.shape, self.p, x.device), 1 / (1 - self.p))
        return dropped


class MaskedScale(torch.autograd.Function):
    """x * mask * scale; saves the mask."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(mask)
        ctx.scale = scale
        return x * mask.to(x.dtype).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        return MaskedScale.apply(grad_outputs[0], *ctx.saved_tensors, ctx.scale), None, None


class MaskedReLU(torch.autograd.Function):
    """max(x, 0) * mask * scale; saves the result, which is above 0 where the gradient passes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor, scale: float) -> Tensor:
        y = x.relu().mul_(mask.to(x.dtype).mul_(scale))
        ctx.save_for_backward(y)
        ctx.scale = scale
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(grad_outputs[0], y, 0).mul_(ctx.scale), None, None
