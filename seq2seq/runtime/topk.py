"""Stable top-k: the largest of many scores, ties broken by the lower index."""

import numpy as np

from .interface import Floats, Ints

CHUNK = 64  # scores whose maximum is taken together


def stable_topk(scores: Floats, count: int) -> tuple[Floats, Ints]:
    """The `count` largest of scores (..., C), or all C, largest first, ties in the order of the indices: values,
    indices.

    Entries of -inf have the index 0. Only scores that reach a lower bound of the smallest of them are sorted."""
    rows = scores.reshape(-1, scores.shape[-1])
    count = min(count, rows.shape[1])
    row, column = np.nonzero(~(rows < _lower_bound(rows, count)) & (rows != -np.inf))  # keeps NaN
    values = rows[row, column]
    order = np.lexsort((-values, row))  # stable: of equal values the lower column
    row, column, values = row[order], column[order], values[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)  # in its row
    kept = rank < count
    place = row[kept], rank[kept]
    best, index = np.full((len(rows), count), -np.inf, rows.dtype), np.zeros((len(rows), count), np.int64)
    best[place], index[place] = values[kept], column[kept]
    shape = (*scores.shape[:-1], count)
    return best.reshape(shape), index.reshape(shape)


def _lower_bound(rows: Floats, count: int) -> Floats:
    """A lower bound (R, 1) of the `count`-th largest of rows (R, C): that of the maxima of chunks, if there are so
    many."""
    chunks = rows.shape[1] // CHUNK
    if chunks < count:
        return np.full((len(rows), 1), -np.inf, rows.dtype)
    maxima = rows[:, : chunks * CHUNK].reshape(len(rows), chunks, CHUNK).max(2)
    return np.partition(maxima, chunks - count, axis=1)[:, chunks - count, None]
