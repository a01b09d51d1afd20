"""How does a system behave, whatever its score? It repeats itself, copies, leaves words unknown, and looks here or there.

Each measure gives a sentence two sums, what is counted and out of how many, so that a corpus' figure is their ratio and can
be resampled like any other. T target and S source positions of a map of attention, EOS included.
"""

import numpy as np

from seq2seq.evaluation.score import Array

Sums = tuple[float, float]


def rows(weights: Array) -> Array:
    """The rows (T', S) of a map that have weight, each made to sum to 1: a Gaussian window leaves less, and nothing is nowhere."""
    total = weights.sum(-1, keepdims=True)
    kept = total[:, 0] > 0
    return np.asarray(weights[kept] / total[kept], dtype=np.float64)


def entropy(weights: Array) -> Sums:
    """H_t = - sum_s a_ts ln a_ts in nats, summed over target positions, and those positions  (attention entropy of Ghader & Monz 2017).

    0: each looks at one place; ln S: at all alike."""
    kept = rows(weights)
    return float(-(kept * np.log(np.where(kept > 0, kept, 1))).sum()), len(kept)


def spread(weights: Array) -> Sums:
    """H_t / ln S, from 0 to 1 for sources of any length, summed over target positions, and those; S = 1 says nothing: 0 of 0."""
    size = weights.shape[1]
    total, count = entropy(weights)
    return (total / np.log(size), count) if size > 1 else (0.0, 0)


def diagonality(weights: Array) -> Sums:
    """D_t = 1 - sum_s a_ts |s - d_t| / max_s |s - d_t| with d_t = t (S - 1) / (T - 1), summed over target positions, and those.

    1: all weight on the diagonal from the first to the last position of both; 0: all as far from it as can be. As Zhang et al. 2021
    ("On the usefulness of self-attention for ASR") of maps whose sides are equal; here the diagonal goes from corner to corner.
    T = 1 or S = 1 says nothing: 0 of 0."""
    T, S = weights.shape
    if T < 2 or S < 2:
        return 0.0, 0
    with_weight = weights.sum(-1) > 0
    diagonal = np.arange(T)[with_weight, None] * (S - 1) / (T - 1)
    distance = np.abs(np.arange(S) - diagonal)
    far = (rows(weights) * distance).sum(-1) / distance.max(-1)
    return float((1 - far).sum()), int(with_weight.sum())


def percent(sums: Array) -> float:
    """100 of what is counted / out of how many; 0 of none."""
    return 100 * ratio(sums)


def ratio(sums: Array) -> float:
    """What is counted / out of how many; 0 of none."""
    return float(sums[0] / sums[1]) if sums[1] else 0.0
