"""Random segmentation of words into subwords: unigram sampling and BPE-dropout, reproducible by seed on every machine.

SentencePiece samples too, but release 0.2.3 mixes the seed with a number of the process: a resumed training would see
other text.
"""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import accumulate, pairwise
from random import Random

CACHED_WORDS = 2**16  # words whose lattice is kept
UNKNOWN_PENALTY = 10.0  # an unknown character scores this much less than the lowest piece, as in SentencePiece

Segmenter = Callable[[str, Random], list[str]]  # word, random numbers -> pieces


def unigram_segmenter(scores: Mapping[str, float], alpha: float) -> Segmenter:
    """Samples a segmentation with probability proportional to exp(alpha * sum of the scores of its pieces).

    Over all segmentations (Kudo 2018, section 3.2): forward filtering over the lattice of pieces, backward sampling.
    `scores` are the log-probabilities of the pieces."""
    longest, unknown = max(map(len, scores), default=1), min(scores.values(), default=0.0) - UNKNOWN_PENALTY

    @lru_cache(CACHED_WORDS)
    def lattice(word: str) -> list[tuple[list[int], list[float]]]:
        """For each end of a piece: where it may begin, and the cumulative weights of these beginnings."""
        sums, beginnings = [0.0], []
        for end in range(1, len(word) + 1):
            begins = [b for b in range(max(0, end - longest), end) if word[b:end] in scores or end - b == 1]
            logs = [sums[b] + alpha * scores.get(word[b:end], unknown) for b in begins]
            highest = max(logs)
            weights = list(accumulate(math.exp(log - highest) for log in logs))
            sums.append(highest + math.log(weights[-1]))
            beginnings.append((begins, weights))
        return beginnings

    def segment(word: str, rng: Random) -> list[str]:
        beginnings, end, pieces = lattice(word), len(word), []
        while end:
            begins, weights = beginnings[end - 1]
            begin = rng.choices(begins, cum_weights=weights)[0]
            pieces.append(word[begin:end])
            end = begin
        return pieces[::-1]

    return segment


def bpe_dropout_segmenter(scores: Mapping[str, float], alpha: float) -> Segmenter:
    """BPE-dropout: applies merges in the order they were learned (Provilkov et al. 2020, algorithm 1).

    At every step each possible merge is dropped with probability alpha. `scores` are 0, -1, -2, ... in the order of the
    merges."""

    def segment(word: str, rng: Random) -> list[str]:
        pieces = list(word)
        while True:
            merges = [
                (-scores[a + b], at)
                for at, (a, b) in enumerate(pairwise(pieces))
                if a + b in scores and rng.random() >= alpha
            ]
            if not merges:
                return pieces
            at = min(merges)[1]
            pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]

    return segment


def merge_unknown(pieces: list[str], known: Mapping[str, float]) -> list[str]:
    """Join unknown pieces that follow each other to one, as SentencePiece does."""
    joined: list[str] = []
    for piece in pieces:
        if joined and piece not in known and joined[-1] not in known:
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined
