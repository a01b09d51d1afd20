"""Probabilities of the labels of texts, their calibration and AUC, and confusion matrices.

n texts, C labels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from seq2seq import __version__
from seq2seq.evaluation.scores import Array, MetricOptions, Score, make_score
from seq2seq.runtime.bounds import SEARCH_BOUNDS
from seq2seq.runtime.translation import LineTranslator

BINS = 15  # of calibration, as in Guo et al. 2017
OF_TEXTS = ("label", "labels")  # data.targets of what labels texts as a whole
SHOWN = 12  # classes of a confusion matrix that a terminal shows


class LabelProbabilities(NamedTuple):
    """The probability of every label for every text."""

    labels: list[str]
    values: Array  # (n, C)
    one_each: bool  # a text has one label, and rows sum to 1


def label_probabilities(translator: LineTranslator, texts: Sequence[str], targets: str) -> LabelProbabilities:
    """The probabilities of all labels that a model of data.targets=`targets`, one of OF_TEXTS, knows.

    With one label a text these are its n best hypotheses, or if there are more labels than a beam may be wide, those of
    forced decoding; with several, those of the places of any hypothesis, which holds a label or its absence."""
    entries = translator.vocabularies.target
    labels = entries.label_names
    values = np.zeros((len(texts), len(labels)))
    if targets == "label" and len(labels) > SEARCH_BOUNDS["beam"].most:
        scored = translator.forced_decode((text, label) for text in texts for label in labels)
        values = np.reshape([np.exp(one.log_prob) for one in scored], values.shape)
        return LabelProbabilities(labels, values, True)
    if targets == "labels":
        greedy = translator.with_search(beam=1, n_best=1, sampling=False)
        for row, (found,) in zip(values, greedy.hypotheses(texts), strict=True):
            for k, (i, log_prob) in enumerate(zip(found.ids, found.token_log_probs, strict=False)):  # without the end
                row[k] = -np.expm1(log_prob) if i == entries.absent else np.exp(log_prob)
        return LabelProbabilities(labels, values, False)
    wide = translator.with_search(beam=len(labels), n_best=len(labels), sampling=False)
    number = {label: i for i, label in enumerate(labels)}
    for row, answers in zip(values, wide.hypotheses(texts), strict=True):
        for one in answers:
            if one.text in number:
                row[number[one.text]] = np.exp(one.log_prob)
    return LabelProbabilities(labels, values, True)


def calibration_error(found: LabelProbabilities, references: Sequence[str], options: MetricOptions) -> Score:
    """100 sum_b n_b / n |accuracy_b - confidence_b| over bins of the highest probability  (Guo et al. 2017, eq. 3).

    Of one label a text."""
    best, confidence = found.values.argmax(1), found.values.max(1)
    right = np.array([found.labels[i] == reference for i, reference in zip(best, references, strict=True)], float)
    member = np.eye(BINS)[np.minimum((confidence * BINS).astype(int), BINS - 1)]  # (n, bins)
    statistics = np.concatenate((member * (right - confidence)[:, None], member), 1)
    resampled = f"bs:{options.bootstrap}|seed:{options.seed}|" if options.bootstrap else ""
    signature = f"{resampled}bins:{BINS}|of:likeliest class|version:{__version__}"
    return make_score("calibration_error", statistics, _calibration, signature, options)


def _calibration(sums: Array) -> float:
    gaps, counts = np.split(sums, 2)
    return 100 * float(np.abs(gaps).sum() / max(counts.sum(), 1))


def areas_under_curve(found: LabelProbabilities, references: Sequence[str]) -> dict[str, float]:
    """Label -> area under the ROC curve of its probability, as a percentage (Hanley & McNeil 1982).

    That is the share of pairs of a text that has it and one that has not whose probabilities are in that order. Only of
    labels that some but not all of the references have."""
    from sklearn.metrics import roc_auc_score

    sets = [set(reference.split()) for reference in references]
    areas = {}
    for label, probability in zip(found.labels, found.values.T, strict=True):
        own = [label in one for one in sets]
        if any(own) and not all(own):
            areas[label] = 100 * float(roc_auc_score(own, probability))
    return areas


def confusion_matrix(hypotheses: Sequence[str], references: Sequence[str]) -> tuple[list[str], list[list[int]]]:
    """All classes, sorted, and how many texts of each (rows) were given each (columns)."""
    from sklearn import metrics

    names = sorted({*hypotheses, *references})
    return names, metrics.confusion_matrix(references, hypotheses, labels=names).tolist()


def confusion_lines(names: Sequence[str], counts: Sequence[Sequence[int]]) -> list[str]:
    """The matrix as lines of text; of many classes the most frequent pairs that were confused."""
    if len(names) > SHOWN:
        pairs = [(n, a, b) for a, row in zip(names, counts, strict=True) for b, n in zip(names, row, strict=True)]
        wrong = sorted((-n, a, b) for n, a, b in pairs if a != b and n)
        return [f"{-n} of {a} taken for {b}" for n, a, b in wrong[:SHOWN]]
    width = max(len("is \\ given"), *(len(name) for name in names), *(len(str(n)) for row in counts for n in row))
    header = " ".join(name.rjust(width) for name in ("is \\ given", *names))
    rows = zip(names, counts, strict=True)
    return [header, *(" ".join([name.rjust(width), *(str(n).rjust(width) for n in row)]) for name, row in rows)]
