"""Is what is said of a system's behaviour what its formula gives on paper?"""

from math import log

import numpy as np
import pytest

from seq2seq.evaluation.attention_stats import diagonality, entropy, normalized_entropy, percent, ratio
from seq2seq.evaluation.text_stats import copied, repetition, tokens, unknown


def test_words_are_whole_in_every_script() -> None:
    """Vowel signs of Hindi, Arabic and Hebrew points, a joiner of Persian, letters with their accents apart."""
    for text in ("नमस्ते", "مُحَمَّد", "שָׁלוֹם", "می\u200cخواهم", "cafe\u0301", "don_t", "3"):
        assert tokens(f"({text}, {text}.) —") == [text, text]
    assert tokens("I'm 3-fold") == ["I", "m", "3", "fold"]
    assert tokens("") == []


def test_repetition_on_paper() -> None:
    """ "a b", "b a", "a b", "b a": two of four came before; without punctuation, and case counts."""
    assert repetition("a b a, b a.") == (2, 4)
    assert repetition("A b a b") == (0, 3)
    assert repetition("a a a a", n=3) == (1, 2)
    assert repetition("a a a a", n=1) == (3, 4)
    assert repetition("word") == repetition("") == (0, 0)


def test_copies_on_paper() -> None:
    assert copied("Peter sees Anna.", "Peter sieht Anna, Anna") == (3, 4)
    assert copied("peter", "Peter") == (0, 1)
    assert copied("x", "") == (0, 0)


def test_unknown_on_paper() -> None:
    assert unknown([5, 1, 1, 7], 1) == (2, 4)


def test_shares_of_nothing_are_nothing() -> None:
    assert percent(np.array([0.0, 0.0])) == ratio(np.array([0.0, 0.0])) == 0
    assert percent(np.array([1.0, 4.0])) == 25


def test_entropy_on_paper() -> None:
    """One place: 0; two alike: ln 2; all four: ln 4. A row that sums to less is as one that sums to 1, one of nothing counts not."""
    weights = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4, [0.1, 0.1, 0, 0], [0, 0, 0, 0]])
    assert entropy(weights) == pytest.approx((0 + log(2) + log(4) + log(2), 4))
    assert normalized_entropy(weights) == pytest.approx((0.5 + 1 + 0.5, 4))
    assert normalized_entropy(np.ones((3, 1))) == (0, 0)


def test_diagonality_on_paper() -> None:
    """Of 3 target and 5 source positions the diagonal is at 0, 2 and 4. The middle row is off by 1 of 2 at most: 0.5."""
    on, off = np.zeros((3, 5)), np.zeros((3, 5))
    on[[0, 1, 2], [0, 2, 4]] = 1
    off[[0, 1, 2], [4, 0, 0]] = 1
    assert diagonality(on) == (3, 3)
    assert diagonality(off) == (0, 3)
    on[1] = [0, 0.5, 0, 0.5, 0]
    assert diagonality(on) == pytest.approx((2.5, 3))
    on[2] = 0
    assert diagonality(on) == pytest.approx((1.5, 2))
    assert diagonality(np.ones((1, 5))) == diagonality(np.ones((5, 1))) == (0, 0)


def test_diagonality_does_not_depend_on_the_size_or_the_direction() -> None:
    for n in (2, 3, 10, 40):
        assert diagonality(np.eye(n)) == pytest.approx((n, n))
        flat = np.full((n, n), 1 / n)
        assert diagonality(flat)[0] == pytest.approx(diagonality(flat[::-1, ::-1])[0])
