"""Stable top-k in NumPy against a stable sort."""

import numpy as np

from seq2seq.runtime.topk import stable_topk
from tests.each import each


@each("columns", [1, 3, 6, 7, 50, 1000])
@each("levels", [1, 4, 10**6])
@each("count", [1, 6])
def test_is_the_start_of_a_stable_sort(columns, levels, count):
    chance = np.random.default_rng(columns)
    scores = chance.integers(0, levels, (20, 2, columns)).astype(np.float32)
    scores[chance.random(scores.shape) < 0.3] = -np.inf
    scores[0] = -np.inf
    scores[1, 0, columns // 2 :] = -np.inf
    values, index = stable_topk(scores, count)
    order = np.argsort(-scores, axis=2, kind="stable")[..., :count]
    expected = np.take_along_axis(scores, order, 2)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(index, np.where(expected == -np.inf, 0, order))


def test_values_that_are_no_numbers_are_kept():
    assert np.isnan(stable_topk(np.full((2, 9), np.nan), 3)[0]).all()
