"""Translating a test set: statistics of each sentence by hand, and alternatives that leave the best hypothesis
alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seq2seq.evaluation.attention_maps import AttentionMap
from seq2seq.evaluation.evaluate import ATTENTION_STATISTICS, SUMS, sentence_sums, with_alternatives
from seq2seq.ids import UNK
from seq2seq.runtime.translation import EMPTY
from seq2seq.translator import Translator


def sums_of(weights: np.ndarray) -> dict[str, list[float]]:
    """Of a hypothesis with four subwords, two of which are unknown."""
    translation = EMPTY._replace(ids=[UNK, 7, UNK, 8])
    sums = sentence_sums(translation, AttentionMap(weights.astype(np.float32), None, None))
    return dict(zip(SUMS, np.reshape(sums, (-1, 2)).tolist(), strict=True))


def test_sentence_sums_of_diagonal_attention() -> None:
    """Three steps, each with all its weight on one position of the diagonal."""
    assert sums_of(np.eye(3)) == {
        "entropy": [0, 3],
        "entropy_share": [0, 3],
        "diagonality": [3, 3],
        "unknown": [2, 4],
    }


def test_sentence_sums_of_uniform_attention() -> None:
    sums = sums_of(np.full((3, 3), 1 / 3))
    assert sums["entropy"] == pytest.approx([3 * np.log(3), 3])
    assert sums["entropy_share"] == pytest.approx([3, 3])
    assert list(sums) == [*ATTENTION_STATISTICS, "unknown"]


def test_alternatives_do_not_change_the_best_hypothesis(random_run: Callable[..., Path], lines: list[str]) -> None:
    for options in ({}, {"length_penalty": "none"}, {"coverage_penalty": 0.2}):
        translator = Translator.open(random_run(), beam=4, **options)
        found = list(with_alternatives(translator).hypotheses(lines))
        assert [len(alternatives) for alternatives in found] == [4] * len(lines)
        assert [alternatives[0].text for alternatives in found] == translator.translate(lines)
