"""Training losses beside the head's cross-entropy: coverage and guided attention.

B sentences, T target tokens, S source positions; a_ts is the attention of target token t to source position s."""

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
    """-sum_t sum_s g_ts log a_ts: attention should be where the links g are  (Chen et al. 2016; Garg et al. 2019).

    weights (B, T, S), links (B, T, S) as in `Batch` -> scalar; target tokens without links do not count. Hard windows
    and sparse normalizers give weights of 0, which count as the smallest normal number of their dtype and get no
    gradient."""
    return -(links * weights.clamp_min(torch.finfo(weights.dtype).tiny).log()).sum()


def guided_squared_error(weights: Tensor, links: Tensor) -> Tensor:
    """sum_t sum_s (g_ts - a_ts)^2 over the target tokens that have links g  (Chen et al. 2016).

    weights (B, T, S), links (B, T, S) as in `Batch` -> scalar."""
    return ((links - weights).square().sum(-1) * (links.sum(-1) > 0)).sum()


GUIDED_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": guided_cross_entropy,
    "squared_error": guided_squared_error,
}


class Guidance(NamedTuple):
    """How attention is guided by word links."""

    loss: Callable[[Tensor, Tensor], Tensor]  # one of GUIDED_LOSSES
    weight: float


class LossOptions(NamedTuple):
    """The terms of the training loss beside cross-entropy."""

    smoothing: float = 0.0  # label smoothing
    coverage: float = 0.0  # weight of the coverage loss
    guidance: Guidance | None = None  # applied to batches that have links
