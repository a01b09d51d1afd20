"""The columns of a comparison: measures of a run's translations, its attention, and its cost. `COLUMNS` lists them."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from seq2seq.compare.collect import EvaluatedRun
from seq2seq.compare.result import Column
from seq2seq.evaluation import attention_stats, text_stats
from seq2seq.evaluation.alignment import LINKS, alignment_scores
from seq2seq.evaluation.classes import areas_under_curve, calibration_error
from seq2seq.evaluation.metrics import METRICS
from seq2seq.evaluation.scores import LOWER_IS_BETTER, MetricOptions, Score, make_score
from seq2seq.evaluation.symmetrization import SYMMETRIZATIONS
from seq2seq.evaluation.testset import TestSet

# A Score can be resampled, having statistics per sentence; a float cannot; None means that the run lacks the measure.
Value = Score | float | None


class Measure(NamedTuple):
    """A column and the function that computes its value for one run."""

    column: Column
    compute: Callable[[EvaluatedRun, TestSet, MetricOptions], Value]
    tested: bool = False  # for significance against the baseline
    shown: bool = False  # by default: no more than fit 100 characters; JSON and CSV have every column


def metric_score(name: str, run: EvaluatedRun, test: TestSet, options: MetricOptions) -> Value:
    """A metric of METRICS on the hypotheses."""
    return METRICS[name](run.evaluation.hypotheses, test.references, options)


def alignment_score(name: str, method: str, run: EvaluatedRun, test: TestSet, options: MetricOptions) -> Value:
    """aer, precision or recall (Och & Ney 2003) of the links found by `method`, against the gold links.

    None without gold links, for precision if no link is predicted, and for recall if no gold link is sure."""
    if test.gold is None or method not in run.links:
        return None
    links = run.links[method]
    if name == "precision" and not any(links):
        return None
    if name == "recall" and not any(gold.sure for gold in test.gold):
        return None
    scores = alignment_scores(links, test.gold, bootstrap=0, seed=options.seed, method=f"{method}|of:references")
    return next(score for score in scores if score.name == name)


def calibration(run: EvaluatedRun, test: TestSet, options: MetricOptions) -> Value:
    """The calibration error, of classifiers that give one label a text."""
    found = run.probabilities
    return calibration_error(found, test.references[0], options) if found and found.one_each else None


def mean_area(run: EvaluatedRun, test: TestSet, options: MetricOptions) -> Value:
    """The mean over the labels of the area under the ROC curve, of classifiers."""
    areas = areas_under_curve(run.probabilities, test.references[0]) if run.probabilities else {}
    return sum(areas.values()) / len(areas) if areas else None


def repeated_bigrams(run: EvaluatedRun, test: TestSet, options: MetricOptions) -> Value:
    """Percentage of bigrams that occurred earlier in their hypothesis."""
    lines = [(line,) for line in run.evaluation.hypotheses]
    return percentage("repetition", "n:2", text_stats.repetition, lines, test, options)


def copied_words(run: EvaluatedRun, test: TestSet, options: MetricOptions) -> Value:
    """Percentage of the hypotheses' words that are words of the source."""
    pairs = list(zip(test.sources, run.evaluation.hypotheses, strict=True))
    return percentage("copied", "case:mixed", text_stats.copied, pairs, test, options)


def percentage(
    name: str,
    settings: str,
    measure: Callable[..., attention_stats.Sums],
    lines: Sequence[tuple[str, ...]],
    test: TestSet,
    options: MetricOptions,
) -> Score:
    """`measure` of each tuple of lines, the hypothesis last, as a percentage over the corpus.

    The signature holds the same percentage of the first references, since these repeat and copy words too."""
    human = [measure(*texts[:-1], reference) for texts, reference in zip(lines, test.references[0], strict=True)]
    signature = f"{settings}|tok:letters,marks,digits|references:{attention_stats.percent(np.array(human).sum(0)):.2f}"
    return make_score(name, np.array([measure(*texts) for texts in lines]), attention_stats.percent, signature, options)


def attention_mean(name: str, signature: str, run: EvaluatedRun, test: TestSet, options: MetricOptions) -> Value:
    """Mean over target positions of an attention statistic."""
    return make_score(name, run.evaluation.sums[name], attention_stats.ratio, signature, options)


def unknown_subwords(run: EvaluatedRun, test: TestSet, options: MetricOptions) -> Value:
    """Percentage of the hypotheses' subwords that are the unknown token."""
    signature = "of:subwords, before search.replace_unknown"
    return make_score("unknown", run.evaluation.sums["unknown"], attention_stats.percent, signature, options)


def parameter_count(run: EvaluatedRun, test: TestSet, options: MetricOptions) -> Value:
    """Number of parameters."""
    return float(run.parameters)


def info_number(name: str, run: EvaluatedRun, test: TestSet, options: MetricOptions) -> Value:
    """A number from run.json."""
    return finite_float(run.info.get(name))


def training_speed(clock: str, run: EvaluatedRun, test: TestSet, options: MetricOptions) -> Value:
    """Target tokens per second of `clock`, a column of metrics.csv: the median over its rows."""
    points = [(0.0, 0.0)]
    for row in run.metrics:
        tokens, seconds = finite_float(row.get("target_tokens")), finite_float(row.get(clock))
        if tokens is not None and seconds is not None:
            points.append((tokens, seconds))
    speeds = [
        (after - before) / (end - start)
        for (before, start), (after, end) in pairwise(points)
        if after > before and end > start
    ]
    return finite_float(median(speeds)) if speeds else None


def decoding_speed(clock: str, run: EvaluatedRun, test: TestSet, options: MetricOptions) -> Value:
    """Sentences per second of `clock`, an entry of the evaluation's decoding record."""
    seconds, sentences = (finite_float(run.evaluation.decoding.get(name)) for name in (clock, "sentences"))
    return finite_float(sentences / seconds) if seconds and sentences else None


def finite_float(value: Any) -> float | None:
    """A number, possibly written as text; None for anything else, such as an empty cell, inf or nan."""
    try:
        return float(value) if np.isfinite(float(value)) else None
    except (TypeError, ValueError):
        return None


METRIC_LABELS = {
    "bleu": "BLEU",
    "chrf": "chrF2",
    "chrf++": "chrF2++",
    "ter": "TER",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "rougeLsum": "ROUGE-Lsum",
    "accuracy": "accuracy",
    "exact_match": "exact match",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "entity_f1": "entity F1",
}


def _metric_columns() -> dict[str, Measure]:
    return {
        name: Measure(
            Column(
                name,
                METRIC_LABELS[name],
                better="lower" if name in LOWER_IS_BETTER else "higher",
                most=None if name == "ter" else 100,
            ),
            partial(metric_score, name),
            tested=True,
            shown=True,
        )
        for name in METRICS
    }


def _alignment_columns() -> dict[str, Measure]:
    """aer, precision and recall of the argmax links and of every other method (aer_one_to_one, aer_union, ...)."""
    columns = {}
    for method in (*LINKS, *SYMMETRIZATIONS):
        for name, better in (("aer", "lower"), ("precision", "higher"), ("recall", "higher")):
            key, label = name, name.upper() if name == "aer" else name
            if method != "argmax":
                key, label = f"{name}_{method.replace('-', '_')}", f"{label} {method}"
            is_error = name == "aer"
            columns[key] = Measure(
                Column(key, label, better=better, most=100),
                partial(alignment_score, name, method),
                tested=is_error,
                shown=is_error and method != "one-to-one",
            )
    return columns


def unavailable_reason(key: str, metrics: Sequence[str], gold: bool, symmetrization: str) -> str:
    """Why no run can have the column `key`; empty if one may.

    gold: whether there are gold links. symmetrization: the heuristic in use; empty without reverse runs."""
    if key in METRICS:
        return "" if key in metrics else f"the metrics are {', '.join(metrics)}; --metrics chooses them"
    name, _, method = key.partition("_")
    if name not in ("aer", "precision", "recall"):
        return ""
    if not gold:
        return "no gold links of this test set are known; --gold FILE names them"
    method = method.replace("_", "-")
    if method in SYMMETRIZATIONS and method != symmetrization:
        return f"it is made by --reverse RUN --symmetrize {method}"
    return ""


LAST_LAYER = "of:hypotheses|weights:last layer, mean over heads"
WALL_CLOCK = "median over the rows of metrics.csv, target tokens"
CPU_TIME = f"{WALL_CLOCK}, CPU time"

COLUMNS: dict[str, Measure] = {
    **_metric_columns(),
    "calibration_error": Measure(
        Column("calibration_error", "calibration error", better="lower", most=100), calibration, tested=True, shown=True
    ),
    "auc": Measure(
        Column("auc", "AUC", better="higher", signature="one-vs-rest, mean of labels", most=100), mean_area, shown=True
    ),
    **_alignment_columns(),
    "repetition": Measure(Column("repetition", "repetition", better="lower", unit="%", most=100), repeated_bigrams),
    "copied": Measure(Column("copied", "copied", unit="%", most=100), copied_words),
    "unknown": Measure(Column("unknown", "unknown", better="lower", unit="%", most=100), unknown_subwords),
    "entropy": Measure(Column("entropy", "entropy", unit="nats"), partial(attention_mean, "entropy", LAST_LAYER)),
    "entropy_share": Measure(
        Column("entropy_share", "entropy / ln S", digits=3, most=1),
        partial(attention_mean, "entropy_share", LAST_LAYER),
    ),
    "diagonality": Measure(
        Column("diagonality", "diagonality", digits=3, most=1), partial(attention_mean, "diagonality", LAST_LAYER)
    ),
    "parameters": Measure(Column("parameters", "parameters", digits=0), parameter_count, shown=True),
    "training_tokens_per_second": Measure(
        Column(
            "training_tokens_per_second", "training", better="higher", digits=0, signature=WALL_CLOCK, unit="tokens/s"
        ),
        partial(training_speed, "seconds"),
    ),
    "training_tokens_per_processor_second": Measure(
        Column(
            "training_tokens_per_processor_second",
            "training",
            better="higher",
            digits=0,
            signature=CPU_TIME,
            unit="tokens/CPU s",
        ),
        partial(training_speed, "processor_seconds"),
    ),
    "decoding_sentences_per_second": Measure(
        Column("decoding_sentences_per_second", "decoding", better="higher", digits=1, unit="sentences/s"),
        partial(decoding_speed, "seconds"),
    ),
    "decoding_sentences_per_processor_second": Measure(
        Column(
            "decoding_sentences_per_processor_second",
            "decoding",
            better="higher",
            digits=1,
            signature="CPU time",
            unit="sentences/CPU s",
        ),
        partial(decoding_speed, "processor_seconds"),
    ),
    "peak_memory": Measure(
        Column("peak_memory", "peak memory", better="lower", digits=0, signature="during training", unit="MiB"),
        partial(info_number, "peak_memory"),
    ),
    "training_seconds": Measure(
        Column("training_seconds", "training time", better="lower", digits=0, signature="without validation", unit="s"),
        partial(info_number, "seconds"),
    ),
    "training_processor_seconds": Measure(
        Column(
            "training_processor_seconds",
            "training time",
            better="lower",
            digits=0,
            signature="without validation",
            unit="CPU s",
        ),
        partial(info_number, "processor_seconds"),
    ),
}
