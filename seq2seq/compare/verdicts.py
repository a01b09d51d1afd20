"""What the tests say of a difference from the baseline, in words.

A variant is called better or worse only if every test says so, over sentences and over seeds. Where no test over seeds
is possible, as with one run of a variant, it is so "here", in these runs.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from statistics import fmean, stdev
from typing import NamedTuple

from seq2seq.compare.result import SEEDS, Column, Figure, VariantRow

SIGNIFICANCE_LEVEL = 0.05  # for Holm-corrected p-values
DISAGREE, NOT_OVER_SEEDS = "seeds disagree", "not over seeds"


class SeedDifferences(NamedTuple):
    """How much the runs of a variant differ from those of the baseline in one column."""

    mean: float
    spread: float  # standard deviation of the difference between two runs
    values: tuple[float, ...]  # of runs with the same seed; of each run from each if the seeds are not the same

    @property
    def disagree(self) -> bool:
        """Whether some runs are above the baseline's and others below."""
        return min(self.values) < 0 < max(self.values)


def seed_differences(figure: Figure, baseline: Figure, *, same_seeds: bool) -> SeedDifferences:
    """The differences of a figure from the baseline's."""
    ours, theirs = figure.values, baseline.values
    pairs = zip(ours, theirs, strict=True) if same_seeds else product(ours, theirs)
    variance = sum(stdev(values) ** 2 for values in (ours, theirs) if len(values) > 1)
    return SeedDifferences(fmean(ours) - fmean(theirs), variance**0.5, tuple(one - other for one, other in pairs))


def verdict(corrected: Mapping[str, float], differences: SeedDifferences, better: str) -> str:
    """What the Holm-corrected p-values of the tests say together; empty if those over sentences find no difference.

    `better`: "higher", "lower" or empty, as of the column."""
    over_sentences = [p for test, p in corrected.items() if test != SEEDS]
    if not over_sentences or max(over_sentences) >= SIGNIFICANCE_LEVEL:
        return ""
    if corrected.get(SEEDS, 0) >= SIGNIFICANCE_LEVEL:
        return DISAGREE if differences.disagree else NOT_OVER_SEEDS
    word = "differs"
    if better:
        word = "better" if (differences.mean > 0) == (better == "higher") else "worse"
    return word if SEEDS in corrected else f"{word} here"


def findings(rows: Sequence[VariantRow], baseline: VariantRow, columns: Sequence[Column]) -> list[str]:
    """Sentences on the variants whose seeds do not bear out their difference from the baseline, and in what columns."""
    return [
        f"{row.variant} against {baseline.variant}: {reason}."
        for row in rows
        if row is not baseline
        for reason in seed_reasons(row, baseline, columns)
    ]


def seed_reasons(row: VariantRow, baseline: VariantRow, columns: Sequence[Column]) -> list[str]:
    """Each reason why the differences of one variant may be those of its seeds, with the columns that have it."""
    disagreeing, spread, unsure = [], [], []
    for column in columns:
        figure = row.figures.get(column.key)
        if figure is None or SEEDS not in figure.corrected:
            continue
        found = seed_differences(figure, baseline.figures[column.key], same_seeds=row.seeds == baseline.seeds)
        digits = column.digits
        mean = f"{found.mean:+.{digits}f} ± {found.spread:.{digits}f}"
        if found.disagree:
            disagreeing.append(f"{column.label} ({min(found.values):+.{digits}f} to {max(found.values):+.{digits}f})")
        elif found.spread > abs(found.mean):
            spread.append(f"{column.label} ({mean})")
        elif figure.verdict == NOT_OVER_SEEDS:
            unsure.append(f"{column.label} ({mean})")
    sentences = {
        "the seeds disagree in": disagreeing,
        "the spread over seeds is larger than the difference in": spread,
        "the difference on these sentences is not shown for other seeds in": unsure,
    }
    return [f"{words} {', '.join(places)}" for words, places in sentences.items() if places]
