"""Scores of labels: accuracy, exact matches, F1 of classes and of labels, F1 of entities.

Each is a formula over sums of sentence statistics, so that intervals and paired tests are those of all scores. A line
holds one label, several labels of a text, or one for each of its words. Of several references of a line the one counts
that has most in common with the hypothesis. n lines, C classes.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import zip_longest

import numpy as np

from seq2seq import __version__
from seq2seq.errors import DataError, quoted
from seq2seq.evaluation.scores import Array, MetricOptions, Score, make_score
from seq2seq.evaluation.significance import Formula
from seq2seq.utils.bio import entities, is_bio


def label_score(
    name: str, hypotheses: Sequence[str], references: Sequence[Sequence[str]], options: MetricOptions
) -> Score:
    """The score by a metric of FORMULAS. Raises DataError for entity_f1 of tags that are no BIO."""
    if name == "entity_f1":
        check_bio(references)
    count, formula = FORMULAS[name]
    classes = sorted({label for lines in references for line in lines for label in line.split()})
    statistics = []
    for hypothesis, *lines in zip(hypotheses, *references, strict=True):
        found = [count(hypothesis.split(), line.split(), classes) for line in lines]
        statistics.append(max(found, key=right_minus_others))
    resampled = f"bs:{options.bootstrap}|seed:{options.seed}|" if options.bootstrap else ""
    signature = f"nrefs:{len(references)}|{resampled}classes:{len(classes)}|version:{__version__}"
    return make_score(name, np.array(statistics, np.float64), formula, signature, options)


def check_bio(references: Sequence[Sequence[str]]) -> None:
    """Raise DataError for the first tag that is no BIO."""
    for lines in references:
        for number, line in enumerate(lines, 1):
            for tag in line.split():
                if not is_bio(tag):
                    raise DataError(
                        f"entity_f1 counts entities, of BIO tags such as B-PER, I-PER and O, but reference {number} has"
                        f" {quoted(tag)}: choose accuracy (training.monitor, --metrics), or write BIO tags"
                    )


def right_minus_others(counts: Sequence[int]) -> int:
    """Of counts of right, wrong and missing labels, for one or several classes: how many more are right."""
    return sum(counts[::3]) - sum(counts[1::3]) - sum(counts[2::3])


def count_places(ours: list[str], theirs: list[str], classes: Sequence[str]) -> list[int]:
    """The labels that are the same at their place in both, and the others."""
    right = sum(a == b for a, b in zip(ours, theirs, strict=False))
    return [right, max(len(ours), len(theirs)) - right, 0]


def count_lines(ours: list[str], theirs: list[str], classes: Sequence[str]) -> list[int]:
    """Whether all words are those of the reference, and whether not."""
    return [ours == theirs, ours != theirs, 0]


def count_classes(ours: list[str], theirs: list[str], classes: Sequence[str]) -> list[int]:
    """For each class the labels that are right, wrong and missing (3 C)."""
    one, other = Counter(ours), Counter(theirs)
    parts = one & other, one - other, other - one
    return [part[name] for name in classes for part in parts]


def count_labels(ours: list[str], theirs: list[str], classes: Sequence[str]) -> list[int]:
    """The labels that are right, wrong and missing, of all classes."""
    one, other = Counter(ours), Counter(theirs)
    return [(one & other).total(), (one - other).total(), (other - one).total()]


def count_entities(ours: list[str], theirs: list[str], classes: Sequence[str]) -> list[int]:
    """The entities that are right, wrong and missing."""
    tags = [tag for tag, _ in zip_longest(ours[: len(theirs)], theirs, fillvalue="O")]
    found, wanted = entities(tags), entities(theirs)
    return [len(found & wanted), len(found - wanted), len(wanted - found)]


def share(sums: Array) -> float:
    """The percentage of labels that are right."""
    return 100 * float(sums[0] / sums.sum()) if sums.sum() else 0.0


def mean_f1(sums: Array) -> float:
    """The mean F1 of the classes that occur, of right, wrong and missing labels (3 C,)."""
    right, wrong, missing = sums.reshape(-1, 3).T
    occurs = right + wrong + missing > 0
    if not occurs.any():
        return 100.0
    return 100 * float(np.mean((2 * right / np.maximum(2 * right + wrong + missing, 1))[occurs]))


Count = Callable[[list[str], list[str], Sequence[str]], list[int]]  # labels of hypothesis and reference, all classes
FORMULAS: dict[str, tuple[Count, Formula]] = {  # the statistics of a line, and the formula of their sums
    "accuracy": (count_places, share),
    # the lines that are right as a whole
    "exact_match": (count_lines, share),
    # the mean F1 of the classes of the references; of a resample those that occur in it
    "macro_f1": (count_classes, mean_f1),
    # of all labels together; of one label a text that is the accuracy
    "micro_f1": (count_labels, mean_f1),
    # right if kind, first and last word are (Tjong Kim Sang & De Meulder 2003), as seqeval counts them by default
    "entity_f1": (count_entities, mean_f1),
}
LABEL_METRICS = {name: partial(label_score, name) for name in FORMULAS}
