"""What is known once runs have been compared? Plain data, from which every table and the report are made.

A variant is what its runs share but for their seeds. S source and T target subwords of a sentence, EOS included.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from seq2seq.evaluation.attention_records import AttentionRecord


class Column(NamedTuple):
    """One measure."""

    key: str  # bleu, aer, training_tokens_per_second, ...: the key in JSON and CSV
    label: str  # head of the column
    better: str = ""  # "higher", "lower"; empty: neither
    digits: int = 2
    signature: str = ""  # how it was measured; a footnote
    unit: str = ""

    @property
    def title(self) -> str:
        """Its label and unit: by the label alone several columns may be meant."""
        return f"{self.label}, {self.unit}" if self.unit else self.label


class Figure(NamedTuple):
    """One measure of one variant."""

    value: float  # mean over the seeds
    values: tuple[float, ...]  # of each seed, in the order of VariantRow.seeds
    deviation: float | None = None  # sample standard deviation over the seeds; None for one seed
    interval: tuple[float, float] | None = None  # 95 %, by bootstrap over sentences, of the mean over the seeds
    p: Mapping[str, float] = {}  # test -> p against the baseline row, before correction: "bootstrap", "randomisation"
    corrected: Mapping[str, float] = {}  # the same after Holm's correction over the rows of the column


class Point(NamedTuple):
    """One row of a learning curve; nan where it has no such figure."""

    update: int
    seconds: float
    processor_seconds: float
    loss: float
    dev_loss: float
    dev_score: float


@dataclass(frozen=True)
class VariantRow:
    """One variant."""

    variant: str
    family: str  # rnn, transformer
    seeds: tuple[int, ...]
    runs: tuple[str, ...]  # their directories
    settings: Mapping[str, str]  # the settings in which the compared variants differ
    figures: Mapping[str, Figure]  # column key -> figure; a key is missing where the run does not say
    curves: tuple[tuple[Point, ...], ...] = ()  # of each seed
    buckets: Mapping[str, tuple[float, ...]] = field(
        default_factory=dict
    )  # column key -> mean over seeds in each of Comparison.buckets


class HealthWarning(NamedTuple):
    """Something about a variant's attention that its user should know."""

    variant: str
    sentence: str  # in plain words, complete


@dataclass(frozen=True)
class Comparison:
    """Everything that compared runs have to say."""

    title: str
    test: str  # name of the test set
    sources: Sequence[str]
    references: Sequence[Sequence[str]]  # one list for each set of references
    columns: Sequence[Column]
    rows: Sequence[VariantRow]
    baseline: str  # the variant that the others are tested against
    header: Sequence[str] = ()  # sentences above the table: the budget, what differs between the runs that should not
    footnotes: Sequence[str] = ()  # below it: signatures, corrections
    broken: Sequence[tuple[str, str]] = ()  # run directory, why it is left out
    buckets: Sequence[str] = ()  # source lengths, such as "1-10"
    health: Sequence[HealthWarning] = ()
    hypotheses: Mapping[str, Sequence[str]] = field(default_factory=dict)  # variant -> lines of its first seed
    explained: Mapping[str, Sequence[AttentionRecord]] = field(
        default_factory=dict
    )  # variant -> each sentence, of its first seed
    quality: str = ""  # what `qualities` measures, such as "chrF of the sentence"; higher is better
    qualities: Mapping[str, Sequence[float]] = field(
        default_factory=dict
    )  # variant -> of each sentence, of its first seed
    windows: Mapping[str, int] = field(default_factory=dict)  # variant -> D of a local window
    versions: Mapping[str, str] = field(default_factory=dict)
    of: int = 0  # sentences of the test set, where not all of them are here to be read
    numbers: Sequence[int] | None = None  # theirs in the test set, from 1, where not all of them are here

    @property
    def sentences(self) -> int:
        """That the figures are of."""
        return self.of or len(self.sources)


def with_sentences(comparison: Comparison, count: int) -> Comparison:
    """The same with `count` sentences to read, evenly over the test set, 0: all. Figures stay those of the whole."""
    n = len(comparison.sources)
    if not 0 < count < n:
        return comparison
    chosen = [i * n // count for i in range(count)]

    def some(every: Sequence[Any]) -> list[Any]:
        return [every[i] for i in chosen]

    return replace(
        comparison,
        of=comparison.sentences,
        numbers=[i + 1 for i in chosen],
        sources=some(comparison.sources),
        references=[some(lines) for lines in comparison.references],
        hypotheses={name: some(lines) for name, lines in comparison.hypotheses.items()},
        explained={name: some(every) for name, every in comparison.explained.items()},
        qualities={name: some(values) for name, values in comparison.qualities.items()},
        footnotes=[
            *comparison.footnotes,
            f"To be read: {count:,} of the {n:,} sentences, evenly over the test set; figures are of all.",
        ],
    )
