"""What is said of a difference in words, given p-values and the figures of each seed."""

from collections.abc import Callable

import pytest

from seq2seq.compare.collect import EvaluatedRun
from seq2seq.compare.compare import compare
from seq2seq.compare.paired_tests import TestOptions
from seq2seq.compare.result import Column, Comparison, Figure, VariantRow
from seq2seq.compare.variants import group_runs
from seq2seq.compare.verdicts import SeedDifferences, findings, seed_differences, verdict
from seq2seq.evaluation.scores import MetricOptions
from seq2seq.evaluation.testset import TestSet

Make = Callable[..., EvaluatedRun]
BELOW, ABOVE = 0.049, 0.05
UP, DOWN, MIXED = (SeedDifferences(sum(v) / 2, 1.0, v) for v in ((1.0, 2.0), (-1.0, -2.0), (9.0, -1.0)))
VERDICTS: list[tuple[dict[str, float], SeedDifferences, str, str]] = [  # p-values, differences, better, verdict
    ({"bootstrap": BELOW, "randomisation": BELOW, "seeds": BELOW}, UP, "higher", "better"),
    ({"bootstrap": BELOW, "randomisation": BELOW, "seeds": BELOW}, DOWN, "higher", "worse"),
    ({"bootstrap": BELOW, "seeds": BELOW}, UP, "lower", "worse"),
    ({"bootstrap": BELOW, "seeds": BELOW}, DOWN, "lower", "better"),
    ({"bootstrap": BELOW, "seeds": BELOW}, DOWN, "", "differs"),
    ({"bootstrap": BELOW, "randomisation": BELOW}, UP, "higher", "better here"),
    ({"bootstrap": BELOW}, DOWN, "", "differs here"),
    ({"bootstrap": BELOW, "randomisation": BELOW, "seeds": ABOVE}, UP, "higher", "not over seeds"),
    ({"bootstrap": BELOW, "randomisation": BELOW, "seeds": ABOVE}, MIXED, "higher", "seeds disagree"),
    ({"bootstrap": ABOVE, "randomisation": BELOW, "seeds": BELOW}, UP, "higher", ""),
    ({"bootstrap": ABOVE}, MIXED, "higher", ""),
    ({"seeds": BELOW}, UP, "higher", ""),
    ({}, UP, "higher", ""),
]


@pytest.mark.parametrize(("corrected", "differences", "better", "words"), VERDICTS)
def test_better_needs_every_test(
    corrected: dict[str, float], differences: SeedDifferences, better: str, words: str
) -> None:
    assert verdict(corrected, differences, better) == words


def test_runs_of_one_seed_are_compared() -> None:
    """The spread is that of the difference between two runs: sqrt(1 + 4)."""
    ours, theirs = Figure(20, (19.0, 20.0, 21.0)), Figure(18, (16.0, 20.0, 18.0))
    found = seed_differences(ours, theirs, same_seeds=True)
    assert found == (2, pytest.approx(5**0.5), (3, 0, 3))
    assert not found.disagree
    each = seed_differences(ours, theirs, same_seeds=False)
    assert sorted(each.values) == [-1, 0, 1, 1, 2, 3, 3, 4, 5]
    assert each.disagree


def table_row(name: str, verdict: str, *values: float, seeds: tuple[int, ...] = (1, 2, 3)) -> VariantRow:
    """A row with one figure, tested over seeds."""
    figure = Figure(sum(values) / len(values), values, corrected={"seeds": 0.5}, verdict=verdict)
    return VariantRow(name, "rnn", seeds, (), {}, {"bleu": figure})


def test_findings_say_why_a_difference_is_none_of_the_variants() -> None:
    """The first row is docs/explanation/luong-table.md's local_p."""
    none = table_row("none", "", 22.5, 22.5, 22.5)
    rows = [
        none,
        table_row("local_p", "seeds disagree", 36.0, 19.8, 24.6),
        table_row("spread", "not over seeds", 23.0, 23.0, 30.0),
        table_row("few", "not over seeds", 25.0, 26.0, 27.0),
        table_row("good", "better", 33.0, 33.2, 33.4),
    ]
    assert findings(rows, none, [Column("bleu", "BLEU", "higher")]) == [
        "local_p against none: the seeds disagree in BLEU (-2.70 to +13.50).",
        "spread against none: the spread over seeds is larger than the difference in BLEU (+2.83 ± 4.04).",
        "few against none: the difference on these sentences is not shown for other seeds in BLEU (+3.50 ± 1.00).",
    ]


def test_single_seeds_have_no_findings() -> None:
    none = table_row("none", "", 22.5, seeds=(1,))
    row = VariantRow("a", "rnn", (1,), (), {}, {"bleu": Figure(30.0, (30.0,), corrected={"bootstrap": 0.001})})
    assert findings([none, row], none, [Column("bleu", "BLEU", "higher")]) == []


RIGHT = ["A B C D", "C D E F", "A B C D E", "D E F G H", "A B C D E F", "G H I J K L"] * 4


def compared(make_run: Make, texts: dict[str, list[list[str]]]) -> Comparison:
    """The comparison by chrF of variants with a text for each seed; the first is the baseline."""
    runs = [
        make_run(text, f"variant={variant}", f"seed={seed}")
        for variant, seeds in texts.items()
        for seed, text in enumerate(seeds, 1)
    ]
    variants, _ = group_runs(runs)
    options = TestOptions(TestSet("made", RIGHT, [RIGHT]), MetricOptions("en", bootstrap=0), ("chrf",), 200, 400)
    return compare(variants, variants[0], options)


def with_wrong(count: int, word: str) -> list[str]:
    """RIGHT with a word in place of the last `count` sentences."""
    return RIGHT[: len(RIGHT) - count] + [word] * count


BASE = [with_wrong(16, "x"), with_wrong(17, "y"), with_wrong(16, "z")]


def test_comparison_has_verdicts_and_findings(make_run: Make) -> None:
    """Of a variant that is better with every seed, and of one whose seeds disagree."""
    good = [with_wrong(2, "x"), with_wrong(1, "y"), RIGHT]
    mixed = [RIGHT, with_wrong(23, "x"), with_wrong(1, "x")]
    found = compared(make_run, {"base": BASE, "good": good, "mixed": mixed})
    better, unsure = (row.figures["chrf"] for row in found.rows[1:])
    assert better.verdict == "better"
    assert better.p.keys() == {"bootstrap", "randomisation", "seeds"}
    assert any("two-sided test over seeds" in line for line in found.footnotes)
    assert max(unsure.p["bootstrap"], unsure.p["randomisation"]) < 0.025
    assert unsure.p["seeds"] > 0.1
    assert unsure.verdict == "seeds disagree"
    assert [line.split(" (")[0] for line in found.findings] == ["mixed against base: the seeds disagree in chrF2"]
    assert unsure.interval == (0, 100)  # as wide as chrF can be


def test_single_runs_are_better_here(make_run: Make) -> None:
    """In these runs, as the header says."""
    found = compared(make_run, {"base": BASE[:1], "good": [RIGHT]})
    assert found.rows[1].figures["chrf"].p.keys() == {"bootstrap", "randomisation"}
    assert found.rows[1].figures["chrf"].verdict == "better here"
    assert any("speaks of these runs and not of the variants" in line for line in found.header)


def test_copies_of_a_run_under_other_seeds_are_no_evidence(make_run: Make) -> None:
    """They are named, and count as one seed: nothing can be said of other seeds."""
    found = compared(make_run, {"base": BASE[:1] * 3, "copied": [RIGHT] * 3})
    assert "seeds" not in found.rows[1].figures["chrf"].p
    assert not any("two-sided test over seeds" in line for line in found.footnotes)
    assert found.rows[1].figures["chrf"].verdict == "better here"
    assert sum("count as one seed" in line for line in found.header) == 2
