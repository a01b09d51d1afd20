"""Reversal of each row within its own length, for encoders that read from the last token to the first."""

from typing import Any

import torch
from torch import Tensor


def reverse(x: Tensor, mask: Tensor) -> Tensor:
    """x (B, S, ...), mask (B, S) bool, True on tokens -> the tokens of each row last to first, padding still after
    them.

    Its own inverse; the padding is reversed, too."""
    B, S = mask.shape
    index = mask.sum(1, keepdim=True) - 1 - torch.arange(S, device=mask.device)  # (B, S)
    index = torch.where(index < 0, index + S, index)
    reversed_x: Tensor = Permute.apply(x, (index + S * torch.arange(B, device=mask.device).unsqueeze(1)).flatten())
    return reversed_x


class Permute(torch.autograd.Function):
    """The B * S rows of x (B, S, ...) in the order of `index` (B * S), a permutation that is its own inverse.

    So the backward pass is the same gather, where that of a general gather has to add up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        return x.flatten(0, 1).index_select(0, index).view_as(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        return Permute.apply(grad_outputs[0], *ctx.saved_tensors), None
