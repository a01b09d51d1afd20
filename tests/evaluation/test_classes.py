"""Calibration, AUC and confusion: cases solved on paper."""

import numpy as np
import pytest

from seq2seq.evaluation.classes import (
    BINS,
    LabelProbabilities,
    areas_under_curve,
    calibration_error,
    confusion_lines,
    confusion_matrix,
)
from seq2seq.evaluation.scores import MetricOptions

PLAIN = MetricOptions(bootstrap=0)


def test_calibration_error_on_paper() -> None:
    """Two texts with 0.9, of which one is right, and two with 0.6, both right: (|0.5 - 0.9| + |1 - 0.6|) / 2 = 0.4."""
    found = LabelProbabilities(["a", "b"], np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]]), True)
    score = calibration_error(found, ["a", "b", "b", "b"], PLAIN)
    assert score.value == pytest.approx(40)
    assert f"bins:{BINS}" in score.signature
    certain = LabelProbabilities(["a", "b"], np.eye(2), True)
    assert calibration_error(certain, ["a", "b"], PLAIN).value == 0
    assert calibration_error(certain, ["b", "a"], MetricOptions(bootstrap=40)).interval == (100, 100)


def test_areas_under_curve_on_paper() -> None:
    """Of 2 x 2 pairs of a and another, 2 are in order, one is tied: 2.5 / 4."""
    values = np.array([0.8, 0.3, 0.5, 0.3])
    found = LabelProbabilities(["a", "b", "c"], np.stack((values, 1 - values, 0 * values), 1), True)
    areas = areas_under_curve(found, ["a", "a", "b", "b"])
    assert areas == {"a": pytest.approx(62.5), "b": pytest.approx(62.5)}  # no text is of c
    assert areas_under_curve(found, ["a"] * 4) == {}
    several = LabelProbabilities(["a", "b"], np.array([[0.9, 0.1], [0.8, 0.3], [0.1, 0.2], [0.2, 0.4]]), False)
    assert areas_under_curve(several, ["a", "b a", "", "b"]) == {"a": pytest.approx(100), "b": pytest.approx(100)}


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
