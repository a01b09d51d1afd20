"""What of a source line has to be in its translation: terms of a glossary, and spans that come through unchanged."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from .errors import DataError, choose, quoted
from .words import IDEOGRAPHS, LETTERS, TIBETAN, is_blank

# a letter or digit of a script that writes spaces between words: next to one, a match would be a part of a word
IN_WORD = rf"[^\W{IDEOGRAPHS}{LETTERS}{TIBETAN}]"
PROTECTED = {  # what can be protected -> its pattern; of two that begin at one place the first is taken
    "marks": "⟦(?P<marked>[^⟦⟧]*)⟧",
    "urls": (
        rf"(?<!{IN_WORD})(?:(?:https?|ftp)://|www\.)[^\s<>⟦⟧\"]*[^\s<>⟦⟧\".,;:!?'»”’)\]}}]"
        rf"|(?<!{IN_WORD})[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    ),
    "numbers": rf"(?<!{IN_WORD})\d+(?:[.,:/-]\d+)*(?!{IN_WORD})",
}


class Term(NamedTuple):
    """Text that a translation has to hold."""

    text: str
    follows: str = ""  # the character before it in the source: after the same one, no space comes before it


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
    text, last, spans = "", 0, []
    for match in _pattern(tuple(protect)).finditer(line) if protect else ():
        text += line[last : match.start()]
        span = match[0] if match.groupdict().get("marked") is None else match["marked"]
        if not is_blank(span):
            spans.append((len(text), len(text) + len(span), Term(span, text[-1:].strip())))
        text, last = text + span, match.end()
    text += line[last:]
    demanded = [
        (start, end, Term(target))
        for start, end, target in (glossary.find(text) if glossary else ())
        if not any(start < other_end and other_start < end for other_start, other_end, _ in spans)
    ]
    return FoundTerms(text, [term for _, _, term in sorted([*spans, *demanded])], len(demanded))


@cache
def _pattern(kinds: tuple[str, ...]) -> re.Pattern[str]:
    """Matches one of these kinds of PROTECTED."""
    check_protected(kinds)
    return re.compile("|".join(pattern for kind, pattern in PROTECTED.items() if kind in kinds))
