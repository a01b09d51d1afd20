"""Erasing words: a stand-in for a classifier whose probabilities and attention are known."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from seq2seq.evaluation.erasure import erase_words, erasure_scores
from seq2seq.evaluation.scores import MetricOptions
from seq2seq.runtime.translation import Translation

CERTAIN, UNSURE = 0.9, 0.5


class StandIn:
    """Labels a text `yes` with 0.9 if it has the word key, else with 0.5; attends to the words that it is told to."""

    def __init__(self, attends: str) -> None:
        self.attends = attends

    def answer(self, text: str) -> Translation:
        words = text.split()
        probability = CERTAIN if "key" in words else UNSURE
        rows = np.full((2, len(words) + 1), 0.1, np.float32)
        rows[:, [i for i, word in enumerate(words) if word in self.attends.split()]] = 1.0
        rows /= rows.sum(1, keepdims=True)
        pieces = [*(f"▁{word}" for word in words), ""]
        return Translation("yes", 0.0, math.log(probability), pieces, ["▁yes", ""], rows)

    def hypotheses(self, texts: Iterable[str], attention: bool = False) -> Iterator[list[Translation]]:
        return ([self.answer(text)] for text in texts)

    def forced_decode(self, pairs: Iterable[tuple[str, str]]) -> Iterator[Translation]:
        return (self.answer(text) for text, _ in pairs)


TEXTS = ["a key b c", "d e key f"]
DECIDING = [frozenset({1}), frozenset({2})]


def found(attends: str, **options: Any) -> dict[tuple[str, str], float]:
    """(measure, first word of the choice) -> percentage."""
    stand: Any = StandIn(attends)
    scores = erasure_scores(erase_words(stand, TEXTS, DECIDING, **options), MetricOptions(bootstrap=0))
    return {(one.name, one.signature.partition(":")[2].split(" ")[0]): one.value for one in scores}


def test_attention_to_the_word_that_decides_is_an_explanation() -> None:
    scores = found("key")
    for choice in ("most", "all"):
        assert scores["comprehensiveness", choice] == pytest.approx(100 * (CERTAIN - UNSURE))
        assert scores["sufficiency", choice] == pytest.approx(0)
    assert scores["attention_hit", "the"] == 100
    assert scores["attention_mass", "all"] == pytest.approx(100 * 1 / 1.3, rel=1e-5)  # of 4 words


def test_attention_elsewhere_is_none() -> None:
    scores = found("a d")
    assert scores["comprehensiveness", "most"] == 0
    assert scores["sufficiency", "most"] == pytest.approx(100 * (CERTAIN - UNSURE))
    assert scores["comprehensiveness", "all"] == pytest.approx(100 * (CERTAIN - UNSURE))
    assert scores["attention_hit", "the"] == 0
    assert scores["attention_mass", "all"] == pytest.approx(100 * 0.1 / 1.3, rel=1e-5)


def test_attention_that_is_not_learned_chooses_no_word() -> None:
    scores = found("key", learned=False)
    assert {name for name, _ in scores} == {"comprehensiveness", "sufficiency"}
    assert ("comprehensiveness", "most") not in scores


def test_blank_texts_and_repeated_spaces_change_nothing() -> None:
    stand: Any = StandIn("key")
    plain = erase_words(stand, TEXTS, DECIDING)
    spaced = erase_words(stand, [" a  key b c", "  ", "d e   key f "], [DECIDING[0], frozenset(), DECIDING[1]])
    assert str(plain) == str(spaced)


def test_more_words_and_unknown_deciding_words() -> None:
    assert found("key", words=9)["comprehensiveness", "most"] == pytest.approx(100 * (CERTAIN - UNSURE))  # one is left
    stand: Any = StandIn("key")
    erased = erase_words(stand, TEXTS, [frozenset(), frozenset({2})])
    assert np.isnan(erased.without["deciding"]).tolist() == [True, False]
    names = {score.name for score in erasure_scores(erase_words(stand, TEXTS), MetricOptions(bootstrap=0))}
    assert names == {"comprehensiveness", "sufficiency"}
