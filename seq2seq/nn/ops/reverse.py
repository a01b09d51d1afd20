"""Reversal of each row inside its own length, as an encoder that reads backwards needs it."""

from typing import Any

import torch
from torch import Tensor


def reverse(x: Tensor, mask: Tensor) -> Tensor:
    """x (B, S, ...), mask (B, S): the tokens of each row last to first, its padding unmoved behind them."""
    B, S = mask.shape
    index = (mask.sum(1, keepdim=True) - 1 - torch.arange(S, device=mask.device)) % S  # (B, S)
    reversed_x: Tensor = Permute.apply(x, (index + S * torch.arange(B, device=mask.device).unsqueeze(1)).flatten())
    return reversed_x


class Permute(torch.autograd.Function):
    """The B * S rows of x (B, S, ...) in another order, by a permutation that is its own inverse: the backward pass is
    another gather, where that of a general gather has to add."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor) -> Tensor:
        ctx.index = index
        return x.flatten(0, 1).index_select(0, index).view_as(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        return grad_outputs[0].flatten(0, 1).index_select(0, ctx.index).view_as(grad_outputs[0]), None
