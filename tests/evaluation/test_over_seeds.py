"""Tests and intervals over seeds and sentences: laws, tables of t, a case solved by hand, and simulated error rates."""

import math
from itertools import permutations
from statistics import NormalDist, variance

import numpy as np
import pytest

from seq2seq.evaluation.over_seeds import (
    LEVELS,
    MANY,
    interval_over_seeds,
    p_over_seeds,
    student_critical_values,
    student_tail,
    two_level_test,
)
from seq2seq.evaluation.rouge import mean_of_sums

SENTENCES = 100
LOCAL_P, NONE = [36.0, 19.8, 24.6], [22.51, 22.52, 22.52]  # BLEU of three seeds, docs/explanation/luong-table.md


def statistics_of(values: np.ndarray) -> np.ndarray:
    """Statistics (n, 2) of one run whose `mean_of_sums` is the mean of the values."""
    return np.stack([values, np.ones(len(values))], axis=1)


def runs_of(
    rng: np.random.Generator, seeds: int, *, mean: float = 30.0, spread: float = 1.0, hardness: np.ndarray | float = 0.0
) -> list[np.ndarray]:
    """Runs of a variant: each differs from its mean by a normal draw, and has noise of its own in every sentence."""
    means = mean + spread * rng.normal(size=seeds)
    return [statistics_of(each + hardness + 10 * rng.normal(size=SENTENCES)) for each in means]


def means(runs: list[np.ndarray]) -> list[float]:
    return [mean_of_sums(run.sum(0)) for run in runs]


def p_of(system: list[np.ndarray], baseline: list[np.ndarray], samples: int = 60) -> float | None:
    return two_level_test(system=system, baseline=baseline, formula=mean_of_sums, samples=samples)


# Student's t


@pytest.mark.parametrize(
    ("freedom", "p", "value"),
    [(1, 0.05, 12.706), (2, 0.05, 4.303), (2, 0.01, 9.925), (4, 0.05, 2.776), (4, 0.001, 8.610), (MANY, 0.05, 1.960)],
)
def test_critical_values_are_those_of_printed_tables(freedom: float, p: float, value: float) -> None:
    assert np.interp(p, LEVELS, student_critical_values(freedom)) == pytest.approx(value, abs=0.001)
    assert student_tail(np.array(value), freedom) == pytest.approx(p, rel=1e-3)


def test_two_degrees_of_freedom_have_a_closed_form() -> None:
    """P(|T| > t) = 1 - t / sqrt(2 + t^2)."""
    t = np.array([0.0, 0.1, 1.0, 7.0, 300.0])
    np.testing.assert_allclose(student_tail(t, 2), 1 - t / np.sqrt(2 + t**2), atol=1e-12)


# Solved by hand


def test_equal_runs_of_both_sides_are_a_t_test_with_one_sides_freedom() -> None:
    """Means 2 and 5, variance 1 of each: t = 3 / sqrt(2 / 3) = 3.674 for two degrees of freedom, so p = 0.0668."""
    t = 3 / math.sqrt(2 / 3)
    expected = 1 - t / math.sqrt(2 + t**2)
    assert expected == pytest.approx(0.0668, abs=1e-4)
    assert p_over_seeds(system=[1, 2, 3], baseline=[4, 5, 6], sentences=0) == pytest.approx(expected, rel=1e-3)


def test_interval_by_hand() -> None:
    """2 ± 4.303 sqrt(1/3) over three runs; with as much variance over sentences the mean of 4.303 and 1.96."""
    assert interval_over_seeds([1, 2, 3], 0) == pytest.approx((2 - 2.484, 2 + 2.484), abs=0.001)
    half = (4.303 + 1.960) / 2 * math.sqrt(2 / 3)
    assert interval_over_seeds([1, 2, 3], 1 / 3) == pytest.approx((2 - half, 2 + half), abs=0.001)
    assert interval_over_seeds([2, 2], 0) == (2, 2)


def test_local_p_is_not_better_than_none() -> None:
    """Although it is so by 4.3 BLEU, and sentences alone say p = 0.001."""
    assert p_over_seeds(system=LOCAL_P, baseline=NONE, sentences=0.3) > 0.4
    low, high = interval_over_seeds(LOCAL_P, 0.36)
    assert low < min(LOCAL_P) < max(LOCAL_P) < high


@pytest.mark.parametrize("sentences", [0.0, 0.2, 5.0])
def test_p_solves_cochrans_and_coxs_equation(sentences: float) -> None:
    """A twin that searches for p by bisection, with closed forms of t for one, two and infinite degrees of freedom."""
    system, baseline = [30.0, 32.0, 31.5], [27.0, 28.5]
    weights = [variance(system) / 3, variance(baseline) / 2, sentences]
    ratio = (np.mean(system) - np.mean(baseline)) / math.sqrt(sum(weights))

    def expected_ratio(p: float) -> float:
        two = (1 - p) * math.sqrt(2 / (1 - (1 - p) ** 2))
        return float(
            np.average([two, math.tan(math.pi / 2 * (1 - p)), NormalDist().inv_cdf(1 - p / 2)], weights=weights)
        )

    low, high = 1e-9, 1.0
    for _ in range(60):
        p = (low + high) / 2
        low, high = (p, high) if expected_ratio(p) > ratio else (low, p)
    assert p_over_seeds(system=system, baseline=baseline, sentences=sentences) == pytest.approx(p, rel=2e-3)


# Laws


def test_order_of_the_runs_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    system, baseline = runs_of(rng, 3), runs_of(rng, 3, mean=33)
    p = p_of(system, baseline)
    for one in permutations(system):
        assert p_of(list(one), baseline[::-1]) == pytest.approx(p)


def test_copies_of_a_run_count_once() -> None:
    """They would make the spread over seeds look small."""
    rng = np.random.default_rng(2)
    system, baseline = runs_of(rng, 2), runs_of(rng, 2, mean=45)
    assert p_of([*system, *system], [*baseline, baseline[0]]) == pytest.approx(p_of(system, baseline))
    assert p_of([system[0]] * 5, [baseline[0]] * 5) is None


def test_variant_does_not_differ_from_itself() -> None:
    runs = runs_of(np.random.default_rng(3), 3)
    assert p_of(runs, runs[::-1]) == 1


def test_single_runs_are_not_tested() -> None:
    one, other, third = runs_of(np.random.default_rng(4), 3)
    assert p_of([one], [other, third]) is None
    assert p_of([one], [other]) is None


def test_direction_of_the_difference_changes_nothing() -> None:
    rng = np.random.default_rng(5)
    system, baseline = runs_of(rng, 3), runs_of(rng, 2, mean=32)
    assert p_of(system, baseline) == pytest.approx(p_of(baseline, system))


def test_more_seeds_narrow_the_interval_on_average() -> None:
    rng = np.random.default_rng(6)
    widths = []
    for seeds in (2, 3, 4, 5):
        drawn = [interval_over_seeds(list(rng.normal(30, 1, seeds)), 0.1) for _ in range(50)]
        widths.append(np.mean([high - low for low, high in drawn]))
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 2 * widths[-1]


def test_p_grows_with_the_variance_over_sentences() -> None:
    p = [p_over_seeds(system=[1, 2, 3], baseline=[11, 12, 13], sentences=s) for s in (100, 10, 1)]
    assert p == sorted(p, reverse=True)


# Simulated


@pytest.mark.parametrize(("seeds", "spread"), [(2, 3.0), (3, 1.0), (3, 3.0), (3, 20.0), (5, 3.0)])
def test_variants_of_one_distribution_are_called_different_in_at_most_5_percent(seeds: int, spread: float) -> None:
    """Of 200 comparisons; variants 25 points and 3 spreads apart are told apart in most, with three seeds or more."""
    rng = np.random.default_rng(7)
    hardness = 20 * rng.normal(size=SENTENCES)  # of the sentences, the same for all runs
    found, powerful = 0, 0
    for _ in range(200):
        one, other = (runs_of(rng, seeds, spread=spread, hardness=hardness) for _ in range(2))
        far = [run + statistics_of(np.full(SENTENCES, 25 + 3 * spread)) * [1, 0] for run in other]
        sentences = float(np.var(np.mean(one, axis=0)[:, 0] - np.mean(other, axis=0)[:, 0]) / SENTENCES)
        found += p_over_seeds(system=means(one), baseline=means(other), sentences=sentences) < 0.05
        powerful += p_over_seeds(system=means(one), baseline=means(far), sentences=sentences) < 0.05
    assert found <= 10
    assert powerful > 100
