"""Significance tests against the baseline: ties, several seeds, and agreement with sacreBLEU."""

from collections.abc import Callable
from math import comb
from typing import Any

import pytest

from seq2seq.compare import paired_tests
from seq2seq.compare.collect import EvaluatedRun
from seq2seq.compare.compare import compare
from seq2seq.compare.paired_tests import TestOptions
from seq2seq.compare.result import Figure
from seq2seq.compare.variants import group_runs
from seq2seq.evaluation.bleu import PAIRED_TESTS, sacrebleu_p_values
from seq2seq.evaluation.metrics import score
from seq2seq.evaluation.over_seeds import interval_over_seeds, two_level_test
from seq2seq.evaluation.scores import MetricOptions
from seq2seq.evaluation.significance import resample_scores
from seq2seq.evaluation.testset import TestSet

Make = Callable[..., EvaluatedRun]
SENTENCE = "the old teacher opens a small red window and sees two dogs in our garden"
WORDS = SENTENCE.split()
REFERENCES = [" ".join(WORDS[i % 9 : i % 9 + 6]) for i in range(40)]
ONE = [" ".join(line.split()[: 3 + i % 3]) for i, line in enumerate(REFERENCES)]  # correct prefixes, all too short
OTHER = [" ".join(line.split()[: 2 + i % 5]) for i, line in enumerate(REFERENCES)]


def figures_of(runs: list[EvaluatedRun], *metrics: str) -> list[dict[str, Figure]]:
    """The figures of each variant; the first is the baseline."""
    variants, _ = group_runs(runs)
    options = TestOptions(
        TestSet("made", REFERENCES, [REFERENCES]), MetricOptions("en", bootstrap=0), metrics, 200, 200
    )
    return [dict(row.figures) for row in compare(variants, variants[0], options).rows]


@pytest.mark.parametrize("seeds", [1, 2])
def test_p_of_identical_variants_is_one(seeds: int, make_run: Make) -> None:
    """Whatever the hypotheses of the seeds are, and in whatever order the seeds come."""
    texts = [ONE, OTHER][:seeds]
    runs = [make_run(text, f"seed={i}") for i, text in enumerate(texts)]
    twins = [make_run(text, f"seed={i}", "variant=twin") for i, text in enumerate(texts)]
    figures = figures_of([*runs, *twins[::-1]], "bleu", "chrf", "ter", "rougeL")[1]
    for name in ("bleu", "chrf", "ter", "rougeL"):
        assert set(figures[name].p.values()) == {1}, name
        assert ("seeds" in figures[name].p) == (seeds > 1)
        assert figures[name].verdict == ""


@pytest.mark.parametrize(("name", "seeds"), [("bleu", 1), ("rougeL", 2)])
def test_one_differing_sentence_is_not_significant(name: str, seeds: int, make_run: Make) -> None:
    """With one seed too, for which sacreBLEU alone reports 1 / 201."""
    changed = ["nothing of the kind", *ONE[1:]]
    runs = [
        make_run(text, f"seed={i}", f"variant={variant}")
        for text, variant in ((ONE, "a"), (changed, "b"))
        for i in range(seeds)
    ]
    assert figures_of(runs, name)[1][name].p["randomisation"] == 1
    options = {"options": MetricOptions("en"), "samples": 200}
    p = sacrebleu_p_values("randomisation", ["bleu"], [ONE, changed], [REFERENCES], **options)  # type: ignore[arg-type]
    assert p == {"bleu": [1 / 201]}


@pytest.mark.parametrize(("differing", "worse"), [(12, 9), (60, 37)])
@pytest.mark.fast("12-9")
def test_randomisation_equals_the_sign_test(differing: int, worse: int, make_run: Make) -> None:
    """Where all differences have the same size, p is that of the exact two-sided sign test.

    sacreBLEU's p, which does not count ties, is smaller."""
    right, wrong = "the old teacher opens a small window", "the old teacher opens a small garden"
    texts = [[*[wrong] * (differing - worse), *[right] * worse, *[right] * (99 - differing)]]
    texts += [[*[right] * (differing - worse), *[wrong] * worse, *[right] * (99 - differing)]]
    variants, _ = group_runs([make_run(text, f"variant={name}") for name, text in zip("ab", texts, strict=True)])
    test = TestSet("made", [right] * 99, [[right] * 99])
    options = TestOptions(test, MetricOptions("en", bootstrap=0), ["bleu", "chrf", "ter"], 0, 2000)
    figures = compare(variants, variants[0], options).rows[1].figures
    exact = min(1, 2 * sum(comb(differing, heads) for heads in range(worse, differing + 1)) / 2**differing)
    sacrebleu = sacrebleu_p_values(
        "randomisation", ["bleu", "ter"], texts, [[right] * 99], options=MetricOptions("en"), samples=2000
    )
    for name in ("bleu", "chrf", "ter"):
        assert figures[name].p["randomisation"] == pytest.approx(exact, abs=0.02), name
    assert max(sacrebleu["bleu"][0], sacrebleu["ter"][0]) < 0.7 * exact


def test_larger_p_is_reported(make_run: Make, p_value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    p = p_value("randomisation", "bleu", [OTHER], [ONE], REFERENCES, 200)
    for theirs in (p / 2, (1 + p) / 2):
        monkeypatch.setattr(
            paired_tests,
            "sacrebleu_p_values",
            lambda test, names, *_, theirs=theirs, **__: {name: [theirs] for name in names},
        )
        figures = figures_of([make_run(ONE), make_run(OTHER, "variant=b")], "bleu")
        assert figures[1]["bleu"].p["randomisation"] == pytest.approx(max(p, theirs))


@pytest.mark.parametrize("name", ["bleu", "chrf", "rougeL"])
@pytest.mark.fast("chrf")
def test_p_of_several_seeds(name: str, make_run: Make, p_value: Any) -> None:
    """Runs of the same seed are swapped pairwise; with different numbers of seeds, each run with each."""
    a, b = [ONE, OTHER], [OTHER[1:] + OTHER[:1], [f"{line} again" for line in ONE]]
    for system in (b, b[:1]):
        runs = [
            make_run(text, f"seed={i}", f"variant={variant}")
            for variant, texts in (("a", a), ("b", system))
            for i, text in enumerate(texts)
        ]
        found = figures_of(runs, name)[1][name].p
        for test in PAIRED_TESTS:
            assert found[test] == pytest.approx(p_value(test, name, system, a, REFERENCES, 200), abs=1e-12)
            assert found[test] < 1


@pytest.mark.parametrize("name", ["bleu", "rougeL"])
def test_p_and_interval_over_seeds(name: str, make_run: Make) -> None:
    """As from the statistics of each run, whatever the number of seeds."""
    texts = {"a": [ONE, OTHER], "b": [OTHER[1:] + OTHER[:1], [f"{line} again" for line in ONE], REFERENCES]}
    runs = [
        make_run(text, f"seed={i}", f"variant={variant}") for variant in texts for i, text in enumerate(texts[variant])
    ]
    figure = figures_of(runs, name)[1][name]
    scores = {
        variant: [score(text, [REFERENCES], [name], language="en", bootstrap=0)[0] for text in seeds]
        for variant, seeds in texts.items()
    }
    baseline, system = ([run.statistics for run in scores[variant]] for variant in texts)
    formula = scores["a"][0].formula
    expected = two_level_test(system=system, baseline=baseline, formula=formula, samples=200)
    assert figure.p["seeds"] == pytest.approx(expected)
    variance = resample_scores(system, formula, samples=200).mean(1).var(ddof=1)
    low, high = interval_over_seeds([run.value for run in scores["b"]], float(variance))
    assert figure.interval == pytest.approx((max(low, 0), min(high, 100)))
