"""Comparison of variants: means over seeds, confidence intervals, tests against the baseline, source lengths."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from statistics import mean, stdev
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import seq2seq
from seq2seq.compare.collect import EvaluatedRun
from seq2seq.compare.columns import COLUMNS, METRIC_LABELS, Measure, Value, finite_float
from seq2seq.compare.comparability import comparability_notes
from seq2seq.compare.footnotes import footnotes
from seq2seq.compare.paired_tests import (
    PValues,
    TestOptions,
    resampled_means,
    sacrebleu_tests,
    with_intervals,
    with_p_values,
)
from seq2seq.compare.result import SEEDS, Column, Comparison, Figure, HealthWarning, Point, VariantRow
from seq2seq.compare.variants import Variant, differing_settings
from seq2seq.compare.verdicts import findings, seed_differences, verdict
from seq2seq.evaluation.attention_maps import attention_health
from seq2seq.evaluation.attention_records import dequantize
from seq2seq.evaluation.metrics import METRICS, sentence_metric
from seq2seq.evaluation.output_health import output_warnings
from seq2seq.evaluation.scores import Score
from seq2seq.runtime.words import count_words

BUCKETS = 5  # ranges of source length, with about equally many sentences
Members = Sequence[NDArray[np.int64]]  # sentence indices of each bucket


class ColumnResult(NamedTuple):
    """One column with the figures of every variant that has it."""

    column: Column
    figures: dict[str, Figure]
    buckets: dict[str, tuple[float, ...]]


def compare(variants: Sequence[Variant], baseline: Variant, options: TestOptions) -> Comparison:
    """Compare the variants with the baseline, which becomes the first row.

    The caller adds its own notes to the header, and the runs that were left out."""
    rows = [baseline, *(variant for variant in variants if variant is not baseline)]
    test = options.test
    labels, members = length_buckets(test.sources)
    columns = column_results(rows, options, members)
    settings = differing_settings([row.settings for row in rows])
    first = {row.name: row.runs[0] for row in rows}
    table = [variant_row(row, columns, settings) for row in rows]
    over_seeds = any(SEEDS in figure.p for row in table for figure in row.figures.values())
    records = {name: run.evaluation.attention_records for name, run in first.items()}
    return Comparison(
        title=f"{len(rows)} variant{'s' if len(rows) > 1 else ''} on {test.name}, {len(test.sources):,} sentences",
        test=test.name,
        sources=test.sources,
        references=test.references,
        columns=[result.column for result in columns],
        rows=table,
        baseline=baseline.name,
        header=comparability_notes(rows),
        findings=findings(table, table[0], [result.column for result in columns]),
        footnotes=footnotes(rows, options, over_seeds=over_seeds),
        buckets=labels,
        health=[warning for row in rows for warning in health_warnings(row, options)],
        hypotheses={name: run.evaluation.hypotheses for name, run in first.items()},
        attention={name: found for name, found in records.items() if found is not None},
        quality=f"sentence {METRIC_LABELS[sentence_metric(options.metrics)]}",
        qualities={name: sentence_qualities(run, options) for name, run in first.items()},
        windows={name: width for name, run in first.items() if (width := window_width(run))},
        versions={
            "seq2seq": seq2seq.__version__,
            "python": platform.python_version(),
            "sacrebleu": version("sacrebleu"),
        },
    )


def length_buckets(sources: Sequence[str]) -> tuple[list[str], Members]:
    """Ranges of source length in words, such as "5-8", and the sentences in each: up to BUCKETS of about equal size.

    Sentences of one length stay together, so there are fewer buckets where many sources have the same length."""
    sizes = np.array([count_words(source) for source in sources])
    highs = sorted({int(n) for n in np.quantile(sizes, np.arange(1, BUCKETS + 1) / BUCKETS, method="inverted_cdf")})
    lows = [int(sizes.min()), *(high + 1 for high in highs[:-1])]
    ranges = list(zip(lows, highs, strict=True))
    labels = [f"{low}-{high}" if low < high else str(low) for low, high in ranges]
    return labels, [np.flatnonzero((sizes >= low) & (sizes <= high)) for low, high in ranges]


def column_results(rows: Sequence[Variant], options: TestOptions, members: Members) -> list[ColumnResult]:
    """The columns that at least one variant has: the chosen metrics first, then the others in the order of COLUMNS."""
    sacrebleu = sacrebleu_tests(rows, options)
    keys = [*options.metrics, *(key for key in COLUMNS if key not in METRICS)]
    results = [measure_column(COLUMNS[key], rows, options, members, sacrebleu.get(key, {})) for key in keys]
    return [result for result in results if result.figures]


def measure_column(
    measure: Measure, rows: Sequence[Variant], options: TestOptions, members: Members, sacrebleu: PValues
) -> ColumnResult:
    """One column; a variant has it if all of its runs do. rows[0] is the baseline."""
    computed = {
        row.name: [measure.compute(run, options.test, options.metric_options) for run in row.runs] for row in rows
    }
    values = {name: by_seed for name, by_seed in computed.items() if all(value is not None for value in by_seed)}
    scores = scores_of(values)
    figures = {name: mean_figure(by_seed) for name, by_seed in values.items()}
    resampled = resampled_means(scores, options) if scores and options.bootstrap else {}
    figures = with_intervals(figures, scores, resampled, measure.column.most)
    if measure.tested and rows[0].name in scores:
        figures = with_p_values(figures, scores, resampled, rows[0].name, options, sacrebleu)
        figures = with_verdicts(figures, rows, measure.column.better)
    buckets = {
        name: tuple(mean(subset_score(score, sentences) for score in by_seed) for sentences in members)
        for name, by_seed in scores.items()
    }
    signatures = dict.fromkeys(score.signature for by_seed in scores.values() for score in by_seed)
    signature = " or ".join(signatures) or measure.column.signature
    return ColumnResult(measure.column._replace(signature=signature), figures, buckets)


def with_verdicts(figures: Mapping[str, Figure], rows: Sequence[Variant], better: str) -> dict[str, Figure]:
    """The figures, each with a verdict if it was tested; rows[0] is the baseline."""
    seeds, base = {row.name: row.seeds for row in rows}, rows[0]
    return {
        name: figure._replace(
            verdict=verdict(
                figure.corrected,
                seed_differences(figure, figures[base.name], same_seeds=seeds[name] == base.seeds),
                better,
            )
        )
        for name, figure in figures.items()
    }


def scores_of(values: Mapping[str, Sequence[Value]]) -> dict[str, list[Score]]:
    """The variants whose values are Scores, which can be resampled."""
    scores = {name: [value for value in by_seed if isinstance(value, Score)] for name, by_seed in values.items()}
    return {name: by_seed for name, by_seed in scores.items() if by_seed}


def mean_figure(values: Sequence[Value]) -> Figure:
    """Mean and sample standard deviation over the seeds."""
    plain = tuple(value.value if isinstance(value, Score) else float(value or 0) for value in values)
    return Figure(mean(plain), plain, stdev(plain) if len(plain) > 1 else None)


def subset_score(score: Score, sentences: NDArray[np.int64]) -> float:
    """The score of some of the sentences."""
    return score.formula(score.statistics[sentences].sum(0))


def variant_row(variant: Variant, columns: Sequence[ColumnResult], settings: Sequence[str]) -> VariantRow:
    """The row of one variant; `settings` are the names of those in which the variants differ."""
    return VariantRow(
        variant=variant.name,
        family=variant.runs[0].config.model.name,
        seeds=variant.seeds,
        runs=tuple(str(run.folder) for run in variant.runs),
        settings={name: str(variant.settings[name]) for name in settings if name in variant.settings},
        figures={c.column.key: c.figures[variant.name] for c in columns if variant.name in c.figures},
        curves=tuple(tuple(learning_curve(run)) for run in variant.runs),
        buckets={c.column.key: c.buckets[variant.name] for c in columns if variant.name in c.buckets},
    )


def learning_curve(run: EvaluatedRun) -> list[Point]:
    """One Point per row of metrics.csv."""
    points = []
    for row in run.metrics:
        values = [finite_float(row.get(name)) for name in Point._fields[1:]]
        points.append(Point(int(row["update"]), *(float("nan") if value is None else value for value in values)))
    return points


def sentence_qualities(run: EvaluatedRun, options: TestOptions) -> list[float]:
    """The score of each sentence by `sentence_metric`, by which the report sorts them."""
    metric = METRICS[sentence_metric(options.metrics)]
    found = metric(run.evaluation.hypotheses, options.test.references, options.metric_options)
    return [found.formula(row) for row in found.statistics]


def window_width(run: EvaluatedRun) -> int:
    """D of a local attention window; 0 for other windows."""
    attention = run.config.model.attention
    return attention.width if attention.window.startswith("local") else 0


def health_warnings(variant: Variant, options: TestOptions) -> list[HealthWarning]:
    """Problems in the outputs and the attention of each run of a variant; they name the seed if there are several."""
    warnings, test, metric = [], options.test, sentence_metric(options.metrics)
    for run in variant.runs:
        health = attention_health(run.config.model)
        for record in (run.evaluation.attention_records or ()) if health.learned else ():
            health.add(dequantize(record.weights, normalize=health.width is None), record.centers)
        seed = f"Seed {run.config.seed}: " if len(variant.runs) > 1 else ""
        outputs = output_warnings(test.sources, run.evaluation.hypotheses, test.references[0], metric)
        sentences = [*outputs.values(), *health.warnings().values()]
        warnings += [HealthWarning(variant.name, seed + sentence) for sentence in sentences]
    return warnings
