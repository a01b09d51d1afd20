"""Is a difference called sure only where it is?"""

from collections.abc import Callable
from math import comb
from typing import Any

import pytest

from seq2seq.compare import paired_tests
from seq2seq.compare.collect import EvaluatedRun
from seq2seq.compare.compare import compare
from seq2seq.compare.paired_tests import TestOptions
from seq2seq.compare.result import Figure
from seq2seq.compare.variants import group
from seq2seq.evaluation.bleu import PAIRED_TESTS, sacrebleu_p_values
from seq2seq.evaluation.score import MetricOptions
from seq2seq.evaluation.testset import TestSet

Make = Callable[..., EvaluatedRun]
WORDS = [
    "the",
    "old",
    "teacher",
    "opens",
    "a",
    "small",
    "red",
    "window",
    "and",
    "sees",
    "two",
    "dogs",
    "in",
    "our",
    "garden",
]
REFERENCES = [" ".join(WORDS[i % 9 : i % 9 + 6]) for i in range(40)]
ONE = [" ".join(line.split()[: 3 + i % 3]) for i, line in enumerate(REFERENCES)]  # quite right, all too short
OTHER = [" ".join(line.split()[: 2 + i % 5]) for i, line in enumerate(REFERENCES)]


def figures_of(cells: list[EvaluatedRun], *metrics: str) -> list[dict[str, Figure]]:
    """Of each variant, the first of which is the baseline."""
    variants, _ = group(cells)
    asked = TestOptions(TestSet("made", REFERENCES, [REFERENCES]), MetricOptions("en", bootstrap=0), metrics, 200, 200)
    return [dict(row.figures) for row in compare(variants, variants[0], asked).rows]


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_a_variant_against_its_twin_is_no_different(seeds: int, make_cell: Make) -> None:
    """Whatever its seeds wrote; the order in which they come is nothing."""
    texts = [ONE, OTHER, REFERENCES][:seeds]
    cells = [make_cell(text, f"seed={i}") for i, text in enumerate(texts)]
    twins = [make_cell(text, f"seed={i}", "variant=twin") for i, text in enumerate(texts)]
    figures = figures_of([*cells, *twins[::-1]], "bleu", "chrf", "ter", "rougeL")[1]
    for name in ("bleu", "chrf", "ter", "rougeL"):
        assert figures[name].p == {"bootstrap": 1, "randomisation": 1}, name


@pytest.mark.parametrize("name", ["bleu", "rougeL"])
@pytest.mark.parametrize("seeds", [1, 2])
def test_one_sentence_that_differs_is_no_proof(name: str, seeds: int, make_cell: Make) -> None:
    """Of one seed too, where sacreBLEU would have said 1 / 201."""
    changed = ["nothing of the kind", *ONE[1:]]
    cells = [
        make_cell(text, f"seed={i}", f"variant={who}")
        for text, who in ((ONE, "a"), (changed, "b"))
        for i in range(seeds)
    ]
    assert figures_of(cells, name)[1][name].p["randomisation"] == 1
    assert sacrebleu_p_values(
        "randomisation", ["bleu"], [ONE, changed], [REFERENCES], options=MetricOptions("en"), samples=200
    )["bleu"] == [1 / 201]


@pytest.mark.parametrize(("apart", "worse"), [(1, 1), (12, 9), (20, 14), (60, 37)])
def test_sentences_that_differ_alike_are_a_sign_test(apart: int, worse: int, make_cell: Make) -> None:
    """Its p is known: that of so many heads or more, on either side, in so many throws. sacreBLEU, which leaves out ties, says less."""
    right, wrong = "the old teacher opens a small window", "the old teacher opens a small garden"
    texts = [[*[wrong] * (apart - worse), *[right] * worse, *[right] * (99 - apart)]]
    texts += [[*[right] * (apart - worse), *[wrong] * worse, *[right] * (99 - apart)]]
    variants, _ = group([make_cell(text, f"variant={who}") for who, text in zip("ab", texts, strict=True)])
    asked = TestOptions(
        TestSet("made", [right] * 99, [[right] * 99]),
        MetricOptions("en", bootstrap=0),
        ["bleu", "chrf", "ter"],
        0,
        4000,
    )
    figures = compare(variants, variants[0], asked).rows[1].figures
    exact = min(1, 2 * sum(comb(apart, heads) for heads in range(worse, apart + 1)) / 2**apart)
    alone = sacrebleu_p_values(
        "randomisation", ["bleu", "ter"], texts, [[right] * 99], options=MetricOptions("en"), samples=4000
    )
    for name in ("bleu", "chrf", "ter"):
        assert figures[name].p["randomisation"] == pytest.approx(exact, abs=0.02), name
    assert max(alone["bleu"][0], alone["ter"][0]) < 0.7 * exact


def test_the_larger_p_is_told(make_cell: Make, p_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    p = p_of("randomisation", "bleu", [OTHER], [ONE], REFERENCES, 200)
    for theirs in (p / 2, (1 + p) / 2):
        monkeypatch.setattr(
            paired_tests,
            "sacrebleu_p_values",
            lambda kind, names, *_, theirs=theirs, **__: {name: [theirs] for name in names},
        )
        figures = figures_of([make_cell(ONE), make_cell(OTHER, "variant=b")], "bleu")
        assert figures[1]["bleu"].p["randomisation"] == pytest.approx(max(p, theirs))


@pytest.mark.parametrize("test", PAIRED_TESTS)
@pytest.mark.parametrize("name", ["bleu", "chrf", "rougeL"])
def test_p_of_several_seeds(test: str, name: str, make_cell: Make, p_of: Any) -> None:
    """Runs of one seed are partners in the swaps; with other numbers of seeds each is with each."""
    a, b = [ONE, OTHER], [OTHER[1:] + OTHER[:1], [f"{line} again" for line in ONE]]
    for system in (b, b[:1]):
        cells = [
            make_cell(text, f"seed={i}", f"variant={who}")
            for who, texts in (("a", a), ("b", system))
            for i, text in enumerate(texts)
        ]
        p = figures_of(cells, name)[1][name].p[test]
        assert p == pytest.approx(p_of(test, name, system, a, REFERENCES, 200), abs=1e-12)
        assert p < 1
