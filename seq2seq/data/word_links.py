"""Which source subwords does each target subword come from, where somebody has linked the words?

Every subword of a target word is linked with every subword of the source words that the word is linked with.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from seq2seq.data.readers import LinkedPair, Pair, read_lines
from seq2seq.data.tokenizer import SPACE_MARK, Tokenizer
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.errors import DataError

Link = tuple[int, int]


class GoldAlignment(NamedTuple):
    """A human's alignment of a sentence: the sure links, and the possible ones, which include the sure."""

    sure: frozenset[Link]
    possible: frozenset[Link]


def word_indices(pieces: Sequence[str]) -> list[int]:
    """The number of the word that each piece belongs to. A piece with the mark starts a word, unless all before it were marks."""
    numbers, word, empty = [], 0, True
    for piece in pieces:
        if piece.startswith(SPACE_MARK) and not empty:
            word, empty = word + 1, True
        numbers.append(word)
        empty = empty and not piece.strip(SPACE_MARK)
    return numbers


def words_from_pieces(pieces: Sequence[str]) -> list[str]:
    """The words that the pieces make up, numbered as by `word_indices`."""
    made: dict[int, str] = {}
    for piece, word in zip(pieces, word_indices(pieces), strict=True):
        made[word] = made.get(word, "") + piece.replace(SPACE_MARK, "")
    return list(made.values())


def format_links(links: AbstractSet[Link]) -> str:
    """Links as Pharaoh text, by source word: "0-0 1-2"."""
    return " ".join(f"{s}-{t}" for s, t in sorted(links))


def parse_links(line: str, where: str = "alignment") -> GoldAlignment:
    """The links of a line of Pharaoh text: "0-1" is sure, "0p1" possible. Raises DataError, naming `where`."""
    kinds: dict[str, set[Link]] = {"-": set(), "p": set()}
    for link in line.split():
        if not (match := re.fullmatch(r"([0-9]+)([-p])([0-9]+)", link)):
            raise DataError(
                f"{where}: {link!r} is no link; a sure one reads 0-1, source word 0 to target word 1, a possible one 0p1"
            )
        kinds[match[2]].add((int(match[1]), int(match[3])))
    return GoldAlignment(frozenset(kinds["-"]), frozenset(kinds["-"] | kinds["p"]))


def check_links(links: Iterable[Link], sizes: Sequence[int], where: str, first: int = 0) -> None:
    """DataError, naming `where`, for a link of a word that is not there. `sizes`: source and target words; `first`: the first one's
    number in the file."""
    links = list(links)
    back = all(s < sizes[1] and t < sizes[0] for s, t in links)
    hint = "; the other way round they would all be there: a link names the source word first" if back else ""
    for link in links:
        for number, size, side in zip(link, sizes, ("source", "target"), strict=True):
            if number >= size:
                pair = "-".join(str(word + first) for word in link)
                raise DataError(
                    f"{where}: link {pair} is beyond the {size} {side} words, which are counted from {first}{hint}"
                )


def swap_links(line: str) -> str:
    """The links of a line, `0-1 2p3`, the other way round."""
    return re.sub(r"\b(\d+)([-p])(\d+)\b", r"\3\2\1", line)


def read_linked(pairs: Iterator[Pair], path: Path, turn: bool = False) -> Iterator[LinkedPair]:
    """Pairs with the lines of a file beside them, `0-0 1-2`, of which the possible links, `0p1`, count too; `turn`: `1-0`.

    DataError names the line that is no such thing or links a word that is not there, or tells how many lines there are."""
    for done, (pair, line) in enumerate(zip_longest(pairs, lines := read_lines(path))):
        if pair is None or line is None:
            counts = [done + sum(1 for _ in rest) + (one is not None) for rest, one in ((lines, line), (pairs, pair))]
            raise DataError(f"{path} has {counts[0]} lines for {counts[1]} pairs")
        where = f"{path}:{done + 1}"
        links = sorted(parse_links(swap_links(line) if turn else line, where).possible)
        yield LinkedPair(pair.source, pair.target, checked(links, pair, where))


def checked(links: Sequence[Link], pair: Pair, where: str) -> tuple[Link, ...]:
    """The links of a pair. DataError if one is of a word that is not there."""
    check_links(links, (count_words(pair.source), count_words(pair.target)), where)
    return tuple(links)


def count_words(text: str) -> int:
    """Words with spaces between, as the mark of SentencePiece tells them apart."""
    return sum(map(bool, text.split(" ")))


def token_links(pair: LinkedPair, vocabularies: Vocabularies) -> list[int]:
    """The links of a pair's tokens, as `Row` has them; those of words that were cut off are gone.

    DataError as `checked_word_indices`."""
    return subword_links(
        pair.links,
        checked_word_indices(pair.source, vocabularies.source),
        checked_word_indices(pair.target, vocabularies.target),
    )


def checked_word_indices(text: str, tokenizer: Tokenizer) -> list[int]:
    """The word that each subword belongs to. DataError where they are not those between spaces, by which links are counted."""
    numbers = word_indices(tokenizer.segment(text))
    if (made := max(numbers, default=-1) + 1) != count_words(text):
        raise DataError(
            f"{text!r} has {count_words(text)} words by its spaces, {made} as the tokenizer normalises it: its links cannot be told; "
            "set tokenizer.normalizer=identity, or change that text"
        )
    return numbers


def subword_links(links: Iterable[Link], source: Sequence[int], target: Sequence[int]) -> list[int]:
    """Links of words, and the word that each subword of the two sides belongs to -> t s t s ..., ordered."""
    places, wanted = defaultdict(list), defaultdict(list)
    for place, word in enumerate(source):
        places[word].append(place)
    for from_word, word in sorted(set(links)):
        wanted[word].extend(places[from_word])
    return [number for t, word in enumerate(target) for s in wanted[word] for number in (t, s)]
