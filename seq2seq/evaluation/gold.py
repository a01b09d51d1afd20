"""Which links did a human draw? The three notations that gold alignments come in, all read as (source word, target word) from 0.

pharaoh  a line a pair, "0-0 1-2 3p4", words counted from 0; p: possible
talp     the same counted from 1
naacl    a line a link, "pair source target S", all counted from 1, P: possible, S may be left out; word 0 is none
         (Mihalcea & Pedersen 2003); a confidence behind it is not read
"""

import re
from collections.abc import Callable, Sequence
from functools import partial

from seq2seq.errors import DataError
from seq2seq.evaluation.alignment import Gold, Link, check_inside, parse_links

NAACL = re.compile(r"0*([1-9][0-9]*)\s+([0-9]+)\s+([0-9]+)(?:\s+([SP]))?(?:\s+[0-9.]+)?")


Sizes = Sequence[tuple[int, int]]  # source and target words of each pair


def read_gold(lines: Sequence[str], sizes: Sizes, name: str) -> list[Gold]:
    """The links of pairs of `sizes` words. `name` is the file's: one that ends in .talp counts words from 1, and one whose lines
    are of four columns is NAACL's. DataError names the line that is none, or that links a word which is not there, or says how
    many pairs there are."""
    kind = "naacl" if any(NAACL.fullmatch(line.strip()) for line in lines[:1]) else "talp" if name.endswith(".talp") else "pharaoh"
    return READERS[kind](lines, sizes, name)


def pharaoh(lines: Sequence[str], sizes: Sizes, name: str, first: int = 0) -> list[Gold]:
    """A line a pair, words counted from `first`."""
    if len(lines) != len(sizes):
        raise DataError(f"{name} has {len(lines)} lines for {len(sizes)} pairs")
    found = []
    for number, (line, size) in enumerate(zip(lines, sizes, strict=True), 1):
        where = f"{name}, line {number}"
        gold = Gold(*(frozenset(lowered(links, where, first)) for links in parse_links(line, where)))
        check_inside(sorted(gold.possible), size, where, first)
        found.append(gold)
    return found


def lowered(links: frozenset[Link], where: str, first: int) -> set[Link]:
    """Counted from 0."""
    if first and any(0 in link for link in links):
        raise DataError(f"{where}: a link has word 0, and this notation counts from 1; end the file's name in .align if it counts from 0")
    return {(s - first, t - first) for s, t in links}


def naacl(lines: Sequence[str], sizes: Sizes, name: str) -> list[Gold]:
    """A line a link."""
    pairs = len(sizes)
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
            check_inside([(source - 1, target - 1)], sizes[pair - 1], f"{name}, line {number}", first=1)
            possible[pair - 1].add((source - 1, target - 1))
            if match[4] != "P":
                sure[pair - 1].add((source - 1, target - 1))
    return [Gold(frozenset(s), frozenset(p)) for s, p in zip(sure, possible, strict=True)]


READERS: dict[str, Callable[[Sequence[str], Sizes, str], list[Gold]]] = {
    "pharaoh": pharaoh,
    "talp": partial(pharaoh, first=1),
    "naacl": naacl,
}
