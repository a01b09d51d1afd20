"""Are differences as sure as sacreBLEU says, and as theory says?"""

from itertools import product
from statistics import NormalDist

import numpy as np
import pytest

from seq2seq.evaluation.metrics import score
from seq2seq.evaluation.rouge import mean
from seq2seq.evaluation.sacre import TESTS, paired_test
from seq2seq.evaluation.score import How
from seq2seq.evaluation.significance import TRIALS, holm, paired_bootstrap, randomisation, resampled, swaps

WORDS = ["the", "a", "cat", "dog", "house", "tree", "sees", "runs", "sleeps", "old", "small", "red"]


def texts(seed: int, wrong: float, lines: int = 60) -> tuple[list[str], list[str]]:
    """References, and hypotheses in which a share of the words is another."""
    rng = np.random.default_rng(1)
    references = [list(rng.choice(WORDS, rng.integers(5, 12))) for _ in range(lines)]
    rng = np.random.default_rng(seed)
    hypotheses = [[rng.choice(WORDS) if rng.random() < wrong else word for word in line] for line in references]
    return [" ".join(line) for line in references], [" ".join(line) for line in hypotheses]


def p_of(test: str, name: str, system: list[list[str]], baseline: list[list[str]], references: list[str], samples: int) -> float:
    """Ours, of systems of several runs."""
    ours, theirs = ([score(lines, [references], [name], bootstrap=0)[0] for lines in runs] for runs in (system, baseline))
    corpus, statistics = ours[0].corpus, [[made.statistics for made in runs] for runs in (ours, theirs)]
    if test == "randomisation":
        return randomisation(*statistics, corpus, samples)
    values = resampled([*statistics[0], *statistics[1]], corpus, samples)
    parts = values[:, : len(system)].mean(1), values[:, len(system) :].mean(1)
    return paired_bootstrap(*parts, float(np.mean([s.value for s in ours]) - np.mean([s.value for s in theirs])))


@pytest.mark.parametrize("name", ["bleu", "chrf", "ter"])
@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("wrong", [0.3, 0.36])
def test_p_is_sacrebleus(test: str, name: str, wrong: float) -> None:
    """Of one run each, for the same seed and number of samples; which is no multiple of what is drawn together."""
    references, baseline = texts(2, 0.3)
    system = texts(3, wrong)[1]
    (theirs,) = paired_test(test, [name], [baseline, system], [references], How(), 130)[name]
    ours = p_of(test, name, [system], [baseline], references, 130)
    assert ours == pytest.approx(theirs, abs=1e-12)
    assert 1 / 131 < ours <= 1


def test_several_metrics_and_systems_at_once() -> None:
    references, baseline = texts(2, 0.3)
    systems = [baseline, *(texts(seed, 0.35)[1] for seed in (3, 4))]
    found = paired_test("bootstrap", ["ter", "bleu"], systems, [references], How(), 50)
    assert list(found) == ["ter", "bleu"]
    for name, values in found.items():
        assert values == [p_of("bootstrap", name, [lines], [baseline], references, 50) for lines in systems[1:]]


@pytest.mark.parametrize("test", TESTS)
def test_a_difference_of_nothing_is_never_exceeded(test: str) -> None:
    """So that p is as small as can be, in sacreBLEU too: who compares must see for himself that nothing differs."""
    references, one = texts(2, 0.3)
    (theirs,) = paired_test(test, ["bleu"], [one, one], [references], How(), 40)["bleu"]
    assert p_of(test, "bleu", [one], [one], references, 40) == pytest.approx(theirs) == pytest.approx(1 / 41)


@pytest.mark.parametrize("test", TESTS)
def test_runs_that_are_there_twice_change_nothing(test: str) -> None:
    """The mean over seeds of equal runs is that of one: alike for as many partners, and for each with each."""
    references, one = texts(2, 0.3)
    two = texts(3, 0.36)[1]
    p = p_of(test, "bleu", [two], [one], references, 100)
    assert p_of(test, "bleu", [two, two], [one, one], references, 100) == pytest.approx(p)
    assert p_of(test, "bleu", [two, two, two], [one, one], references, 100) == pytest.approx(p)


def means(values: np.ndarray) -> np.ndarray:
    return np.stack([values, np.ones(len(values))], axis=1)


def test_randomisation_of_a_mean_solved_on_paper() -> None:
    """Three sentences, differences 1, 2 and 3: of the eight swaps two give a mean difference of 2, and none exceeds it."""
    system, baseline = means(np.array([1.0, 2.0, 3.0])), means(np.zeros(3))
    seen = [abs(sum(sign * d for sign, d in zip(signs, (1, 2, 3), strict=True))) / 3 for signs in product((-1, 1), repeat=3)]
    assert sorted(seen) == pytest.approx([0, 0, 2 / 3, 2 / 3, 4 / 3, 4 / 3, 2, 2])
    assert randomisation([system], [baseline], mean, trials=999) == 1 / 1000
    smaller = means(np.array([1.0, 2.0, -3.0]))  # a difference of 0: all swaps but those that give 0 exceed it
    assert randomisation([smaller], [baseline], mean, trials=4000) == pytest.approx(3 / 4, abs=0.03)


@pytest.mark.parametrize("effect", [0.0, 0.15])
def test_p_of_a_mean_is_that_of_the_normal_distribution(effect: float) -> None:
    rng = np.random.default_rng(4)
    difference = rng.normal(0, 1, 400)
    difference += effect - difference.mean()
    system, baseline = means(50 + difference), means(np.full(400, 50.0))
    wanted = 2 * (1 - NormalDist().cdf(effect * 20))
    assert randomisation([system], [baseline], mean, trials=2000) == pytest.approx(wanted, abs=0.02)


def test_draws_of_swaps_continue_one_large_draw() -> None:
    together = np.random.default_rng(7).integers(2, size=(3 * TRIALS + 5, 13), dtype=bool)
    np.testing.assert_array_equal(np.concatenate(list(swaps(13, 3 * TRIALS + 5, seed=7))), together)


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
