"""The result of a comparison as plain data; every table format and the report are written from it.

S source and T target subwords of a sentence, end of sentence included.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from seq2seq.evaluation.attention_records import AttentionRecord

SEEDS = "seeds"  # the test over seeds and sentences; the others are over sentences alone


class Column(NamedTuple):
    """One measure: a column of the table."""

    key: str  # bleu, aer, training_tokens_per_second, ...: the key in JSON and CSV
    label: str  # column heading
    better: str = ""  # "higher", "lower", or empty where neither is better
    digits: int = 2
    signature: str = ""  # how it was measured; a footnote
    unit: str = ""
    most: float | None = None  # the largest possible value; the smallest is 0

    @property
    def title(self) -> str:
        """Label and unit; the label alone may be that of several columns."""
        return f"{self.label}, {self.unit}" if self.unit else self.label


class Figure(NamedTuple):
    """The value of one measure for one variant, with its uncertainty."""

    value: float  # mean over the seeds
    values: tuple[float, ...]  # one per seed, in the order of VariantRow.seeds
    deviation: float | None = None  # sample standard deviation over the seeds; None for one seed
    interval: tuple[float, float] | None = None  # 95%, over sentences; with two runs and more, over seeds as well
    p: Mapping[str, float] = {}  # test (bootstrap, randomisation, SEEDS) -> uncorrected p-value against the baseline
    corrected: Mapping[str, float] = {}  # the same, Holm-corrected over the rows of the column
    verdict: str = ""  # what the tests say together, see verdicts.verdict: better, worse here, seeds disagree, ...


class Point(NamedTuple):
    """One row of a learning curve; nan where metrics.csv has no value."""

    update: int
    seconds: float
    processor_seconds: float
    loss: float
    dev_loss: float
    dev_score: float


@dataclass(frozen=True)
class VariantRow:
    """One variant: a row of the table, with its learning curves."""

    variant: str
    family: str  # rnn, transformer
    seeds: tuple[int, ...]
    runs: tuple[str, ...]  # run directories
    settings: Mapping[str, str]  # the settings in which the compared variants differ
    figures: Mapping[str, Figure]  # column key -> figure; a key is missing where a run lacks the measure
    curves: tuple[tuple[Point, ...], ...] = ()  # one per seed
    buckets: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # column key -> mean in each length bucket


class HealthWarning(NamedTuple):
    """A problem of a variant's outputs or attention."""

    variant: str
    sentence: str  # a complete sentence


@dataclass(frozen=True)
class Comparison:
    """Everything that tables and report show. Texts and attention are those of each variant's first seed."""

    title: str
    test: str  # name of the test set
    sources: Sequence[str]
    references: Sequence[Sequence[str]]  # one list per set of references
    columns: Sequence[Column]
    rows: Sequence[VariantRow]
    baseline: str  # the variant that the others are tested against
    header: Sequence[str] = ()  # sentences above the table: budget, unintended differences between the runs
    findings: Sequence[str] = ()  # sentences below the table: differences that the seeds do not bear out
    footnotes: Sequence[str] = ()  # sentences below those: how intervals and tests were made
    skipped: Sequence[tuple[str, str]] = ()  # run directory, reason
    buckets: Sequence[str] = ()  # ranges of source length, such as "1-10"
    health: Sequence[HealthWarning] = ()
    hypotheses: Mapping[str, Sequence[str]] = field(default_factory=dict)  # variant -> one line per sentence
    attention: Mapping[str, Sequence[AttentionRecord]] = field(default_factory=dict)  # variant -> one per sentence
    quality: str = ""  # name of the measure in `qualities`, such as "sentence chrF2"; higher is better
    qualities: Mapping[str, Sequence[float]] = field(default_factory=dict)  # variant -> one value per sentence
    windows: Mapping[str, int] = field(default_factory=dict)  # variant -> D of its local window
    versions: Mapping[str, str] = field(default_factory=dict)  # package -> version
    test_size: int = 0  # sentences of the test set, if only some of them are included here; 0: all
    numbers: Sequence[int] | None = None  # 1-based numbers of the included sentences; None: all

    @property
    def sentences(self) -> int:
        """Number of sentences that the figures are computed on."""
        return self.test_size or len(self.sources)


def with_sentences(comparison: Comparison, count: int) -> Comparison:
    """Include only `count` sentences, evenly spaced over the test set (0: all). Figures stay those of the whole set."""
    n = len(comparison.sources)
    if not 0 < count < n:
        return comparison
    chosen = [i * n // count for i in range(count)]

    def pick(items: Sequence[Any]) -> list[Any]:
        return [items[i] for i in chosen]

    return replace(
        comparison,
        test_size=comparison.sentences,
        numbers=[i + 1 for i in chosen],
        sources=pick(comparison.sources),
        references=[pick(lines) for lines in comparison.references],
        hypotheses={name: pick(lines) for name, lines in comparison.hypotheses.items()},
        attention={name: pick(records) for name, records in comparison.attention.items()},
        qualities={name: pick(values) for name, values in comparison.qualities.items()},
        footnotes=[
            *comparison.footnotes,
            f"The report includes {count:,} of the {n:,} sentences, evenly spaced over the test set; "
            "all figures are computed on the whole set.",
        ],
    )
