"""What the probabilities of a classifier say: calibration, AUC, and which classes are taken for which.

n texts, C classes.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from seq2seq import __version__
from seq2seq.evaluation.scores import Array, MetricOptions, Score, make_score
from seq2seq.ids import EOS
from seq2seq.runtime.bounds import SEARCH_BOUNDS
from seq2seq.translator import Translator

BINS = 15  # of calibration, as in Guo et al. 2017
SHOWN = 12  # classes of a confusion matrix that a terminal shows


class ClassProbabilities(NamedTuple):
    """The probability of every class for every text."""

    classes: list[str]
    values: Array  # (n, C)


def class_probabilities(translator: Translator, sources: Sequence[str]) -> ClassProbabilities:
    """The probabilities of all classes, or of the likeliest if there are more than a beam can have.

    A classifier's n best hypotheses are its classes, with their exact probabilities."""
    target = translator.vocabularies.target
    classes = [target.decode([i]) for i in range(EOS + 1, target.size)]
    most = min(len(classes), int(SEARCH_BOUNDS["beam"].most))
    wide = dataclasses.replace(translator, search=translator.search.changed(beam=most, n_best=most))
    number, values = {name: i for i, name in enumerate(classes)}, np.zeros((len(sources), len(classes)))
    for row, found in zip(values, wide.hypotheses(sources), strict=True):
        for one in found:
            if one.text in number:
                row[number[one.text]] = np.exp(one.log_prob)
    return ClassProbabilities(classes, values)


def calibration_error(found: ClassProbabilities, references: Sequence[str], options: MetricOptions) -> Score:
    """100 sum_b n_b / n |accuracy_b - confidence_b| over bins of the highest probability  (Guo et al. 2017, eq. 3)."""
    best, confidence = found.values.argmax(1), found.values.max(1)
    right = np.array([found.classes[i] == reference for i, reference in zip(best, references, strict=True)], float)
    member = np.eye(BINS)[np.minimum((confidence * BINS).astype(int), BINS - 1)]  # (n, bins)
    statistics = np.concatenate((member * (right - confidence)[:, None], member), 1)
    resampled = f"bs:{options.bootstrap}|seed:{options.seed}|" if options.bootstrap else ""
    signature = f"{resampled}bins:{BINS}|of:likeliest class|version:{__version__}"
    return make_score("calibration_error", statistics, _calibration, signature, options)


def _calibration(sums: Array) -> float:
    gaps, counts = np.split(sums, 2)
    return 100 * float(np.abs(gaps).sum() / max(counts.sum(), 1))


def area_under_curve(found: ClassProbabilities, references: Sequence[str]) -> dict[str, float]:
    """Class -> percentage of pairs of a text of it and one of another class that its probability puts in that order.

    That is the area under the ROC curve (Hanley & McNeil 1982); ties count half. Only of classes that some but not all
    of the references have."""
    areas = {}
    for name, probability in zip(found.classes, found.values.T, strict=True):
        own = np.array([reference == name for reference in references])
        if own.any() and not own.all():
            ranks = _mean_ranks(probability)
            least = own.sum() * (own.sum() + 1) / 2
            areas[name] = 100 * float((ranks[own].sum() - least) / (own.sum() * (~own).sum()))
    return areas


def _mean_ranks(values: Array) -> Array:
    """The rank of each value from 1, of equal ones their mean."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - (count - 1) / 2)[place])


def confusion_matrix(hypotheses: Sequence[str], references: Sequence[str]) -> tuple[list[str], list[list[int]]]:
    """All classes, sorted, and how many texts of each (rows) were given each (columns)."""
    names = sorted({*hypotheses, *references})
    number = {name: i for i, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, ([number[r] for r in references], [number[h] for h in hypotheses]), 1)
    return names, counts.tolist()


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
