"""Texts as sentences and what stands between them, plain or HTML, and what their translations are joined to.

Everything that is no sentence is kept as it was written: blank lines, spaces, tags, comments. Sentences are found by
sentencex, which only this module imports and which comes with `pip install 'seq2seq[serve]'`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape, unescape
from html.parser import HTMLParser
from itertools import accumulate
from typing import NamedTuple

from seq2seq.errors import DataError, unknown
from seq2seq.runtime.words import UNSPACED, is_blank

VERBATIM = {"script", "style", "code", "kbd", "samp", "textarea"}  # elements whose text is not translated
VOID = {  # elements without an end tag
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
}  # fmt: skip
CLOSING = "。．！？…」』）"  # punctuation after which text without spaces needs none


class Part(NamedTuple):
    """A piece of a text: a sentence, or what stands between two."""

    raw: str  # as it was written
    sentence: str = ""  # what is translated; '' if nothing is


@dataclass(frozen=True)
class Document:
    """A text in parts."""

    parts: Sequence[Part]
    escape: Callable[[str], str] = str  # how a translation is written in this format

    @property
    def sentences(self) -> list[str]:
        """What is to be translated."""
        return [part.sentence for part in self.parts if part.sentence]

    def joined(self, translations: Sequence[str]) -> str:
        """The text with a translation in place of each sentence.

        A space is put between two that stood side by side, as Chinese sentences do, unless they do so as well."""
        left, written, after_sentence = iter(translations), "", False
        for raw, sentence in self.parts:
            new = self.escape(next(left)) if sentence else raw
            if sentence and after_sentence and new and written and not _may_touch(written[-1], new[0]):
                written += " "
            written, after_sentence = written + new, bool(sentence)
        return written


def read_text(text: str, language: str) -> Document:
    """A plain text, of which each line holds sentences of its own."""
    return Document([part for line in text.splitlines(keepends=True) for part in _split(line, language)])


def read_html(text: str, language: str) -> Document:
    """A text with tags. Each stretch of text between two tags is translated by itself.

    Text in `script`, `style` and other elements of VERBATIM is kept, and so is that of elements with translate="no"."""
    parts: list[Part] = []
    for raw, is_text in _Reader(text).pieces():
        parts += _split(unescape(raw), language, _escaped, _one_line) if is_text else [Part(raw)]
    return Document(parts, _escaped)


def read_whole(text: str) -> Document:
    """A text that is translated as one line, such as one to be summarized."""
    line = _one_line(text)
    return Document([Part(line, "" if is_blank(line) else line)])


FORMATS: dict[str, Callable[[str, str], Document]] = {"text": read_text, "html": read_html}


def read_document(text: str, text_format: str, language: str) -> Document:
    """The sentences of a text. Raises DataError for a format that is none of FORMATS."""
    if text_format not in FORMATS:
        raise DataError(unknown("format", text_format, FORMATS))
    return FORMATS[text_format](text, language)


def split_sentences(text: str, language: str) -> list[str]:
    """The sentences of a text, each with the spaces after it; together they are the text."""
    import sentencex

    found: list[str] = sentencex.segment(language.partition("-")[0].lower() or "en", text)
    return found if "".join(found) == text else [text]


def _split(
    text: str, language: str, write: Callable[[str], str] = str, read: Callable[[str], str] = str
) -> Iterator[Part]:
    """The parts of a text without line breaks that count.

    write: how text of this format is written; read: what the model gets for a sentence"""
    for sentence in split_sentences(text, language):
        middle = sentence.strip()
        if is_blank(middle):
            yield Part(write(sentence))
            continue
        before, _, after = sentence.partition(middle)
        if before:
            yield Part(write(before))
        yield Part(write(middle), read(middle))
        if after:
            yield Part(write(after))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    return escape(text, quote=False)


def _may_touch(left: str, right: str) -> bool:
    """Whether text may go on with `right` after `left` without a space."""
    return left.isspace() or right.isspace() or left in CLOSING or bool(UNSPACED.match(left) and UNSPACED.match(right))


class _Reader(HTMLParser):
    """Notes where each tag, comment and stretch of text begins, so that they can be kept as they were written."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = text
        self.lines = [0, *accumulate(len(line) for line in re.findall(r"[^\n]*\n", text))]  # where each line begins
        self.starts: list[tuple[int, bool]] = []  # where each piece begins, and whether it is text to translate
        self.closed_by: list[str] = []  # end tags of the elements, inside of one that is not translated
        self.feed(text)
        self.close()

    def pieces(self) -> Iterator[tuple[str, bool]]:
        """The pieces in their order, and whether each is text to translate; together they are the text."""
        ends = [start for start, _ in self.starts[1:]] + [len(self.text)]
        if self.starts and self.starts[0][0]:
            yield self.text[: self.starts[0][0]], False
        for (start, is_text), end in zip(self.starts, ends, strict=True):
            yield self.text[start:end], is_text

    def _note(self, is_text: bool = False) -> None:
        line, column = self.getpos()
        self.starts.append((self.lines[line - 1] + column, is_text))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note()
        if tag not in VOID and (self.closed_by or tag in VERBATIM or ("translate", "no") in attrs):
            self.closed_by.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note()

    def handle_endtag(self, tag: str) -> None:
        self._note()
        if tag in self.closed_by:
            while self.closed_by.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        self._note(is_text=not self.closed_by)

    def handle_comment(self, data: str) -> None:
        self._note()

    def handle_decl(self, decl: str) -> None:
        self._note()

    def handle_pi(self, data: str) -> None:
        self._note()

    def unknown_decl(self, data: str) -> None:
        self._note()
