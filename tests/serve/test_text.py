"""Texts of several sentences: what is no sentence is kept."""

import random

import pytest

from seq2seq.runtime.translation import Translation
from seq2seq.serve.refusals import RefusedError
from seq2seq.serve.text import Document, read_labelled, read_text, read_whole
from tests.each import each

pytest.importorskip("sentencex", reason="pip install 'seq2seq[serve]'")


def joined(document: Document, translations: list[str]) -> str:
    return document.joined([Translation(text, 0.0, 0.0, [], []) for text in translations])


def upper(document: Document) -> str:
    return joined(document, [sentence.upper() for sentence in document.sentences])


@each(
    ("text", "language", "sentences"),
    [
        ("Dr. Smith is here. Is he? Yes!", "en", ["Dr. Smith is here.", "Is he?", "Yes!"]),
        ("Am 3. Mai z.B. kam er. Und dann?", "de", ["Am 3. Mai z.B. kam er.", "Und dann?"]),
        ("你好。我很好！再见", "zh-Hans", ["你好。", "我很好！", "再见"]),
        ("A title\nA sentence. And\nanother", "", ["A title", "A sentence.", "And", "another"]),
        ("  \n\n\t", "en", []),
        ("", "en", []),
        ("one  two", "en", ["one  two"]),
    ],
)
def test_sentences(text: str, language: str, sentences: list[str]) -> None:
    assert read_text(text, language).sentences == sentences


@each("text", ["  A b.  C d!\r\n\r\n\n\tE f\n", "a\u2028\u3000b. \x0bC", "\n", "A. B. C.\n\n"])
def test_spaces_and_blank_lines_between_sentences_are_kept(text: str) -> None:
    assert upper(read_text(text, "en")) == text.upper()


def test_every_text_is_its_parts() -> None:
    rng = random.Random(1)
    for _ in range(300):
        text = "".join(
            rng.choice(["a", "B", " ", ".", "!", "\n", "\r\n", "。", "你", "\t", "é", "Dr. "]) for _ in range(30)
        )
        for language in ("en", "zh", "xx", ""):
            assert "".join(part.raw for part in read_text(text, language).parts) == text


@each(
    ("translations", "expected"),
    [(["Hello.", "Fine!"], "Hello. Fine!"), (["你好。", "很好！"], "你好。很好！"), (["", "Fine!"], "Fine!")],
)
def test_sentences_that_stood_side_by_side_get_a_space_where_words_have_them(
    translations: list[str], expected: str
) -> None:
    assert joined(read_text("你好。很好！", "zh"), translations) == expected


def test_whole_text_is_one_line() -> None:
    assert read_whole(" A. \n B.").sentences == ["A. B."]
    assert read_whole(" \n").sentences == []


def test_texts_to_be_labelled_are_lines_of_words() -> None:
    """As the words of training texts, between spaces; an empty one is refused."""
    assert read_labelled(" A\u00a0B  c\nd ").sentences == ["A\u00a0B c d"]
    for text in ("", " \n", "\u200b"):
        with pytest.raises(RefusedError, match="an empty text cannot be labelled"):
            read_labelled(text)
