"""Is the interval as wide as theory says, and where it says?"""

import numpy as np
import pytest

from seq2seq.evaluation.rouge import mean_of_sums
from seq2seq.evaluation.significance import bootstrap_interval, resample_counts


def values(n: int, seed: int = 0) -> np.ndarray:
    return np.stack([np.random.default_rng(seed).normal(50, 10, n), np.ones(n)], axis=1)


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    """Standard error 10 / sqrt(400) = 0.5: about 50 +- 0.98."""
    statistics = values(400)
    low, high = bootstrap_interval(statistics, mean_of_sums, samples=2000)
    middle = statistics[:, 0].mean()
    error = statistics[:, 0].std() / 20
    assert low == pytest.approx(middle - 1.96 * error, abs=0.1)
    assert high == pytest.approx(middle + 1.96 * error, abs=0.1)


def test_95_percent_of_the_intervals_hold_the_true_mean() -> None:
    """Of 200, binomial: 190 +- 3 standard deviations of 3.1, and a little less for small n."""
    held = 0
    for seed in range(200):
        low, high = bootstrap_interval(values(50, seed), mean_of_sums, samples=200, seed=seed)
        held += low < 50 < high
    assert 178 <= held <= 198


def test_equal_sentences_leave_no_doubt() -> None:
    assert bootstrap_interval(np.array([[40.0, 1.0]] * 7), mean_of_sums, samples=50) == (40, 40)


def test_each_resample_draws_as_many_sentences_as_there_are() -> None:
    drawn = np.array(list(resample_counts(30, 500, seed=1)))
    assert drawn.shape == (500, 30)
    assert (drawn.sum(1) == 30).all()
    np.testing.assert_allclose(drawn.mean(0), 1, atol=0.25)


def test_the_draws_are_those_of_one_large_draw() -> None:
    together = np.random.default_rng(5).choice(11, size=(20, 11), replace=True)
    np.testing.assert_array_equal(
        list(resample_counts(11, 20, seed=5)), [np.bincount(row, minlength=11) for row in together]
    )
