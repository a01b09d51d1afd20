"""Statistics of attention maps: entropy, entropy relative to its maximum, and diagonality.

Each function returns two numbers for a sentence: a sum, and the number of positions summed over. The value of a corpus
is the ratio of their totals, which can be resampled like any score. T target and S source positions, EOS included.
"""

import numpy as np

from seq2seq.evaluation.scores import Array

Sums = tuple[float, float]  # a sum, and the number of its terms


def normalized_rows(weights: Array) -> Array:
    """The rows of weights (T, S) that are not all zero, each divided by its sum, (T', S).

    A Gaussian window leaves rows that sum to less than one, or to nothing."""
    total = weights.sum(-1, keepdims=True)
    attended = total[:, 0] > 0
    return np.asarray(weights[attended] / total[attended], dtype=np.float64)


def entropy(weights: Array) -> Sums:
    """Attention entropy H_t = - sum_s a_ts ln a_ts in nats, summed over target positions  (Ghader & Monz 2017).

    H_t is 0 if all weight is on one position, ln S if it is uniform."""
    rows = normalized_rows(weights)
    return float(-(rows * np.log(np.where(rows > 0, rows, 1))).sum()), len(rows)


def normalized_entropy(weights: Array) -> Sums:
    """Entropy H_t / ln S, from 0 to 1 whatever the source length, summed over target positions.

    Undefined for S = 1, which counts as 0 out of 0."""
    size = weights.shape[1]
    total, count = entropy(weights)
    return (total / np.log(size), count) if size > 1 else (0.0, 0)


def diagonality(weights: Array) -> Sums:
    """Diagonality D_t = 1 - sum_s a_ts |s - d_t| / max_s |s - d_t|, summed over target positions.

    d_t = t (S - 1) / (T - 1). D_t is 1 if all weight is on the diagonal from the first to the last position of both
    sides, 0 if all is as far from it as possible. After Zhang et al. 2021 ("On the usefulness of self-attention for
    ASR"), whose maps are square; here the diagonal goes from corner to corner. Undefined for T = 1 or S = 1, which
    counts as 0 out of 0."""
    T, S = weights.shape
    if T < 2 or S < 2:
        return 0.0, 0
    attended = weights.sum(-1) > 0
    diagonal = np.arange(T)[attended, None] * (S - 1) / (T - 1)
    distance = np.abs(np.arange(S) - diagonal)
    relative = (normalized_rows(weights) * distance).sum(-1) / distance.max(-1)
    return float((1 - relative).sum()), int(attended.sum())


def percent(sums: Array) -> float:
    """100 times `ratio`."""
    return 100 * ratio(sums)


def ratio(sums: Array) -> float:
    """The value of a corpus from the totals (2,) of its sentences' Sums; 0 for 0 out of 0."""
    return float(sums[0] / sums[1]) if sums[1] else 0.0
