"""Are differences as sure as sacreBLEU says, and as theory says?"""

from collections.abc import Callable
from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from seq2seq.evaluation import significance
from seq2seq.evaluation.bleu import PAIRED_TESTS, sacrebleu_p_values
from seq2seq.evaluation.rouge import mean_of_sums
from seq2seq.evaluation.score import MetricOptions
from seq2seq.evaluation.significance import (
    TRIALS_PER_BLOCK,
    bootstrap_p_value,
    holm,
    randomisation,
    resample_scores,
    swap_masks,
)

P = Callable[..., float]

WORDS = ["the", "a", "cat", "dog", "house", "tree", "sees", "runs", "sleeps", "old", "small", "red"]


def texts(seed: int, wrong: float, lines: int = 60) -> tuple[list[str], list[str]]:
    """References, and hypotheses in which a share of the words is another."""
    rng = np.random.default_rng(1)
    references = [list(rng.choice(WORDS, rng.integers(5, 12))) for _ in range(lines)]
    rng = np.random.default_rng(seed)
    hypotheses = [[rng.choice(WORDS) if rng.random() < wrong else word for word in line] for line in references]
    return [" ".join(line) for line in references], [" ".join(line) for line in hypotheses]


@pytest.mark.parametrize("name", ["bleu", "chrf", "ter"])
@pytest.mark.parametrize("test", PAIRED_TESTS)
@pytest.mark.parametrize("wrong", [0.3, 0.36])
def test_p_is_sacrebleus(test: str, name: str, wrong: float, p_of: P, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one run each, for the same seed and number of samples; which is no multiple of what is drawn together.

    TER counts whole edits, so that many swaps give the very difference that was seen: sacreBLEU's p, which depends on rounding there, lies
    between ours with all of these and with none."""
    references, baseline = texts(2, 0.3)
    system = texts(3, wrong)[1]
    (theirs,) = sacrebleu_p_values(
        test, [name], [baseline, system], [references], options=MetricOptions(), samples=130
    )[name]
    ours = p_of(test, name, [system], [baseline], references, 130)
    monkeypatch.setattr(significance, "TIE_TOLERANCE", -significance.TIE_TOLERANCE)
    without = p_of(test, name, [system], [baseline], references, 130)
    assert without - 1e-12 <= theirs <= ours + 1e-12
    assert 1 / 131 < ours <= 1
    if (name, test) == ("ter", "randomisation"):
        assert without < ours
    else:
        assert without == ours


def test_several_metrics_and_systems_at_once(p_of: P) -> None:
    references, baseline = texts(2, 0.3)
    systems = [baseline, *(texts(seed, 0.35)[1] for seed in (3, 4))]
    found = sacrebleu_p_values("bootstrap", ["ter", "bleu"], systems, [references], options=MetricOptions(), samples=50)
    assert list(found) == ["ter", "bleu"]
    for name, values in found.items():
        assert values == [p_of("bootstrap", name, [lines], [baseline], references, 50) for lines in systems[1:]]


@pytest.mark.parametrize("test", PAIRED_TESTS)
def test_chance_always_reaches_a_difference_of_nothing(test: str, p_of: P) -> None:
    """It never exceeds it, so that sacreBLEU's p is as small as can be: it is not what to ask of systems that hardly differ."""
    references, one = texts(2, 0.3)
    two = texts(3, 0.36)[1]
    (theirs,) = sacrebleu_p_values(test, ["bleu"], [one, one], [references], options=MetricOptions(), samples=40)[
        "bleu"
    ]
    assert theirs == pytest.approx(1 / 41)
    assert p_of(test, "bleu", [one], [one], references, 40) == 1
    assert p_of(test, "bleu", [two, one], [one, two], references, 40) == 1  # the same runs in another order
    assert p_of(test, "bleu", [one, two], [one, two], references, 40) == 1


@pytest.mark.parametrize("name", ["bleu", "chrf", "ter", "rougeL"])
def test_one_sentence_that_differs_proves_nothing(name: str, p_of: P) -> None:
    """Both of its swaps give the difference that was seen, up to its sign; of two sentences half of the swaps do."""
    references, one = texts(2, 0.3)
    worse = ["nothing at all", *one[1:]]
    assert p_of("randomisation", name, [worse], [one], references, 200) == 1
    assert p_of("randomisation", name, [worse, worse], [one, one], references, 200) == 1
    worst = ["nothing at all", "nothing at all", *one[2:]]
    assert p_of("randomisation", name, [worst], [one], references, 2000) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("test", PAIRED_TESTS)
def test_runs_that_are_there_twice_change_nothing(test: str, p_of: P) -> None:
    """The mean over seeds of equal runs is that of one: alike for as many partners, and for each with each."""
    references, one = texts(2, 0.3)
    two = texts(3, 0.36)[1]
    p = p_of(test, "bleu", [two], [one], references, 100)
    assert p_of(test, "bleu", [two, two], [one, one], references, 100) == pytest.approx(p)
    assert p_of(test, "bleu", [two, two, two], [one, one], references, 100) == pytest.approx(p)


def means(values: np.ndarray) -> np.ndarray:
    return np.stack([values, np.ones(len(values))], axis=1)


def test_randomisation_of_a_mean_solved_on_paper() -> None:
    """Three sentences, differences 1, 2 and 3: of the eight swaps two give a mean difference of 2 up to its sign, and none exceeds it."""
    system, baseline = means(np.array([1.0, 2.0, 3.0])), means(np.zeros(3))
    seen = [
        abs(sum(sign * d for sign, d in zip(signs, (1, 2, 3), strict=True))) / 3 for signs in product((-1, 1), repeat=3)
    ]
    assert sorted(seen) == pytest.approx([0, 0, 2 / 3, 2 / 3, 4 / 3, 4 / 3, 2, 2])
    assert randomisation(system=[system], baseline=[baseline], formula=mean_of_sums, trials=4000) == pytest.approx(
        2 / 8, abs=0.03
    )
    smaller = means(np.array([1.0, 2.0, -3.0]))  # a difference of 0, which all swaps reach
    assert randomisation(system=[smaller], baseline=[baseline], formula=mean_of_sums, trials=100) == 1
    between = means(np.array([1.0, -2.0, 3.0]))  # of 2/3: all but the two that give 0
    assert randomisation(system=[between], baseline=[baseline], formula=mean_of_sums, trials=4000) == pytest.approx(
        6 / 8, abs=0.03
    )


@pytest.mark.parametrize(("systems", "baselines"), [(2, 2), (1, 2), (3, 2)])
def test_randomisation_over_seeds_is_that_of_all_swaps(systems: int, baselines: int) -> None:
    """Runs are swapped with their partners where both have as many, else each with each: four sentences, sixteen swaps, each made."""
    rng = np.random.default_rng(5)
    ours, theirs = ([rng.integers(1, 9, (4, 2)).astype(float) for _ in range(count)] for count in (systems, baselines))
    pairs = list(zip(ours, theirs, strict=True) if systems == baselines else product(ours, theirs))

    def difference(swapped: tuple[bool, ...], pairs: list[Any] = pairs) -> float:
        """A ratio of sums, so that it matters what is added to what."""
        where = np.array(swapped)[:, None]
        return abs(
            float(
                np.mean(
                    [
                        mean_of_sums(np.where(where, b, a).sum(0)) - mean_of_sums(np.where(where, a, b).sum(0))
                        for a, b in pairs
                    ]
                )
            )
        )

    def exact(pairs: list[Any]) -> float:
        seen = difference((False,) * 4, pairs)
        return float(
            np.mean([difference(swapped, pairs) >= seen - 1e-12 for swapped in product((False, True), repeat=4)])
        )

    assert randomisation(system=ours, baseline=theirs, formula=mean_of_sums, trials=8000) == pytest.approx(
        exact(pairs), abs=0.02
    )
    if systems == baselines:
        assert abs(exact(pairs) - exact(list(product(ours, theirs)))) > 0.05


@pytest.mark.parametrize("effect", [0.0, 0.15])
def test_p_of_a_mean_is_that_of_the_normal_distribution(effect: float) -> None:
    rng = np.random.default_rng(4)
    difference = rng.normal(0, 1, 400)
    difference += effect - difference.mean()
    system, baseline = means(50 + difference), means(np.full(400, 50.0))
    wanted = 2 * (1 - NormalDist().cdf(effect * 20))
    assert randomisation(system=[system], baseline=[baseline], formula=mean_of_sums, trials=2000) == pytest.approx(
        wanted, abs=0.02
    )


@pytest.mark.parametrize("effect", [0.08, 0.1, 0.12])  # of 1.6, 2 and 2.4 standard errors
def test_p_of_the_bootstrap_is_that_of_one_side(effect: float) -> None:
    """As sacreBLEU's, which docs/how-to/compare-runs.md says."""
    rng = np.random.default_rng(4)
    difference = rng.normal(0, 1, 400)
    difference = (difference - difference.mean()) / difference.std() + effect
    system, baseline = means(50 + difference), means(np.full(400, 50.0))
    values = resample_scores([system, baseline], mean_of_sums, samples=4000)
    wanted = 1 - NormalDist().cdf(effect * 20)
    assert bootstrap_p_value(system=values[:, 0], baseline=values[:, 1], difference=effect) == pytest.approx(
        wanted, abs=0.01
    )


def test_draws_of_swaps_continue_one_large_draw() -> None:
    together = np.random.default_rng(7).integers(2, size=(3 * TRIALS_PER_BLOCK + 5, 13), dtype=bool)
    np.testing.assert_array_equal(np.concatenate(list(swap_masks(13, 3 * TRIALS_PER_BLOCK + 5, seed=7))), together)


def test_holms_correction_solved_on_paper() -> None:
    """Sorted 0.01, 0.02, 0.03, 0.04: times 4, 3, 2, 1 is 0.04, 0.06, 0.06, 0.04, and none may fall below the one before."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.5]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_a_family_of_tests_is_rarely_wrong() -> None:
    """Five tests of nothing, 2,000 times: a false alarm at 0.05 in 5 % of the families at most, in 23 % without correction."""
    p = np.random.default_rng(0).random((2000, 5))
    alarms = np.mean([min(holm(row)) <= 0.05 for row in p])
    assert 0.035 <= alarms <= 0.065
    assert np.mean(p.min(1) <= 0.05) > 0.2
