"""Statistics of text, by hand."""

from seq2seq.evaluation.text_stats import copied, repetition, tokens, unknown


def test_tokens_are_whole_words_in_every_script() -> None:
    """Vowel signs of Hindi, Arabic and Hebrew points, a joiner of Persian, combining accents."""
    for text in ("नमस्ते", "مُحَمَّد", "שָׁלוֹם", "می\u200cخواهم", "cafe\u0301", "don_t", "3"):
        assert tokens(f"({text}, {text}.) —") == [text, text]
    assert tokens("I'm 3-fold") == ["I", "m", "3", "fold"]
    assert tokens("") == []


def test_tokens_of_scripts_without_spaces_are_characters() -> None:
    assert tokens("我们去，我们去。") == list("我们去我们去")
    assert tokens("ก็มา (so)") == ["ก็", "ม", "า", "so"]
    assert repetition("我们去，我们去。") == (2, 5)
    assert copied("我们去", "我去了") == (2, 3)


def test_repetition_by_hand() -> None:
    """ "a b", "b a", "a b", "b a": two of four are repetitions; punctuation is ignored, case is not."""
    assert repetition("a b a, b a.") == (2, 4)
    assert repetition("A b a b") == (0, 3)
    assert repetition("a a a a", n=3) == (1, 2)
    assert repetition("a a a a", n=1) == (3, 4)
    assert repetition("word") == repetition("") == (0, 0)


def test_copied_by_hand() -> None:
    assert copied("Peter sees Anna.", "Peter sieht Anna, Anna") == (3, 4)
    assert copied("peter", "Peter") == (0, 1)
    assert copied("x", "") == (0, 0)


def test_unknown_by_hand() -> None:
    assert unknown([5, 1, 1, 7], 1) == (2, 4)
