"""Texts as sentences and what stands between them, and what their translations are joined to.

Everything that is no sentence is kept as it was written: blank lines and spaces. Sentences are found by sentencex,
which only this module imports and which comes with `pip install 'seq2seq[serve]'`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from seq2seq.ids import BREAK
from seq2seq.runtime.translation import Translation
from seq2seq.runtime.words import UNSPACED, is_blank, single_spaces
from seq2seq.serve.refusals import RefusedError

CLOSING = "。．！？…」』）"  # punctuation after which text without spaces needs none


class Tag(NamedTuple):
    """A tag inside of a sentence."""

    raw: str
    name: str
    kind: int  # 1: it begins an element, -1: it ends one
    offset: int  # characters of the sentence before it


class Part(NamedTuple):
    """A piece of a text: a sentence, or what stands between two."""

    raw: str  # as it was written
    sentence: str = ""  # what is translated; '' if nothing is
    tags: tuple[Tag, ...] = ()  # in their order


def _plain(part: Part, found: Translation) -> str:
    return found.text


def _with_line_breaks(part: Part, found: Translation) -> str:
    """The text with line breaks where the model wrote them."""
    return "\n".join(line.strip() for line in found.text.split(BREAK))


@dataclass(frozen=True)
class Document:
    """A text in parts."""

    parts: Sequence[Part]
    write: Callable[[Part, Translation], str] = _plain  # the translation of a sentence in this format

    @property
    def sentences(self) -> list[str]:
        """What is to be translated."""
        return [part.sentence for part in self.parts if part.sentence]

    @property
    def tagged(self) -> bool:
        """Whether sentences have tags, which are put where the attention of the translations says."""
        return any(part.tags for part in self.parts)

    def joined(self, translations: Sequence[Translation]) -> str:
        """The text with a translation in place of each sentence.

        A space is put between two that stood side by side, as Chinese sentences do, unless they do so as well."""
        left, written, after_sentence = iter(translations), "", False
        for part in self.parts:
            new = self.write(part, next(left)) if part.sentence else part.raw
            if part.sentence and after_sentence and new and written and not _may_touch(written[-1], new[0]):
                written += " "
            written, after_sentence = written + new, bool(part.sentence)
        return written


def read_text(text: str, language: str) -> Document:
    """A plain text, of which each line holds sentences of its own."""
    parts: list[Part] = []
    for line in text.splitlines(keepends=True):
        for piece, is_sentence in sentence_pieces(line, language):
            parts.append(Part(piece, piece if is_sentence else ""))
    return Document(parts)


def read_whole(text: str) -> Document:
    """A text that is translated as one line, to text with line breaks, such as one to be summarized."""
    line = " ".join(text.split())
    return Document([Part(line, "" if is_blank(line) else line)], _with_line_breaks)


def read_labelled(text: str) -> Document:
    """A text that is labelled as one line. Raises RefusedError for an empty one."""
    line = single_spaces(" ".join(text.splitlines()))
    if is_blank(line):
        raise RefusedError("an empty text cannot be labelled")
    return Document([Part(line, line)])


def split_sentences(text: str, language: str) -> list[str]:
    """The sentences of a text, each with the spaces after it; together they are the text."""
    import sentencex

    found: list[str] = sentencex.segment(language.partition("-")[0].lower() or "en", text)
    return found if "".join(found) == text else [text]


def sentence_pieces(text: str, language: str) -> Iterator[tuple[str, bool]]:
    """The pieces of a text, and whether each is a sentence or spaces between two; together they are the text."""
    for sentence in split_sentences(text, language):
        middle = "" if is_blank(sentence) else sentence.strip()
        before, _, after = sentence.partition(middle) if middle else (sentence, "", "")
        for piece in (before, middle, after):
            if piece:
                yield piece, piece is middle


def _may_touch(left: str, right: str) -> bool:
    """Whether text may go on with `right` after `left` without a space."""
    return left.isspace() or right.isspace() or left in CLOSING or bool(UNSPACED.match(left) and UNSPACED.match(right))
