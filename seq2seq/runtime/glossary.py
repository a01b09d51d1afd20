"""What of a source line has to be in its translation: terms of a glossary, and spans that come through unchanged."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from .errors import DataError, choose, quoted
from .words import IDEOGRAPHS, LETTERS, TIBETAN, is_blank

# a letter or digit of a script that writes spaces between words: next to one, a match would be a part of a word
IN_WORD = rf"[^\W{IDEOGRAPHS}{LETTERS}{TIBETAN}]"
# what can be protected -> its pattern; of two that begin at one place the first is taken. What repeats gives nothing
# back (`++`), and does not begin within what it has read, so that the time is linear in the length of a line
PROTECTED = {
    "marks": "⟦(?P<marked>[^⟦⟧]*)⟧",
    "urls": (
        rf"(?<!{IN_WORD})(?i:(?:https?|ftp)://|www\.)[^\s<>⟦⟧\"]*[^\s<>⟦⟧\".,;:!?'»”’)\]}}]"
        r"|(?<![\w.+-])[\w.+-]++@[\w-]++(?:\.[\w-]++)++"
    ),
    "numbers": rf"(?<!{IN_WORD})(?<!\d[.,:/-])\d++(?:[.,:/-]\d++)*+(?!{IN_WORD})",
}


class Term(NamedTuple):
    """Text that a translation has to hold."""

    text: str
    follows: str = ""  # what it is joined to in the source, no letter or digit: no space comes between them
    optional: bool = False  # it is left out, with a warning, of a translation that cannot have so many tokens


class Glossary:
    """Source terms and their translations, by whole words; of those that begin at one place the longest is taken."""

    def __init__(self, entries: Mapping[str, str]) -> None:
        """entries: source term -> target term."""
        self.entries = dict(entries)
        self.lengths = sorted({len(term) for term in entries}, reverse=True)

    @classmethod
    def parse(cls, lines: Iterable[str], name: object) -> "Glossary":
        """The glossary in lines `source term<TAB>target term`; empty ones, and those that begin with #, are skipped.

        Raises DataError, which calls the file `name`, for a line of another form, and for a second translation."""
        entries: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            if line.startswith("#") or is_blank(line):
                continue
            source, *rest = (field.strip() for field in line.split("\t"))
            if len(rest) != 1 or is_blank(source) or is_blank(rest[0]):
                raise DataError(f"{name}:{number}: {quoted(line)} is not a source term, a tab, and a target term")
            if entries.setdefault(source, rest[0]) != rest[0]:
                raise DataError(
                    f"{name}:{number}: {quoted(source)} is translated as {quoted(entries[source])} in a line before"
                )
        return cls(entries)

    def find(self, line: str) -> list[tuple[int, int, str]]:
        """Where source terms are in a line: start, end and target term, from left to right, without overlaps."""
        found, start = [], 0
        while start < len(line):
            ends = (start + n for n in self.lengths if _is_boundary(line, start))
            end = next((end for end in ends if line[start:end] in self.entries and _is_boundary(line, end)), start)
            if end > start:
                found.append((start, end, self.entries[line[start:end]]))
            start = max(start + 1, end)
        return found


def _is_boundary(line: str, place: int) -> bool:
    """Whether no word continues at this place."""
    return place == 0 or not _within_word().match(line, place - 1)


@cache
def _within_word() -> re.Pattern[str]:
    return re.compile(f"{IN_WORD}{{2}}")


def check_protected(kinds: Sequence[str]) -> None:
    """Raise ConfigError for what is not in PROTECTED."""
    for kind in kinds:
        choose(PROTECTED, kind, "protect")


class FoundTerms(NamedTuple):
    """A source line, and what its translation has to hold."""

    line: str  # without the marks of what they protect
    terms: list[Term]  # in the order of the line
    of_glossary: int  # how many of them are translations of the glossary


def find_terms(line: str, glossary: Glossary | None = None, protect: Sequence[str] = ()) -> FoundTerms:
    """The terms of a line: what a glossary demands, and what comes through unchanged.

    >>> line, terms, _ = find_terms("⟦X-1⟧ and the dog", Glossary({"dog": "Köter"}), ["marks"])
    >>> line, [term.text for term in terms]
    ('X-1 and the dog', ['X-1', 'Köter'])

    protect: what comes through unchanged, of PROTECTED: "marks", text between ⟦ and ⟧; "urls", also addresses of
    e-mail; "numbers". The glossary is not applied to it. Raises ConfigError for anything else."""
    parts, spans, size, last, before = list[str](), list[tuple[int, int, Term]](), 0, 0, ""
    for match in _pattern(tuple(protect)).finditer(line) if protect else ():
        between, span = line[last : match.start()], match.groupdict().get("marked")
        span = match[0] if span is None else span
        start = size + len(between)
        before = (before + between)[-1:]
        if not is_blank(span):
            # to a sign, or to a span; the word before is another one in the translation, though it may end alike
            is_joined = not before.isalnum() or (bool(spans) and spans[-1][1] == start)
            follows = before.strip() if is_joined and not span[0].isspace() else ""
            spans.append((start, start + len(span), Term(span.strip(), follows)))
        parts += (between, span)
        before, size, last = (before + span)[-1:], start + len(span), match.end()
    text = "".join([*parts, line[last:]])
    ends = [end for _, end, _ in spans]
    demanded = []
    for start, end, target in glossary.find(text) if glossary else ():
        after = bisect_right(ends, start)  # the first span that does not end before it
        if after == len(spans) or spans[after][0] >= end:
            demanded.append((start, end, Term(target)))
    return FoundTerms(text, [term for _, _, term in sorted([*spans, *demanded])], len(demanded))


@cache
def _pattern(kinds: tuple[str, ...]) -> re.Pattern[str]:
    """Matches one of these kinds of PROTECTED."""
    check_protected(kinds)
    return re.compile("|".join(pattern for kind, pattern in PROTECTED.items() if kind in kinds))
