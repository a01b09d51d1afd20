"""HTML: what is no sentence is kept, and tags in a sentence enclose the words that are aligned to theirs."""

import html
import random
import re

import numpy as np
import pytest

from seq2seq.errors import DataError
from seq2seq.runtime.translation import Translation
from seq2seq.serve.markup import read_document, read_html
from seq2seq.serve.text import Document
from tests.each import each

pytest.importorskip("sentencex", reason="pip install 'seq2seq[serve]'")

PAGE = """<!DOCTYPE html>
<p class="a">One dog. Two &amp; <b>three</b> dogs.<br/>
<!-- no text. -->  <img alt="A picture.">
<code>x = 1. y = 2.</code><script>if (a < b) {"No."}</script>
<span translate="no">Kept as <i>it</i> is.<br></span> End.</p>
"""


def translation(sentence: str, text: str, links: str | None) -> Translation:
    """A translation whose words are aligned so, as Pharaoh text; None: without attention."""
    source, target = ([f"▁{word}" for word in words.split()] for words in (sentence, text))
    if links is None:
        return Translation(text, 0.0, 0.0, [*source, ""], [*target, ""])
    weights = np.zeros((len(target) + 1, len(source) + 1), np.float32)
    for link in links.split():
        s, t = map(int, link.split("-"))
        weights[t, s] = 1.0
    return Translation(text, 0.0, 0.0, [*source, ""], [*target, ""], weights)


def upper(document: Document) -> str:
    """Each word in upper case, aligned to itself."""
    found = []
    for sentence in document.sentences:
        links = " ".join(f"{i}-{i}" for i in range(len(sentence.split())))
        found.append(translation(sentence, sentence.upper(), links))
    return document.joined(found)


def test_tags_are_kept_and_text_is_translated() -> None:
    document = read_html(PAGE, "en")
    assert document.sentences == ["One dog.", "Two & three dogs.", "End."]
    expected = PAGE
    for words in ("One dog", "Two", "three", "dogs", "End"):
        expected = expected.replace(words, words.upper(), 1)
    assert upper(document) == expected


SENTENCE = "The old teacher opens it."


@each(
    ("source", "text", "links", "expected"),
    [
        ("The <b>old</b> teacher", "Der alte Lehrer", "0-0 1-1 2-2", "Der <b>alte</b> Lehrer"),
        ("The <b>old</b> teacher", "Lehrer alte Der", "0-2 1-1 2-0", "Lehrer <b>alte</b> Der"),
        ("The <b>old</b> <i>teacher</i>", "El maestro viejo", "0-0 1-2 2-1", "El maestro <b>viejo</b><i></i>"),
        ("He <b>opens</b> it", "Er macht es auf", "0-0 1-1 2-2 1-3", "Er <b>macht es auf</b>"),
        ("<b>The old teacher</b>", "Lehrer Der", "0-1 2-0", "<b>Lehrer Der</b>"),
        ("<a href='x'><b>One</b></a> dog", "Ein Hund", "0-0 1-1", "<a href='x'><b>Ein</b></a> Hund"),
        ("One <b>dog. Two</b> dogs", "EIN HUND. ZWEI HUNDE", "", ""),
        ("A <i>B<b>c</b></i> d", "w x y z", None, ""),
        ("a <b> big </b> dog", "ein großer Hund", "0-0 1-1 2-2", "ein <b>großer</b> Hund"),
        ("a <b></b>dog", "ein Hund", "0-0 1-1", "ein <b></b>Hund"),
        ("Open <b>x</b> now", "Jetzt", "2-0", "<b>Jetzt</b>"),
        ("a <b>dog</b>", "", "", "<b></b>"),
        ("<b>a &lt; b</b> c", "a < b c", "0-0 1-1 2-2 3-3", "<b>a &lt; b</b> c"),
        ("一<b>二</b>三", "eins zwei drei", None, "<b>eins zwei drei</b>"),
    ],
)
def test_element_encloses_the_words_aligned_to_its_own(
    source: str, text: str, links: str | None, expected: str
) -> None:
    document = read_html(source, "en")
    if not expected:  # only nesting and text
        written = document.joined([translation(one, text, links) for one in document.sentences])
        assert re.sub("<.*?>", "", written).replace(" ", "") in (text * len(document.sentences)).replace(" ", "")
        assert re.findall("<.*?>", written) == re.findall("<.*?>", source)
        return
    (sentence,) = document.sentences
    assert document.joined([translation(sentence, text, links)]) == expected


def test_element_of_several_sentences_stays_around_them() -> None:
    document = read_html("One <b>dog. Two</b> dogs.", "en")
    assert upper(document) == "ONE <b>DOG. TWO</b> DOGS."
    assert upper(read_html("<i>One. <b>Two.</b></i>", "en")) == "<i>ONE. <b>TWO.</b></i>"


def test_translation_is_escaped_and_line_breaks_are_spaces() -> None:
    document = read_html("<p>Fish\n and &lt;chips&gt;&nbsp;</p>", "en")
    assert document.sentences == ["Fish and <chips>"]
    found = [translation("Fish and <chips>", "<Fisch> & Pommes", "0-0")]
    assert document.joined(found) == "<p>&lt;Fisch&gt; &amp; Pommes\xa0</p>"


def test_broken_html_loses_nothing() -> None:
    rng = random.Random(2)
    for _ in range(500):
        text = "".join(
            rng.choice(["<p>", "</p>", "<", ">", "a. ", "B", "&amp;", "&", "</", "<!--", "-->", "<b", '"', "\n",
                        "<script>", "</script>", "<!", "<?x>", "</>", "<br/>", '<i translate="no">', "</i>", "<b>",
                        "</b>", "<em>", "</em>", " ", "c d"])
            for _ in range(12)
        )  # fmt: skip
        document = read_html(text, "en")
        assert html.unescape("".join(part.raw for part in document.parts)) == html.unescape(text)
        tags = [tag.raw for part in document.parts for tag in part.tags]
        assert all(upper(document).count(tag) >= tags.count(tag) for tag in tags)


def test_unknown_format_names_the_choices() -> None:
    with pytest.raises(DataError, match=r"format='htm' is unknown .did you mean 'html'.*choose one of: text, html"):
        read_document("a", "htm", "en")
