"""What does training minimise beside the head's cross-entropy?"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.ids import PAD


def coverage_loss(weights: Tensor, target_out: Tensor) -> Tensor:
    """sum_t sum_s min(a_ts, c_ts), c_t = sum of a before t: attending twice costs  (See et al. 2017, eq. 12).

    weights (B, T, S), target_out (B, T) -> scalar, the sum over the steps that are not padding."""
    covered = weights.cumsum(1) - weights
    return (weights.minimum(covered).sum(-1) * (target_out != PAD)).sum()


def guided_cross_entropy(weights: Tensor, links: Tensor) -> Tensor:
    """-sum_t sum_s g_ts log a_ts: attention should be where the links are  (Chen et al. 2016; Garg et al. 2019).

    weights (B, T, S), links (B, T, S) as of `Batch` -> scalar; target tokens without links have no part. Hard windows and sparse
    normalisers give weights of 0, which count as the least number there is, and learn nothing from it."""
    return -(links * weights.clamp_min(torch.finfo(weights.dtype).tiny).log()).sum()


def guided_squared_error(weights: Tensor, links: Tensor) -> Tensor:
    """sum_t sum_s (g_ts - a_ts)^2 of the same, over the target tokens that have links  (Chen et al. 2016)."""
    return ((links - weights).square().sum(-1) * (links.sum(-1) > 0)).sum()


class Guidance(NamedTuple):
    """By which of the losses attention is guided, and how much."""

    loss: Callable[[Tensor, Tensor], Tensor]
    weight: float


GUIDED_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": guided_cross_entropy,
    "squared_error": guided_squared_error,
}
