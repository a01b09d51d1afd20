"""What do the figures of several variants say together? Means over seeds, intervals, tests against the baseline, source lengths."""

import platform
from collections.abc import Sequence
from importlib.metadata import version
from statistics import mean, stdev
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import seq2seq
from seq2seq.compare.collect import EvaluatedRun
from seq2seq.compare.columns import COLUMNS, Found, Measure, number
from seq2seq.compare.comparability import sentences
from seq2seq.compare.paired_tests import (
    TestOptions,
    Values,
    one_seed_each,
    resample,
    sacrebleus,
    with_intervals,
    with_tests,
)
from seq2seq.compare.result import Column, Comparison, Figure, HealthWarning, Point, VariantRow
from seq2seq.compare.variants import Variant, differing
from seq2seq.evaluation.attention_maps import attention_health
from seq2seq.evaluation.attention_records import dequantize
from seq2seq.evaluation.bleu import SACREBLEU_METRICS
from seq2seq.evaluation.metrics import METRICS
from seq2seq.evaluation.score import Score

BUCKETS = 5  # of about as many sentences each
Members = Sequence[NDArray[np.int64]]  # the sentences of each bucket


class Measured(NamedTuple):
    """One column, of each variant that has it."""

    column: Column
    figures: dict[str, Figure]
    buckets: dict[str, tuple[float, ...]]


def compare(variants: Sequence[Variant], baseline: Variant, asked: TestOptions) -> Comparison:
    """Everything but the notes and the runs that are left out, which are the caller's."""
    rows = [baseline, *(variant for variant in variants if variant is not baseline)]
    labels, members = length_buckets(asked.test.sources)
    theirs = sacrebleus(rows, asked)
    measures = [COLUMNS[name] for name in [*asked.metrics, *(name for name in COLUMNS if name not in METRICS)]]
    columns = [measured(measure, rows, asked, members, theirs.get(measure.column.key, {})) for measure in measures]
    columns = [column for column in columns if column.figures]
    settings = differing([row.settings for row in rows])
    first = {row.name: row.cells[0] for row in rows}
    return Comparison(
        title=f"{len(rows)} variant{'s' if len(rows) > 1 else ''} on {asked.test.name}, {len(asked.test.sources):,} sentences",
        test=asked.test.name, sources=asked.test.sources, references=asked.test.references,
        columns=[column.column for column in columns],
        rows=[made_row(row, columns, settings) for row in rows],
        baseline=baseline.name, header=sentences(rows), footnotes=footnotes(rows, asked), buckets=labels,
        hypotheses={name: cell.evaluated.hypotheses for name, cell in first.items()},
        explained={name: found for name, cell in first.items() if (found := cell.evaluated.attention_records) is not None},
        quality="chrF2 of the sentence", qualities={name: qualities(cell, asked) for name, cell in first.items()},
        health=[warned for row in rows for warned in warnings(row)],
        windows={name: width for name, cell in first.items() if (width := window(cell))},
        versions={"seq2seq": seq2seq.__version__, "python": platform.python_version(), "sacrebleu": version("sacrebleu")},
    )  # fmt: skip


def warnings(variant: Variant) -> list[HealthWarning]:
    """What is odd about where its runs looked while they translated; the seed is named where there are several."""
    found = []
    for cell in variant.cells:
        health = attention_health(cell.run.config.model)
        for seen in (cell.evaluated.attention_records or ()) if health.learnt else ():
            health.add(dequantize(seen.weights, normalize=health.width is None), seen.centers)
        which = f"Seed {cell.run.config.seed}: " if len(variant.cells) > 1 else ""
        found += [HealthWarning(variant.name, which + sentence) for sentence in health.warnings().values()]
    return found


def measured(
    measure: Measure, rows: Sequence[Variant], asked: TestOptions, members: Members, theirs: Values
) -> Measured:
    """A column of the variants all of whose runs have it; rows[0] is the baseline."""
    every = {row.name: [measure.of(cell, asked.test, asked.how) for cell in row.cells] for row in rows}
    found = {name: some for name, some in every.items() if all(one is not None for one in some)}
    scores = {name: [one for one in some if isinstance(one, Score)] for name, some in found.items()}
    scores = {name: some for name, some in scores.items() if some}
    figures = {name: plain(some) for name, some in found.items()}
    drawn = resample(scores, asked) if scores and asked.bootstrap else {}
    figures = with_intervals(figures, drawn)
    if measure.tested and rows[0].name in scores:
        figures = with_tests(figures, scores, drawn, rows[0].name, asked, theirs)
    buckets = {
        name: tuple(mean(inside(one, where) for one in some) for where in members) for name, some in scores.items()
    }
    signature = next(iter(scores.values()))[0].signature if scores else measure.column.signature
    return Measured(measure.column._replace(signature=signature), figures, buckets)


def plain(found: Sequence[Found]) -> Figure:
    """Mean and sample standard deviation over the seeds."""
    values = tuple(one.value if isinstance(one, Score) else float(one or 0) for one in found)
    return Figure(mean(values), values, stdev(values) if len(values) > 1 else None)


def inside(score: Score, where: NDArray[np.int64]) -> float:
    """The figure of some sentences alone."""
    return score.formula(score.statistics[where].sum(0))


def length_buckets(sources: Sequence[str]) -> tuple[list[str], Members]:
    """BUCKETS spans of source length in words, of about as many sentences each: such as "5-8", and who is in them.

    A length is in one span only, so that there are fewer where many sources are as long."""
    sizes = np.array([len(source.split()) for source in sources])
    tops = sorted({int(top) for top in np.quantile(sizes, np.arange(1, BUCKETS + 1) / BUCKETS, method="inverted_cdf")})
    bottoms = [int(sizes.min()), *(top + 1 for top in tops[:-1])]
    spans = list(zip(bottoms, tops, strict=True))
    labels = [f"{low}-{high}" if low < high else str(low) for low, high in spans]
    return labels, [np.flatnonzero((sizes >= low) & (sizes <= high)) for low, high in spans]


def made_row(variant: Variant, columns: Sequence[Measured], settings: Sequence[str]) -> VariantRow:
    """What is known of one variant."""
    return VariantRow(
        variant=variant.name,
        family=variant.cells[0].run.config.model.name,
        seeds=variant.seeds,
        runs=tuple(str(cell.run.folder) for cell in variant.cells),
        settings={name: str(variant.settings[name]) for name in settings if name in variant.settings},
        figures={c.column.key: c.figures[variant.name] for c in columns if variant.name in c.figures},
        curves=tuple(tuple(curve(cell)) for cell in variant.cells),
        buckets={c.column.key: c.buckets[variant.name] for c in columns if variant.name in c.buckets},
    )


def curve(cell: EvaluatedRun) -> list[Point]:
    """The rows of metrics.csv."""
    names = ("seconds", "processor_seconds", "loss", "dev_loss", "dev_score")
    values = [[number(row.get(name)) for name in names] for row in cell.metrics]
    return [
        Point(int(row["update"]), *(float("nan") if value is None else value for value in some))
        for row, some in zip(cell.metrics, values, strict=True)
    ]


def qualities(cell: EvaluatedRun, asked: TestOptions) -> list[float]:
    """chrF of each sentence, by which a reader finds those that are worth a look."""
    chrf = METRICS["chrf"](cell.evaluated.hypotheses, asked.test.references, asked.how)
    return [chrf.formula(row) for row in chrf.statistics]


def window(cell: EvaluatedRun) -> int:
    """D of a local window; 0 where there is none."""
    attention = cell.run.config.model.attention
    return attention.width if attention.window.startswith("local") else 0


def footnotes(rows: Sequence[Variant], asked: TestOptions) -> list[str]:
    """How figures, intervals and tests were made; signatures are the columns'."""
    notes = [] if one_seed_each(rows) else ["Values are means over the seeds, ± their sample standard deviation."]
    if asked.bootstrap:
        drawn = f"{asked.bootstrap:,} resamples of the sentences, seed {asked.how.seed}"
        notes.append(f"[low, high]: 95 % percentile bootstrap interval of the mean over the seeds, {drawn}.")
    if asked.samples and len(rows) > 1:
        names = {
            "bootstrap": "paired bootstrap as in sacreBLEU, in effect one-sided ({:,} resamples)",
            "randomisation": "two-sided approximate randomisation ({:,} trials)",
        }
        each = " and ".join(names[name].format(n) for name, n in asked.samples.items())
        notes.append(
            f"p: {each} against {rows[0].name}, by Holm's correction over the rows of the column. {whose(rows, asked)}"
        )
    timed = rows[0].cells[0].evaluated.decoding
    return [
        *notes,
        f"Decoding: threads {timed['threads']}, device {timed['device']}, batches of {timed['batch']} sentences, the whole beam told.",
    ]


def whose(rows: Sequence[Variant], asked: TestOptions) -> str:
    """By whom the tests are made, and what they do not ask."""
    made = ""
    if not one_seed_each(rows):
        made = "Tests are ours: scores are averaged over seeds inside each resample, for which sacreBLEU has no test. "
    elif any(name in SACREBLEU_METRICS for name in asked.metrics):
        made = "BLEU, chrF and TER are tested by sacreBLEU and by ours, which count ties: the larger p is told. Others by ours. "
    return f"{made}They ask what other sentences would say of these runs, not what other seeds would."
