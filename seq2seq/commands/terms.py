"""`--prefix`, `--glossary` and `--protect`: what the translation of a line begins with, and what it has to hold."""

import argparse
import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from seq2seq.data.files import read_lines
from seq2seq.errors import DataError, choose, counted
from seq2seq.runtime.arguments import Parser
from seq2seq.runtime.glossary import PROTECTED, Glossary, find_terms

log = logging.getLogger("seq2seq")


def add_term_options(parser: Parser) -> None:
    """--glossary and --protect."""
    parser.add_argument(
        "--glossary",
        type=Path,
        metavar="FILE",
        help="terms that must be translated so: lines of a source term, a tab and a target term; a term is whole words,"
        " and the longest of a place. Lines that begin with # are comments",
    )
    kinds = ",".join(PROTECTED)
    parser.add_argument(
        "--protect",
        type=_kinds,
        default=[],
        metavar="KINDS",
        help=f"what comes through unchanged, of {kinds}, separated by commas: text in ⟦ and ⟧, which are left out;"
        " addresses of the web and of e-mail; numbers",
    )


def _kinds(text: str) -> list[str]:
    """The type of --protect. ConfigError for an unknown kind."""
    return [name for name in map(str.strip, text.split(",")) if choose(PROTECTED, name, "--protect")]


class TermFinder:
    """Finds the terms of lines by the options of `add_term_options`, and counts those of the glossary.

    Raises DataError for a glossary that cannot be read."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.path, self.protect = options.glossary, options.protect
        self.glossary = Glossary.parse(read_lines(self.path), self.path) if self.path else None
        self.applied = self.lines = self.total = 0

    def find(self, lines: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
        """The lines without marks, and the argument `terms` of `hypotheses` if there are any options."""
        if self.glossary is None and not self.protect:
            return list(lines), {}
        found = [find_terms(line, self.glossary, self.protect) for line in lines]
        self.applied += sum(one.of_glossary for one in found)
        self.lines += sum(one.of_glossary > 0 for one in found)
        self.total += len(found)
        terms = [[term._replace(optional=True) for term in one.terms] for one in found]  # one line must not end a file
        return [one.line for one in found], {"terms": terms}

    def made_of(self) -> dict[str, Any]:
        """What the translations depend on, by name."""
        given = {"glossary": self.glossary.entries if self.glossary else None, "protect": self.protect}
        return {name: value for name, value in given.items() if value}

    def log_applied(self) -> None:
        """Log how many terms of the glossary were applied."""
        if self.path:
            terms, lines = counted(self.applied, "term"), counted(self.total, "line")
            log.info("%s: %s in %s of %s", self.path, terms, f"{self.lines:,}", lines)


def with_prefixes(windows: Iterator[list[str]], path: Path | None, source: object) -> Iterator[list[tuple[str, str]]]:
    """Each line of the windows with its line of the file of prefixes, '' if there is none.

    Raises DataError, which calls the lines `source`, if there are more of one than of the other."""
    starts, number = read_lines(path) if path else iter(()), 0
    for window in windows:
        given = list(islice(starts, len(window))) if path else [""] * len(window)
        number += len(given)
        if len(given) < len(window):
            raise DataError(
                f"{path} has {counted(number, 'line')}, and {source} has more: each line needs one, which may be empty"
            )
        yield list(zip(window, given, strict=True))
    if next(starts, None) is not None:
        raise DataError(
            f"{path} has more than the {counted(number, 'line')} of {source}: each line needs one, which may be empty"
        )
