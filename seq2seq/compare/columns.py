"""What is measured of a run? One row of COLUMNS a measure: of its translations, its attention, or its cost."""

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
from seq2seq.evaluation.metrics import METRICS
from seq2seq.evaluation.score import LOWER_IS_BETTER, MetricOptions, Score, make_score
from seq2seq.evaluation.symmetrization import SYMMETRIZATIONS
from seq2seq.evaluation.testset import TestSet

Found = Score | float | None  # sums over sentences, which can be resampled; a plain number; None: the run does not say


class Measure(NamedTuple):
    """A column and where its figures come from."""

    column: Column
    of: Callable[[EvaluatedRun, TestSet, MetricOptions], Found]
    tested: bool = False  # against the baseline
    shown: bool = False  # unless other columns are asked for; JSON and CSV have all


def metric(name: str, cell: EvaluatedRun, test: TestSet, how: MetricOptions) -> Found:
    """A row of METRICS."""
    return METRICS[name](cell.evaluated.hypotheses, test.references, how)


def alignment(name: str, kind: str, cell: EvaluatedRun, test: TestSet, how: MetricOptions) -> Found:
    """aer, precision or recall of the links of a kind, where gold links are known; no precision where no link is claimed, no recall
    where none is sure."""
    if test.gold is None or kind not in cell.links or (name == "precision" and not any(cell.links[kind])):
        return None
    if name == "recall" and not any(gold.sure for gold in test.gold):
        return None
    made = f"{kind}|of:references"
    return next(
        score for score in alignment_scores(cell.links[kind], test.gold, 0, how.seed, made) if score.name == name
    )


def repetition(cell: EvaluatedRun, test: TestSet, how: MetricOptions) -> Found:
    """Share of bigrams that came before in their hypothesis, in percent."""
    return of_lines(
        "repetition", "n:2", text_stats.repetition, [(line,) for line in cell.evaluated.hypotheses], test, how
    )


def copied(cell: EvaluatedRun, test: TestSet, how: MetricOptions) -> Found:
    """Share of words that are words of the source, in percent."""
    pairs = list(zip(test.sources, cell.evaluated.hypotheses, strict=True))
    return of_lines("copied", "case:mixed", text_stats.copied, pairs, test, how)


def of_lines(
    name: str,
    kind: str,
    measure: Callable[..., attention_stats.Sums],
    lines: Sequence[tuple[str, ...]],
    test: TestSet,
    how: MetricOptions,
) -> Score:
    """A share in percent; the signature says what it is of the first references, which also repeat and copy."""
    human = [measure(*some[:-1], reference) for some, reference in zip(lines, test.references[0], strict=True)]
    signature = f"{kind}|tok:letters,marks,digits|references:{attention_stats.percent(np.array(human).sum(0)):.2f}"
    return make_score(name, np.array([measure(*some) for some in lines]), attention_stats.percent, signature, how)


def attention(name: str, signature: str, cell: EvaluatedRun, test: TestSet, how: MetricOptions) -> Found:
    """A mean over target positions."""
    return make_score(name, cell.evaluated.sums[name], attention_stats.ratio, signature, how)


def unknown(cell: EvaluatedRun, test: TestSet, how: MetricOptions) -> Found:
    """Share of subwords that are the unknown one, in percent."""
    return make_score(
        "unknown",
        cell.evaluated.sums["unknown"],
        attention_stats.percent,
        "of:subwords, before search.replace_unknown",
        how,
    )


def parameters(cell: EvaluatedRun, test: TestSet, how: MetricOptions) -> Found:
    """Numbers in the weights."""
    return float(cell.parameters)


def info(name: str, cell: EvaluatedRun, test: TestSet, how: MetricOptions) -> Found:
    """A number of run.json."""
    return number(cell.run.info.get(name))


def training_speed(column: str, cell: EvaluatedRun, test: TestSet, how: MetricOptions) -> Found:
    """Median over the rows of metrics.csv of target tokens by a second of `column`."""
    points = [(number(row.get("target_tokens")), number(row.get(column))) for row in cell.metrics]
    known = [
        (0.0, 0.0),
        *((tokens, seconds) for tokens, seconds in points if tokens is not None and seconds is not None),
    ]
    speeds = [
        (after - before) / (end - start)
        for (before, start), (after, end) in pairwise(known)
        if after > before and end > start
    ]
    return number(median(speeds)) if speeds else None


def decoding_speed(clock: str, cell: EvaluatedRun, test: TestSet, how: MetricOptions) -> Found:
    """Sentences by a second of `clock`."""
    seconds, sentences = (number(cell.evaluated.decoding.get(name)) for name in (clock, "sentences"))
    return number(sentences / seconds) if seconds and sentences else None


def number(value: Any) -> float | None:
    """A number that may stand in a file as text; None for what is none, such as an empty cell."""
    try:
        return float(value) if np.isfinite(float(value)) else None
    except (TypeError, ValueError):
        return None


LABELS = {
    "bleu": "BLEU", "chrf": "chrF2", "chrf++": "chrF2++", "ter": "TER", "rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L",
    "rougeLsum": "ROUGE-Lsum",
}  # fmt: skip


def _metrics() -> dict[str, Measure]:
    return {
        name: Measure(
            Column(name, LABELS[name], "lower" if name in LOWER_IS_BETTER else "higher"),
            partial(metric, name),
            tested=True,
            shown=True,
        )
        for name in METRICS
    }


def _alignments() -> dict[str, Measure]:
    """aer, precision, recall of every way to find links: aer, aer_one_to_one, aer_grow_diag_final_and, ..."""
    made = {}
    for kind in (*LINKS, *SYMMETRIZATIONS):
        for name, better in (("aer", "lower"), ("precision", "higher"), ("recall", "higher")):
            key = name if kind == "argmax" else f"{name}_{kind.replace('-', '_')}"
            label = " ".join([name.upper() if name == "aer" else name, *([] if kind == "argmax" else [kind])])
            made[key] = Measure(
                Column(key, label, better), partial(alignment, name, kind), tested=name == "aer", shown=name == "aer"
            )
    return made


def impossible(key: str, metrics: Sequence[str], gold: bool, joined: str) -> str:
    """Why no run can have the column; empty where one may. gold: whether gold links are known; joined: the row of SYMMETRIZATIONS
    that links of both directions are made by, empty where there is one direction alone."""
    if key in METRICS:
        return "" if key in metrics else f"the metrics are {', '.join(metrics)}; --metrics chooses them"
    name, _, kind = key.partition("_")
    if name not in ("aer", "precision", "recall"):
        return ""
    if not gold:
        return "no gold links of this test set are known; --gold FILE names them"
    kind = kind.replace("_", "-")
    return f"it is made by --reverse RUN --symmetrize {kind}" if kind in SYMMETRIZATIONS and kind != joined else ""


MAP = "of:hypotheses|weights:last layer, mean over heads"

COLUMNS: dict[str, Measure] = {
    **_metrics(),
    **_alignments(),
    "repetition": Measure(Column("repetition", "repetition", "lower", 2, "", "%"), repetition),
    "copied": Measure(Column("copied", "copied", "", 2, "", "%"), copied),
    "unknown": Measure(Column("unknown", "unknown", "lower", 2, "", "%"), unknown),
    "entropy": Measure(Column("entropy", "entropy", "", 2, "", "nats"), partial(attention, "entropy", MAP), shown=True),
    "entropy_share": Measure(Column("entropy_share", "entropy / ln S", "", 3), partial(attention, "entropy_share", MAP)),
    "diagonality": Measure(Column("diagonality", "diagonality", "", 3), partial(attention, "diagonality", MAP)),
    "parameters": Measure(Column("parameters", "parameters", "", 0), parameters, shown=True),
    "training_tokens_per_second": Measure(
        Column("training_tokens_per_second", "training", "higher", 0, "median of metrics.csv, target tokens", "tokens/s"),
        partial(training_speed, "seconds"), shown=True,
    ),
    "training_tokens_per_processor_second": Measure(
        Column("training_tokens_per_processor_second", "training", "higher", 0, "the same by processor time", "tokens/processor s"),
        partial(training_speed, "processor_seconds"),
    ),
    "decoding_sentences_per_second": Measure(
        Column("decoding_sentences_per_second", "decoding", "higher", 1, "", "sentences/s"), partial(decoding_speed, "seconds"), shown=True
    ),
    "decoding_sentences_per_processor_second": Measure(
        Column("decoding_sentences_per_processor_second", "decoding", "higher", 1, "the same by processor time", "sentences/processor s"),
        partial(decoding_speed, "processor_seconds"),
    ),
    "peak_memory": Measure(Column("peak_memory", "memory", "lower", 0, "of training", "MiB"), partial(info, "peak_memory"), shown=True),
    "training_seconds": Measure(
        Column("training_seconds", "training time", "lower", 0, "validation left out", "s"), partial(info, "seconds"), shown=True
    ),
    "training_processor_seconds": Measure(
        Column("training_processor_seconds", "processor time", "lower", 0, "of training, validation left out", "s"),
        partial(info, "processor_seconds"),
    ),
}  # fmt: skip
