"""Word links: the words of SentencePiece pieces, Pharaoh text, and links of words spread over their subwords.

A link is a pair (source word, target word), counted from 0. When links of words become links of tokens, every subword
of a target word is linked with every subword of the source words that the word is linked with.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from seq2seq.data.files import read_lines
from seq2seq.data.readers import LinkedPair, Pair
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.errors import DataError, counted
from seq2seq.runtime.vocabulary import SPACE_MARK, join_pieces
from seq2seq.runtime.words import is_unspaced

Link = tuple[int, int]


class GoldAlignment(NamedTuple):
    """A human alignment of one sentence pair (Och & Ney 2003).

    Sure links, and possible links, which include the sure ones."""

    sure: frozenset[Link]
    possible: frozenset[Link]


def word_indices(pieces: Sequence[str]) -> list[int]:
    """The index of the word that each piece belongs to.

    A piece with the mark starts a word, unless only marks precede it."""
    indices, word, empty = [], 0, True
    for piece in pieces:
        if piece.startswith(SPACE_MARK) and not empty:
            word, empty = word + 1, True
        indices.append(word)
        empty = empty and not piece.strip(SPACE_MARK)
    return indices


def word_or_piece_indices(pieces: Sequence[str]) -> list[int]:
    """Like `word_indices`, but in text without spaces every piece is a word of its own."""
    if not is_unspaced(join_pieces(pieces)):
        return word_indices(pieces)
    first = next((i for i, piece in enumerate(pieces) if piece.strip(SPACE_MARK)), 0)
    return [max(i - first, 0) for i in range(len(pieces))]  # marks before the first word belong to it


def words_from_pieces(pieces: Sequence[str], indices: Sequence[int] | None = None) -> list[str]:
    """The words that the pieces make up, without marks, indexed as by `word_indices`, or by `indices`."""
    words: dict[int, str] = {}
    for piece, word in zip(pieces, word_indices(pieces) if indices is None else indices, strict=True):
        words[word] = words.get(word, "") + piece.replace(SPACE_MARK, "")
    return list(words.values())


def count_spaced_words(text: str) -> int:
    """The number of words separated by spaces, which is how SentencePiece's mark separates them."""
    return sum(map(bool, text.split(" ")))


def format_links(links: Iterable[Link]) -> str:
    """Links as Pharaoh text, sorted by source word: "0-0 1-2"."""
    return " ".join(f"{s}-{t}" for s, t in sorted(links))


def parse_links(line: str, where: str = "alignment") -> GoldAlignment:
    """The links in a line of Pharaoh text: "0-1" is sure, "0p1" possible.

    Raises DataError, naming `where`, for anything else."""
    found: dict[str, set[Link]] = {"-": set(), "p": set()}
    for link in line.split():
        if not (match := re.fullmatch(r"([0-9]+)([-p])([0-9]+)", link)):
            example = "a sure one reads 0-1, source word 0 to target word 1, a possible one 0p1"
            raise DataError(f"{where}: {link!r} is no link; {example}")
        found[match[2]].add((int(match[1]), int(match[3])))
    return GoldAlignment(frozenset(found["-"]), frozenset(found["-"] | found["p"]))


def swap_links(line: str) -> str:
    """A line of Pharaoh text with source and target words swapped: `0-1 2p3` -> `1-0 3p2`."""
    return re.sub(r"\b(\d+)([-p])(\d+)\b", r"\3\2\1", line)


def check_links(links: Iterable[Link], sizes: Sequence[int], where: str, first: int = 0) -> None:
    """Raises DataError, naming `where`, if a link names a word that does not exist.

    `sizes`: number of source and target words; `first`: the number of the first word in the file."""
    links = list(links)
    fit_swapped = all(s < sizes[1] and t < sizes[0] for s, t in links)
    hint = (
        "; with source and target swapped all links would fit: a link names the source word first"
        if fit_swapped
        else ""
    )
    for link in links:
        for number, size, side in zip(link, sizes, ("source", "target"), strict=True):
            if number >= size:
                pair = "-".join(str(word + first) for word in link)
                raise DataError(
                    f"{where}: link {pair} is beyond the {size} {side} words, which are counted from {first}{hint}"
                )


def read_linked(pairs: Iterator[Pair], path: Path, swapped: bool = False) -> Iterator[LinkedPair]:
    """Add the links in the lines of a file, `0-0 1-2`, to the pairs; possible links, `0p1`, count too.

    `swapped`: target word first. Raises DataError for a line that cannot be parsed or does not fit its pair, and if the
    file has more or fewer lines than there are pairs."""
    lines = read_lines(path)
    for done, (pair, line) in enumerate(zip_longest(pairs, lines)):
        if pair is None or line is None:
            line_count = done + (line is not None) + sum(1 for _ in lines)
            pair_count = done + (pair is not None) + sum(1 for _ in pairs)
            raise DataError(f"{path} has {counted(line_count, 'line')} for {counted(pair_count, 'pair')}")
        where = f"{path}:{done + 1}"
        links = sorted(parse_links(swap_links(line) if swapped else line, where).possible)
        check_links(links, (count_spaced_words(pair.source), count_spaced_words(pair.target)), where)
        yield LinkedPair(pair.source, pair.target, tuple(links))


def token_links(pair: LinkedPair, vocabularies: Vocabularies) -> list[int]:
    """The links of a pair's tokens, as in `EncodedPair.links`. Links of words that were truncated away are dropped.

    Raises DataError like `checked_word_indices`."""
    source = checked_word_indices(pair.source, vocabularies.source)
    target = checked_word_indices(pair.target, vocabularies.target)
    return subword_links(pair.links, source, target)


def checked_word_indices(text: str, tokenizer: Tokenizer) -> list[int]:
    """The index of the word that each subword of `text` belongs to.

    Raises DataError if normalization splits or joins words, so that links, which count words between spaces, would name
    others."""
    pieces = tokenizer.segment(text)
    count = sum(map(bool, words_from_pieces(pieces)))  # pieces of spaces alone are no word
    if count != count_spaced_words(text):
        raise DataError(
            f"{text!r} has {count_spaced_words(text)} words by its spaces, but {count} as the tokenizer normalizes it, "
            "so that word links cannot be mapped to subwords; set tokenizer.normalizer=identity, or change that text"
        )
    return word_indices(pieces)


def subword_links(links: Iterable[Link], source: Sequence[int], target: Sequence[int]) -> list[int]:
    """The links of tokens, t s t s ..., sorted by t.

    From those of words, and the word index of each source and target token."""
    source_tokens = defaultdict(list)  # word -> its tokens
    for token, word in enumerate(source):
        source_tokens[word].append(token)
    linked_tokens = defaultdict(list)  # target word -> source tokens
    for source_word, target_word in sorted(set(links)):
        linked_tokens[target_word].extend(source_tokens[source_word])
    return [number for t, word in enumerate(target) for s in linked_tokens[word] for number in (t, s)]
