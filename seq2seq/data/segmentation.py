"""How is a word cut into known pieces at random, the same way for the same seed on every machine?

SentencePiece draws too, but its release 0.2.3 mixes the seed with a number of the process: a resumed training would go on
with other text.
"""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import accumulate, pairwise
from random import Random

CACHED_WORDS = 2**16  # whose ways of being cut are remembered
UNKNOWN_PENALTY = 10.0  # an unknown letter's score is so much below the least of all

Segmenter = Callable[[str, Random], list[str]]


def unigram_segmenter(scores: Mapping[str, float], alpha: float) -> Segmenter:
    """Segmentations with probabilities in proportion to exp(alpha * sum of their pieces' scores)  (Kudo 2018, section 3.2, over
    all of them): sums forward over the lattice of pieces, draws backward."""
    longest, unknown = max(map(len, scores), default=1), min(scores.values(), default=0.0) - UNKNOWN_PENALTY

    @lru_cache(CACHED_WORDS)
    def lattice(word: str) -> list[tuple[list[int], list[float]]]:
        """For each end of a piece where it may begin, and the cumulative weights of these."""
        sums, ways = [0.0], []
        for end in range(1, len(word) + 1):
            begins = [b for b in range(max(0, end - longest), end) if word[b:end] in scores or end - b == 1]
            logs = [sums[b] + alpha * scores.get(word[b:end], unknown) for b in begins]
            highest = max(logs)
            weights = list(accumulate(math.exp(log - highest) for log in logs))
            sums.append(highest + math.log(weights[-1]))
            ways.append((begins, weights))
        return ways

    def cut(word: str, chance: Random) -> list[str]:
        ways, end, pieces = lattice(word), len(word), []
        while end:
            begins, weights = ways[end - 1]
            begin = chance.choices(begins, cum_weights=weights)[0]
            pieces.append(word[begin:end])
            end = begin
        return pieces[::-1]

    return cut


def bpe_dropout_segmenter(scores: Mapping[str, float], alpha: float) -> Segmenter:
    """Merges in the order they were learnt, of which each is left out with probability alpha whenever it could be next
    (Provilkov et al. 2020, algorithm 1)."""

    def cut(word: str, chance: Random) -> list[str]:
        pieces = list(word)
        while True:
            possible = [
                (-scores[a + b], at)
                for at, (a, b) in enumerate(pairwise(pieces))
                if a + b in scores and chance.random() >= alpha
            ]
            if not possible:
                return pieces
            at = min(possible)[1]
            pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]

    return cut


def merge_unknown(pieces: list[str], known: Mapping[str, float]) -> list[str]:
    """Unknown letters that follow each other are one unknown piece, as SentencePiece has it."""
    joined: list[str] = []
    for piece in pieces:
        if joined and piece not in known and joined[-1] not in known:
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined
