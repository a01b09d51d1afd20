"""Calibration, AUC and confusion: cases solved on paper, and the same as scikit-learn where it is installed."""

import numpy as np
import pytest

from seq2seq.evaluation.classes import (
    BINS,
    ClassProbabilities,
    area_under_curve,
    calibration_error,
    confusion_lines,
    confusion_matrix,
)
from seq2seq.evaluation.scores import MetricOptions

PLAIN = MetricOptions(bootstrap=0)


def random_case(seed: int, classes: int = 3, n: int = 200) -> tuple[ClassProbabilities, list[str]]:
    """Probabilities of some classes, with ties, and references."""
    rng = np.random.default_rng(seed)
    names = [f"c{i}" for i in range(classes)]
    values = np.round(rng.dirichlet(np.ones(classes), n), 1) + 1e-3
    return ClassProbabilities(names, values / values.sum(1, keepdims=True)), [
        names[i] for i in rng.integers(classes, size=n)
    ]


def test_calibration_error_on_paper() -> None:
    """Two texts with 0.9, of which one is right, and two with 0.6, both right: (|0.5 - 0.9| + |1 - 0.6|) / 2 = 0.4."""
    found = ClassProbabilities(["a", "b"], np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]]))
    score = calibration_error(found, ["a", "b", "b", "b"], PLAIN)
    assert score.value == pytest.approx(40)
    assert f"bins:{BINS}" in score.signature
    certain = ClassProbabilities(["a", "b"], np.eye(2))
    assert calibration_error(certain, ["a", "b"], PLAIN).value == 0
    assert calibration_error(certain, ["b", "a"], MetricOptions(bootstrap=40)).interval == (100, 100)


def test_area_under_curve_on_paper() -> None:
    """Of 2 x 2 pairs of a and another, 2 are in order, one is tied: 2.5 / 4."""
    values = np.array([0.8, 0.3, 0.5, 0.3])
    found = ClassProbabilities(["a", "b", "c"], np.stack((values, 1 - values, 0 * values), 1))
    areas = area_under_curve(found, ["a", "a", "b", "b"])
    assert areas == {"a": pytest.approx(62.5), "b": pytest.approx(62.5)}  # no text is of c
    assert area_under_curve(found, ["a"] * 4) == {}


def test_area_under_curve_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    for seed in range(3):
        found, references = random_case(seed)
        mean = np.mean([*area_under_curve(found, references).values()])
        assert mean == pytest.approx(100 * metrics.roc_auc_score(references, found.values, multi_class="ovr"))


def test_confusion_matrix_counts_every_text_once() -> None:
    names, counts = confusion_matrix(["a", "a", "b", "x"], ["a", "b", "b", "b"])
    assert names == ["a", "b", "x"]
    assert counts == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]
    lines = confusion_lines(names, counts)
    assert [line.split() for line in lines] == [
        ["is", "\\", "given", "a", "b", "x"],
        ["a", "1", "0", "0"],
        ["b", "1", "1", "1"],
        ["x", "0", "0", "0"],
    ]
    many = [str(i) for i in range(20)]
    assert confusion_lines(*confusion_matrix([*many[1:], "0", "7"], [*many[1:], "0", "3"])) == ["1 of 3 taken for 7"]


def test_confusion_matrix_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    _, ours = random_case(1)
    _, theirs = random_case(2)
    assert confusion_matrix(ours, theirs)[1] == metrics.confusion_matrix(theirs, ours).tolist()
