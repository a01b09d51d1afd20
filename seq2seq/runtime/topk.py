"""Stable top-k: the largest of many scores, ties broken by the lower index."""

import numpy as np

from .interface import Floats, Ints


def stable_topk(scores: Floats, count: int) -> tuple[Floats, Ints]:
    """The `count` largest of scores (..., C), or all C, largest first, ties in the order of the indices: values,
    indices.

    Entries of -inf have the index 0."""
    rows = scores.reshape(-1, scores.shape[-1])
    size = rows.shape[1]
    count = min(count, size)
    first = max(0, size - count - 1)  # one more than `count`, to see ties at the cutoff
    index = np.sort(np.argpartition(rows, first, axis=1)[:, first:], axis=1)
    values = np.take_along_axis(rows, index, 1)
    order = np.argsort(-values, axis=1, kind="stable")[:, : count + 1]
    values, index = np.take_along_axis(values, order, 1), np.take_along_axis(index, order, 1)
    tied = (values[:, count - 1] == values[:, -1]) & (values[:, -1] != -np.inf)
    if count < size and tied.any():  # argpartition took any of them
        index[tied] = np.argsort(-rows[tied], axis=1, kind="stable")[:, : count + 1]
    index[values == -np.inf] = 0
    shape = (*scores.shape[:-1], count)
    return values[:, :count].reshape(shape), index[:, :count].reshape(shape)
