"""Intervals and p-values against theory, sacreBLEU and cases solved by hand."""

from collections.abc import Callable
from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from seq2seq.evaluation import significance
from seq2seq.evaluation.bleu import PAIRED_TESTS, sacrebleu_p_values
from seq2seq.evaluation.rouge import mean_of_sums
from seq2seq.evaluation.scores import MetricOptions
from seq2seq.evaluation.significance import (
    TRIALS_PER_BLOCK,
    bootstrap_interval,
    bootstrap_p_value,
    holm,
    randomisation,
    resample_counts,
    resample_scores,
    swap_masks,
)

P = Callable[..., float]  # the fixture p_value


def statistics_of(values: np.ndarray) -> np.ndarray:
    """Statistics (n, 2) whose `mean_of_sums` is the mean of the values."""
    return np.stack([values, np.ones(len(values))], axis=1)


def normal(n: int, seed: int = 0) -> np.ndarray:
    """Statistics of n values with mean 50 and standard deviation 10."""
    return statistics_of(np.random.default_rng(seed).normal(50, 10, n))


# Intervals


def test_interval_of_a_mean_is_the_normal_one() -> None:
    """Standard error 10 / sqrt(400) = 0.5: about 50 +- 0.98."""
    statistics = normal(400)
    low, high = bootstrap_interval(statistics, mean_of_sums, samples=2000)
    middle = statistics[:, 0].mean()
    error = statistics[:, 0].std() / 20
    assert low == pytest.approx(middle - 1.96 * error, abs=0.1)
    assert high == pytest.approx(middle + 1.96 * error, abs=0.1)


def test_95_percent_of_the_intervals_hold_the_true_mean() -> None:
    """Of 200, binomial: 190 +- 3 standard deviations of 3.1, and a little less for small n."""
    held = 0
    for seed in range(200):
        low, high = bootstrap_interval(normal(50, seed), mean_of_sums, samples=200, seed=seed)
        held += low < 50 < high
    assert 178 <= held <= 198


def test_interval_of_equal_sentences_is_a_point() -> None:
    assert bootstrap_interval(np.array([[40.0, 1.0]] * 7), mean_of_sums, samples=50) == (40, 40)


def test_each_resample_draws_n_sentences() -> None:
    drawn = np.array(list(resample_counts(30, 500, seed=1)))
    assert drawn.shape == (500, 30)
    assert (drawn.sum(1) == 30).all()
    np.testing.assert_allclose(drawn.mean(0), 1, atol=0.25)


def test_resamples_equal_one_large_draw() -> None:
    together = np.random.default_rng(5).choice(11, size=(20, 11), replace=True)
    expected = [np.bincount(row, minlength=11) for row in together]
    np.testing.assert_array_equal(list(resample_counts(11, 20, seed=5)), expected)


# Paired tests of text

WORDS = ["the", "a", "cat", "dog", "house", "tree", "sees", "runs", "sleeps", "old", "small", "red"]


def texts(seed: int, wrong: float, lines: int = 60) -> tuple[list[str], list[str]]:
    """References, and hypotheses in which a share of the words is replaced."""
    rng = np.random.default_rng(1)
    references = [list(rng.choice(WORDS, rng.integers(5, 12))) for _ in range(lines)]
    rng = np.random.default_rng(seed)
    hypotheses = [[rng.choice(WORDS) if rng.random() < wrong else word for word in line] for line in references]
    return [" ".join(line) for line in references], [" ".join(line) for line in hypotheses]


@pytest.mark.parametrize("name", ["bleu", "chrf", "ter"])
@pytest.mark.parametrize("test", PAIRED_TESTS)
@pytest.mark.parametrize("wrong", [0.3, 0.36])
def test_p_equals_sacrebleu(test: str, name: str, wrong: float, p_value: P, monkeypatch: pytest.MonkeyPatch) -> None:
    """For single runs, the same seed and the same number of samples, which is no multiple of TRIALS_PER_BLOCK.

    TER counts whole edits, so that many swaps reproduce the observed difference exactly: sacreBLEU's p, which depends
    on rounding there, lies between ours counting all of these ties and none."""
    references, baseline = texts(2, 0.3)
    system = texts(3, wrong)[1]
    (theirs,) = sacrebleu_p_values(
        test, [name], [baseline, system], [references], options=MetricOptions(), samples=130
    )[name]
    ours = p_value(test, name, [system], [baseline], references, 130)
    monkeypatch.setattr(significance, "TIE_TOLERANCE", -significance.TIE_TOLERANCE)
    without = p_value(test, name, [system], [baseline], references, 130)
    assert without - 1e-12 <= theirs <= ours + 1e-12
    assert 1 / 131 < ours <= 1
    if (name, test) == ("ter", "randomisation"):
        assert without < ours
    else:
        assert without == ours


def test_several_metrics_and_systems_in_one_call_of_sacrebleu(p_value: P) -> None:
    references, baseline = texts(2, 0.3)
    systems = [baseline, *(texts(seed, 0.35)[1] for seed in (3, 4))]
    found = sacrebleu_p_values("bootstrap", ["ter", "bleu"], systems, [references], options=MetricOptions(), samples=50)
    assert list(found) == ["ter", "bleu"]
    for name, p_values in found.items():
        assert p_values == [p_value("bootstrap", name, [lines], [baseline], references, 50) for lines in systems[1:]]


@pytest.mark.parametrize("test", PAIRED_TESTS)
def test_p_of_no_difference_is_one(test: str, p_value: P) -> None:
    """No resample exceeds a difference of zero, so that sacreBLEU's p is as small as can be where systems hardly
    differ."""
    references, one = texts(2, 0.3)
    two = texts(3, 0.36)[1]
    (theirs,) = sacrebleu_p_values(test, ["bleu"], [one, one], [references], options=MetricOptions(), samples=40)[
        "bleu"
    ]
    assert theirs == pytest.approx(1 / 41)
    assert p_value(test, "bleu", [one], [one], references, 40) == 1
    assert p_value(test, "bleu", [two, one], [one, two], references, 40) == 1  # the same runs in another order
    assert p_value(test, "bleu", [one, two], [one, two], references, 40) == 1


@pytest.mark.parametrize("name", ["bleu", "chrf", "ter", "rougeL"])
def test_one_different_sentence_is_not_significant(name: str, p_value: P) -> None:
    """Swapped or not, it gives the observed difference up to its sign; of two sentences half of the swaps do."""
    references, one = texts(2, 0.3)
    worse = ["nothing at all", *one[1:]]
    assert p_value("randomisation", name, [worse], [one], references, 200) == 1
    assert p_value("randomisation", name, [worse, worse], [one, one], references, 200) == 1
    worst = ["nothing at all", "nothing at all", *one[2:]]
    assert p_value("randomisation", name, [worst], [one], references, 2000) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("test", PAIRED_TESTS)
def test_duplicate_runs_do_not_change_p(test: str, p_value: P) -> None:
    """Whether runs are swapped with their partners, or each with each."""
    references, one = texts(2, 0.3)
    two = texts(3, 0.36)[1]
    p = p_value(test, "bleu", [two], [one], references, 100)
    assert p_value(test, "bleu", [two, two], [one, one], references, 100) == pytest.approx(p)
    assert p_value(test, "bleu", [two, two, two], [one, one], references, 100) == pytest.approx(p)


# Paired tests of means


def p_of_means(system: np.ndarray, baseline: np.ndarray, trials: int) -> float:
    return randomisation(system=[system], baseline=[baseline], formula=mean_of_sums, trials=trials)


def test_randomisation_of_a_mean_by_hand() -> None:
    """Differences 1, 2 and 3: two of the eight swaps give a mean difference of 2 up to its sign, none exceeds it."""
    system, baseline = statistics_of(np.array([1.0, 2.0, 3.0])), statistics_of(np.zeros(3))
    differences = [
        abs(sum(sign * d for sign, d in zip(signs, (1, 2, 3), strict=True))) / 3 for signs in product((-1, 1), repeat=3)
    ]
    assert sorted(differences) == pytest.approx([0, 0, 2 / 3, 2 / 3, 4 / 3, 4 / 3, 2, 2])
    assert p_of_means(system, baseline, 4000) == pytest.approx(2 / 8, abs=0.03)
    none = statistics_of(np.array([1.0, 2.0, -3.0]))  # a difference of 0, which all swaps reach
    assert p_of_means(none, baseline, 100) == 1
    smaller = statistics_of(np.array([1.0, -2.0, 3.0]))  # of 2/3: all swaps but the two that give 0
    assert p_of_means(smaller, baseline, 4000) == pytest.approx(6 / 8, abs=0.03)


@pytest.mark.parametrize(("systems", "baselines"), [(2, 2), (1, 2), (3, 2)])
def test_randomisation_over_seeds_equals_all_swaps(systems: int, baselines: int) -> None:
    """Runs are swapped with their partners if both systems have as many, else each with each.

    Four sentences: all sixteen swaps are enumerated."""
    rng = np.random.default_rng(5)
    ours, theirs = ([rng.integers(1, 9, (4, 2)).astype(float) for _ in range(count)] for count in (systems, baselines))
    pairs = list(zip(ours, theirs, strict=True) if systems == baselines else product(ours, theirs))

    def difference(swapped: tuple[bool, ...], pairs: list[Any]) -> float:
        """Of ratios of sums, so that it matters which run a sentence is swapped with."""
        mask = np.array(swapped)[:, None]
        differences = [
            mean_of_sums(np.where(mask, b, a).sum(0)) - mean_of_sums(np.where(mask, a, b).sum(0)) for a, b in pairs
        ]
        return abs(float(np.mean(differences)))

    def exact(pairs: list[Any]) -> float:
        observed = difference((False,) * 4, pairs)
        swaps = product((False, True), repeat=4)
        return float(np.mean([difference(swapped, pairs) >= observed - 1e-12 for swapped in swaps]))

    p = randomisation(system=ours, baseline=theirs, formula=mean_of_sums, trials=8000)
    assert p == pytest.approx(exact(pairs), abs=0.02)
    if systems == baselines:
        assert abs(exact(pairs) - exact(list(product(ours, theirs)))) > 0.05


@pytest.mark.parametrize("effect", [0.0, 0.15])
def test_randomisation_of_a_mean_is_the_two_sided_normal_test(effect: float) -> None:
    rng = np.random.default_rng(4)
    difference = rng.normal(0, 1, 400)
    difference += effect - difference.mean()
    system, baseline = statistics_of(50 + difference), statistics_of(np.full(400, 50.0))
    expected = 2 * (1 - NormalDist().cdf(effect * 20))
    assert p_of_means(system, baseline, 2000) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("effect", [0.08, 0.1, 0.12])  # 1.6, 2 and 2.4 standard errors
def test_bootstrap_of_a_mean_is_the_one_sided_normal_test(effect: float) -> None:
    """As sacreBLEU's, which docs/how-to/compare-runs.md says."""
    rng = np.random.default_rng(4)
    difference = rng.normal(0, 1, 400)
    difference = (difference - difference.mean()) / difference.std() + effect
    system, baseline = statistics_of(50 + difference), statistics_of(np.full(400, 50.0))
    scores = resample_scores([system, baseline], mean_of_sums, samples=4000)
    p = bootstrap_p_value(system=scores[:, 0], baseline=scores[:, 1], difference=effect)
    assert p == pytest.approx(1 - NormalDist().cdf(effect * 20), abs=0.01)


def test_swaps_equal_one_large_draw() -> None:
    trials = 3 * TRIALS_PER_BLOCK + 5
    together = np.random.default_rng(7).integers(2, size=(trials, 13), dtype=bool)
    np.testing.assert_array_equal(np.concatenate(list(swap_masks(13, trials, seed=7))), together)


# Several tests


def test_holm_by_hand() -> None:
    """Sorted 0.01, 0.02, 0.03, 0.04: times 4, 3, 2, 1 is 0.04, 0.06, 0.06, 0.04, and none may fall below the one
    before."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.5]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_holm_controls_the_family_wise_error_rate() -> None:
    """Five tests of nothing, 2,000 times: a false alarm at 0.05 in 5 % of the families, in 23 % without correction."""
    p = np.random.default_rng(0).random((2000, 5))
    alarms = np.mean([min(holm(row)) <= 0.05 for row in p])
    assert 0.035 <= alarms <= 0.065
    assert np.mean(p.min(1) <= 0.05) > 0.2
