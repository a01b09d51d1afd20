"""Texts of several sentences, plain and HTML: what is no sentence is kept."""

import html
import random

import pytest

from seq2seq.errors import DataError
from seq2seq.serve.text import Document, read_document, read_html, read_text, read_whole
from tests.each import each

pytest.importorskip("sentencex", reason="pip install 'seq2seq[serve]'")

PAGE = """<!DOCTYPE html>
<p class="a">One dog. Two &amp; <b>three</b> dogs.<br/>
<!-- no text. -->  <img alt="A picture.">
<code>x = 1. y = 2.</code><script>if (a < b) {"No."}</script>
<span translate="no">Kept as <i>it</i> is.<br></span> End.</p>
"""


def upper(document: Document) -> str:
    return document.joined([sentence.upper() for sentence in document.sentences])


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
    ("translations", "joined"),
    [(["Hello.", "Fine!"], "Hello. Fine!"), (["你好。", "很好！"], "你好。很好！"), (["", "Fine!"], "Fine!")],
)
def test_sentences_that_stood_side_by_side_get_a_space_where_words_have_them(
    translations: list[str], joined: str
) -> None:
    assert read_text("你好。很好！", "zh").joined(translations) == joined


def test_tags_are_kept_and_text_between_them_is_translated() -> None:
    document = read_html(PAGE, "en")
    assert document.sentences == ["One dog.", "Two &", "three", "dogs.", "End."]
    expected = PAGE
    for sentence in ("One dog", "Two", "three", "dogs", "End"):
        expected = expected.replace(sentence, sentence.upper(), 1)
    assert upper(document) == expected


def test_translation_is_escaped_in_html_and_line_breaks_are_spaces() -> None:
    document = read_html("<p>Fish\n and &lt;chips&gt;&nbsp;</p>", "en")
    assert document.sentences == ["Fish and <chips>"]
    assert document.joined(["<Fisch> & Pommes"]) == "<p>&lt;Fisch&gt; &amp; Pommes\xa0</p>"


def test_broken_html_loses_nothing() -> None:
    rng = random.Random(2)
    for _ in range(500):
        text = "".join(
            rng.choice(["<p>", "</p>", "<", ">", "a. ", "B", "&amp;", "&", "</", "<!--", "-->", "<b", '"', "\n",
                        "<script>", "</script>", "<!", "<?x>", "</>", "<br/>", '<i translate="no">', "</i>"])
            for _ in range(12)
        )  # fmt: skip
        document = read_html(text, "en")
        assert html.unescape("".join(part.raw for part in document.parts)) == html.unescape(text)


def test_whole_text_is_one_line() -> None:
    assert read_whole(" A. \n B.").sentences == ["A. B."]
    assert read_whole(" \n").sentences == []


def test_unknown_format_names_the_choices() -> None:
    with pytest.raises(DataError, match=r"format='htm' is unknown .did you mean 'html'.*choose one of: text, html"):
        read_document("a", "htm", "en")
