"""Functions from attention scores to weights, registered in `NORMALIZERS`. Scores a (..., S), weights of the same shape
that sum to 1."""

from collections.abc import Callable

import torch
from torch import Tensor

Normalizer = Callable[[Tensor], Tensor]


def softmax(scores: Tensor) -> Tensor:
    """exp(a) / sum exp(a): every allowed position gets some weight  (Bahdanau et al. 2015, eq. 6)."""
    return scores.softmax(-1)


def sparsemax(scores: Tensor) -> Tensor:
    """max(a - tau, 0), the nearest point of the simplex: weak positions get none  (Martins & Astudillo 2016, eq. 3)."""
    scores = scores - scores.amax(-1, keepdim=True)
    descending = scores.sort(-1, descending=True).values
    rank = torch.arange(1, scores.size(-1) + 1, device=scores.device, dtype=scores.dtype)
    excess = descending.cumsum(-1) - 1
    support = (rank * descending > excess).sum(-1, keepdim=True)  # how many positions keep weight
    return (scores - excess.gather(-1, support - 1) / support).clamp_min(0)


def entmax(scores: Tensor) -> Tensor:
    """max(a / 2 - tau, 0)^2, between softmax and sparsemax: entmax with alpha = 1.5  (Peters et al. 2019, eq. 12 and
    algorithm 2)."""
    # tau is at least -1: lower scores get no weight
    scores = ((scores - scores.amax(-1, keepdim=True)) / 2).clamp_min(-2)
    descending = scores.sort(-1, descending=True).values
    rank = torch.arange(1, scores.size(-1) + 1, device=scores.device, dtype=scores.dtype)
    mean, mean_square = descending.cumsum(-1) / rank, descending.square().cumsum(-1) / rank
    # the square root has no gradient at 0
    spread = (1 / rank - (mean_square - mean.square())).clamp_min(torch.finfo(scores.dtype).tiny)
    threshold = mean - spread.sqrt()  # tau, if so many positions keep weight
    support = (threshold <= descending).sum(-1, keepdim=True)
    return (scores - threshold.gather(-1, support - 1)).clamp_min(0).square()


NORMALIZERS: dict[str, Normalizer] = {"softmax": softmax, "entmax": entmax, "sparsemax": sparsemax}
