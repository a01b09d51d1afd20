"""HTML: its sentences with the tags inside of them, and translations with these tags where they belong.

Tags of a sentence, such as `<b>`, keep their order, so that they stay nested as they were. An element encloses the
target words that are aligned to its source words by attention. Blocks such as `<p>` end sentences.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from html import escape, unescape
from html.parser import HTMLParser
from itertools import accumulate, chain, pairwise
from typing import NamedTuple

from seq2seq.errors import DataError, unknown
from seq2seq.evaluation.alignment import argmax_links, word_weights
from seq2seq.runtime.translation import Translation
from seq2seq.serve.refusals import TooLargeError
from seq2seq.serve.text import Document, Part, Tag, read_text, sentence_pieces

VERBATIM = {"script", "style", "code", "kbd", "samp", "textarea"}  # elements whose text is not translated
INLINE = {  # elements that do not end a sentence
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "data", "del", "dfn", "em", "font", "i", "ins", "label", "mark", "q",
    "s", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var",
}  # fmt: skip
VOID = {  # elements without an end tag
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
}  # fmt: skip
BEGIN, END = 1, -1  # kinds of a Tag
MOST_TAGS_OF_TEXT = 2_000  # the time to read broken tags grows with the square of their number
MOST_TAGS = 100  # of a sentence that are aligned; the time grows with tags times words


def read_html(text: str, language: str) -> Document:
    """A text with tags.

    Text in `script`, `code` and other elements of VERBATIM is kept, and so is that of elements with translate="no"."""
    parts: list[Part] = []
    block: list[_Piece] = []  # text, and the inline tags in it
    for piece in _Reader(text).pieces():
        if piece.is_text or piece.name in INLINE:
            block.append(piece)
        else:
            parts += [*_block_parts(block, language), Part(piece.raw)]
            block = []
    return Document([*parts, *_block_parts(block, language)], write_tagged)


FORMATS: dict[str, Callable[[str, str], Document]] = {"text": read_text, "html": read_html}


def read_document(text: str, text_format: str, language: str) -> Document:
    """The sentences of a text. Raises DataError for a format that is none of FORMATS, and TooLargeError for HTML with
    too many tags."""
    if text_format not in FORMATS:
        raise DataError(unknown("format", text_format, FORMATS))
    if text_format == "html" and (tags := text.count("<")) > MOST_TAGS_OF_TEXT:
        raise TooLargeError(f"a text may have at most {MOST_TAGS_OF_TEXT:,} tags, and this one has {tags:,}: divide it")
    return FORMATS[text_format](text, language)


def write_tagged(part: Part, found: Translation) -> str:
    """The translation of a sentence as HTML, with its tags."""
    if not part.tags:
        return _escaped(found.text)
    written, position = "", 0
    for tag, place in zip(part.tags, tag_places(part.sentence, part.tags, found), strict=True):
        written, position = written + _escaped(found.text[position:place]) + tag.raw, place
    return written + _escaped(found.text[position:])


def tag_places(sentence: str, tags: Sequence[Tag], found: Translation) -> list[int]:
    """For each tag of a sentence the number of characters of its translation that stand before it.

    Where no target word is aligned to an element, or there is no attention, or there are more than MOST_TAGS, it stands
    as far into the translation as into the sentence."""
    few = len(tags) <= MOST_TAGS
    source_words, target_words, links = _words(sentence, found if few else found._replace(attention=None))
    spans, targets = _spans(sentence, source_words), _spans(found.text, target_words)
    places = []
    for tag, (first, last) in zip(tags, _ranges(tags, spans), strict=True):
        aligned = [t for s, t in links if first <= s < last and t < len(targets)]
        if first == 0 and last == len(spans):
            begin, end = 0, len(targets)
        elif aligned:
            begin, end = min(aligned), max(aligned) + 1
        else:
            begin, end = (round(each * len(targets) / max(1, len(spans))) for each in (first, last))
        if tag.kind == END:
            places.append(targets[end - 1][1] if end else 0)
        else:
            places.append(targets[begin][0] if begin < len(targets) else len(found.text))
    return list(accumulate(places, max))  # in their order


def _words(sentence: str, found: Translation) -> tuple[list[str], list[str], list[tuple[int, int]]]:
    """The words of both sides, and the links between them; without attention those between spaces, and no links."""
    if found.attention is None or not found.source or not len(found.target):
        return sentence.split(), found.text.split(), []
    source, target, weights = word_weights(found)
    return source, target, sorted(argmax_links(weights)) if weights.size else []


def _spans(text: str, words: Sequence[str]) -> list[tuple[int, int]]:
    """Where each word begins and ends in a text; one that is not found, such as an unknown one, has no width."""
    spans, position = [], 0
    for word in words:
        start = text.find(word, position)
        if start < 0:
            start, word = position, ""
        spans.append((start, position := start + len(word)))
    return spans


def _ranges(tags: Sequence[Tag], spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The source words, as (first, last + 1), of the element that each tag begins or ends, as far as the sentence has
    them."""
    begins = [bisect_right(spans, tag.offset, key=lambda span: span[1]) for tag in tags]
    ends = [bisect_left(spans, tag.offset, key=lambda span: span[0]) for tag in tags]
    ranges = [(first, len(spans)) for first in begins]  # of elements that end after the sentence
    opened: list[int] = []
    for i, tag in enumerate(tags):
        if tag.kind == BEGIN:
            opened.append(i)
        elif tag.kind == END:
            match = next((j for j in reversed(opened) if tags[j].name == tag.name), None)
            ranges[i] = (0 if match is None else begins[match], ends[i])
            if match is not None:
                ranges[match] = ranges[i]
                del opened[opened.index(match) :]
    return ranges


class _Piece(NamedTuple):
    """A tag or comment, or text between two."""

    raw: str
    is_text: bool = False  # text to translate
    name: str = ""  # of the element, of a tag
    kind: int = 0  # as of a Tag


def _block_parts(block: Sequence[_Piece], language: str) -> Iterator[Part]:
    """The parts of text with inline tags."""
    text = "".join(unescape(piece.raw) for piece in block if piece.is_text)
    tags: list[Tag] = []
    offset = 0
    for piece in block:
        if piece.is_text:
            offset += len(unescape(piece.raw))
        else:
            tags.append(Tag(piece.raw, piece.name, piece.kind, offset))
    end = 0
    for raw, is_sentence in sentence_pieces(text, language):
        start, end = end, end + len(raw)
        before, inside, tags = _tags_of(tags, start, end) if is_sentence else _tags_between(tags, start, end)
        yield from (Part(tag.raw) for tag in before)
        if is_sentence:
            yield Part(_interleaved(raw, inside, start), _one_line(raw), _moved(inside, raw, start))
        else:
            yield Part(_interleaved(raw, inside, start))
    yield from (Part(tag.raw) for tag in tags)


def _tags_of(tags: Sequence[Tag], start: int, end: int) -> tuple[list[Tag], list[Tag], list[Tag]]:
    """Of tags in their order those before a sentence, in it, and after it. At its beginning elements begin in it, and
    at its end they end in it."""
    first = next((i for i, tag in enumerate(tags) if tag.offset > start or tag.kind == BEGIN), len(tags))
    last = first
    for i in range(first, len(tags)):
        if tags[i].offset < end or (tags[i].offset == end and tags[i].kind == END):
            last = i + 1
    return list(tags[:first]), list(tags[first:last]), list(tags[last:])


def _tags_between(tags: Sequence[Tag], start: int, end: int) -> tuple[list[Tag], list[Tag], list[Tag]]:
    """The same for spaces between two sentences."""
    last = sum(tag.offset < end for tag in tags)
    return [], list(tags[:last]), list(tags[last:])


def _interleaved(text: str, tags: Sequence[Tag], start: int) -> str:
    """Text, which begins at `start`, as HTML with its tags."""
    cuts = [0, *(tag.offset - start for tag in tags), len(text)]
    texts = [_escaped(text[a:b]) for a, b in pairwise(cuts)]
    return "".join(chain.from_iterable(zip(texts, [*(tag.raw for tag in tags), ""], strict=True)))


def _moved(tags: Sequence[Tag], raw: str, start: int) -> tuple[Tag, ...]:
    """The tags with offsets in the sentence as the model reads it, without line breaks and double spaces."""
    return tuple(tag._replace(offset=len(_one_line(raw[: tag.offset - start] + ".")) - 1) for tag in tags)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    return escape(text, quote=False)


class _Reader(HTMLParser):
    """Notes where each tag, comment and stretch of text begins, so that they can be kept as they were written."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = text
        self.lines = [0, *accumulate(len(line) for line in re.findall(r"[^\n]*\n", text))]  # where each line begins
        self.found: list[tuple[int, _Piece]] = []  # where each piece begins, and what it is
        self.closed_by: list[str] = []  # end tags of the elements, inside of one that is not translated
        self.feed(text)
        self.close()

    def pieces(self) -> Iterator[_Piece]:
        """The pieces in their order; together they are the text."""
        starts = [start for start, _ in self.found]
        if starts and starts[0]:
            yield _Piece(self.text[: starts[0]])
        for (start, piece), end in zip(self.found, [*starts[1:], len(self.text)], strict=True):
            yield piece._replace(raw=self.text[start:end])

    def _note(self, is_text: bool = False, name: str = "", kind: int = 0) -> None:
        line, column = self.getpos()
        self.found.append((self.lines[line - 1] + column, _Piece("", is_text, name, kind)))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kept = tag in VERBATIM or ("translate", "no") in attrs
        self._note(name="" if self.closed_by or kept else tag, kind=BEGIN)
        if tag not in VOID and (self.closed_by or kept):
            self.closed_by.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note()

    def handle_endtag(self, tag: str) -> None:
        self._note(name="" if self.closed_by else tag, kind=END)
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
