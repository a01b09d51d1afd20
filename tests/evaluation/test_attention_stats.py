"""Statistics of attention maps, by hand."""

from math import log

import numpy as np
import pytest

from seq2seq.evaluation.attention_stats import diagonality, entropy, normalized_entropy, percent, ratio


def test_ratio_and_percent() -> None:
    assert percent(np.array([1.0, 4.0])) == 25
    assert percent(np.array([0.0, 0.0])) == ratio(np.array([0.0, 0.0])) == 0


def test_entropy_by_hand() -> None:
    """One position: 0; two alike: ln 2; all four: ln 4. A row that sums to less than 1 is scaled, a row of zeros is
    skipped."""
    weights = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4, [0.1, 0.1, 0, 0], [0, 0, 0, 0]])
    assert entropy(weights) == pytest.approx((0 + log(2) + log(4) + log(2), 4))
    assert normalized_entropy(weights) == pytest.approx((0.5 + 1 + 0.5, 4))
    assert normalized_entropy(np.ones((3, 1))) == (0, 0)


def test_diagonality_by_hand() -> None:
    """For 3 target and 5 source positions the diagonal is at 0, 2 and 4. The middle row is off by 1 of at most 2:
    0.5."""
    on, off = np.zeros((3, 5)), np.zeros((3, 5))
    on[[0, 1, 2], [0, 2, 4]] = 1
    off[[0, 1, 2], [4, 0, 0]] = 1
    assert diagonality(on) == (3, 3)
    assert diagonality(off) == (0, 3)
    on[1] = [0, 0.5, 0, 0.5, 0]
    assert diagonality(on) == pytest.approx((2.5, 3))
    on[2] = 0
    assert diagonality(on) == pytest.approx((1.5, 2))
    assert diagonality(np.ones((1, 5))) == diagonality(np.ones((5, 1))) == (0, 0)


def test_diagonality_is_independent_of_size_and_direction() -> None:
    for n in (2, 3, 10, 40):
        assert diagonality(np.eye(n)) == pytest.approx((n, n))
        flat = np.full((n, n), 1 / n)
        assert diagonality(flat)[0] == pytest.approx(diagonality(flat[::-1, ::-1])[0])
