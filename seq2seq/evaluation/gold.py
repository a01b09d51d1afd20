"""Which links did a human draw? The three notations that gold alignments come in, all read as (source word, target word) from 0.

pharaoh  a line a pair, "0-0 1-2 3p4", words counted from 0; p: possible
talp     the same counted from 1
naacl    a line a link, "pair source target S", all counted from 1, P: possible, S may be left out; word 0 is none
         (Mihalcea & Pedersen 2003); a confidence behind it is not read
"""

import re
from collections.abc import Callable, Sequence

from seq2seq.errors import DataError
from seq2seq.evaluation.alignment import Gold, Link, parse_links

NAACL = re.compile(r"0*([1-9][0-9]*)\s+([0-9]+)\s+([0-9]+)(?:\s+([SP]))?(?:\s+[0-9.]+)?")


def read_gold(lines: Sequence[str], pairs: int, name: str) -> list[Gold]:
    """The links of `pairs` sentences. `name` is the file's: one that ends in .talp counts words from 1, and one whose lines
    are of four columns is NAACL's. DataError names the line that is none, or says how many pairs there are."""
    kind = "naacl" if any(NAACL.fullmatch(line.strip()) for line in lines[:1]) else "talp" if name.endswith(".talp") else "pharaoh"
    return READERS[kind](lines, pairs, name)


def pharaoh(lines: Sequence[str], pairs: int, name: str) -> list[Gold]:
    """Counted from 0."""
    if len(lines) != pairs:
        raise DataError(f"{name} has {len(lines)} lines for {pairs} pairs")
    return [parse_links(line, f"{name}, line {number}") for number, line in enumerate(lines, 1)]


def talp(lines: Sequence[str], pairs: int, name: str) -> list[Gold]:
    """Counted from 1."""
    return [
        Gold(*(frozenset(lowered(links, f"{name}, line {number}")) for links in gold))
        for number, gold in enumerate(pharaoh(lines, pairs, name), 1)
    ]


def lowered(links: frozenset[Link], where: str) -> set[Link]:
    """Counted from 0."""
    if any(0 in link for link in links):
        raise DataError(f"{where}: a link has word 0, and this notation counts from 1; end the file's name in .align if it counts from 0")
    return {(s - 1, t - 1) for s, t in links}


def naacl(lines: Sequence[str], pairs: int, name: str) -> list[Gold]:
    """A line a link."""
    sure: list[set[Link]] = [set() for _ in range(pairs)]
    possible: list[set[Link]] = [set() for _ in range(pairs)]
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if not (match := NAACL.fullmatch(line.strip())):
            raise DataError(f"{name}, line {number}: {line[:60]!r} is no link; one reads `pair source target S`, or P, counted from 1")
        pair, source, target = (int(part) for part in match.groups()[:3])
        if pair > pairs:
            raise DataError(f"{name}, line {number}: pair {pair} of {pairs}")
        if source and target:
            possible[pair - 1].add((source - 1, target - 1))
            if match[4] != "P":
                sure[pair - 1].add((source - 1, target - 1))
    return [Gold(frozenset(s), frozenset(p)) for s, p in zip(sure, possible, strict=True)]


READERS: dict[str, Callable[[Sequence[str], int, str], list[Gold]]] = {"pharaoh": pharaoh, "talp": talp, "naacl": naacl}
