"""Random segmentation follows the papers' distributions and is the same in every process."""

import itertools
import math
import subprocess
import sys
from collections import Counter
from random import Random

import pytest

from seq2seq.data.segmentation import bpe_dropout_segmenter, merge_unknown, unigram_segmenter
from seq2seq.data.tokenizer import train_tokenizer

SCORES = {"a": -1.0, "b": -2.5, "ab": -2.0, "ba": -2.2, "aba": -4.0, "c": -0.5}
DRAWS = 8_000


def segmentations(word):
    """All segmentations of a word into known pieces and single characters."""
    for size in range(len(word)):
        for places in itertools.combinations(range(1, len(word)), size):
            pieces = tuple(word[a:b] for a, b in itertools.pairwise((0, *places, len(word))))
            if all(piece in SCORES or len(piece) == 1 for piece in pieces):
                yield pieces


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("word", ["abab", "abac", "abzzba", "a"])
def test_unigram_sampling_frequencies(word, alpha):
    """Kudo 2018, section 3.2: P(x) to the power of alpha, over all segmentations."""
    weights = {
        pieces: math.exp(alpha * sum(SCORES.get(piece, -14.0) for piece in pieces)) for pieces in segmentations(word)
    }
    segment, rng = unigram_segmenter(SCORES, alpha), Random(1)
    counts = Counter(tuple(segment(word, rng)) for _ in range(DRAWS))
    assert set(counts) <= set(weights)
    for pieces, weight in weights.items():
        share = weight / sum(weights.values())
        assert abs(counts[pieces] / DRAWS - share) < 5 * math.sqrt(share * (1 - share) / DRAWS) + 1e-9, pieces


def test_bpe_dropout_frequencies():
    """Provilkov et al. 2020, algorithm 1, for aab with the merges ab, then aab; each is dropped with probability p."""
    merges, p = {"ab": 0.0, "aab": -1.0, "a": -2.0, "b": -3.0}, 0.4
    segment, rng = bpe_dropout_segmenter(merges, p), Random(1)
    counts = Counter("-".join(segment("aab", rng)) for _ in range(DRAWS))
    for pieces, share in {"a-a-b": p, "a-ab": (1 - p) * p, "aab": (1 - p) * (1 - p)}.items():
        assert abs(counts[pieces] / DRAWS - share) < 5 * math.sqrt(share * (1 - share) / DRAWS)


def test_bpe_applies_the_best_merge_first_and_the_leftmost_of_equals():
    assert bpe_dropout_segmenter({"ab": 0.0, "ba": -1.0}, 0.0)("abab", Random(1)) == ["ab", "ab"]
    assert bpe_dropout_segmenter({"ba": 0.0, "ab": -1.0}, 0.0)("abab", Random(1)) == ["a", "ba", "b"]
    assert bpe_dropout_segmenter({"ba": 0.0, "ab": -1.0}, 1.0)("abab", Random(1)) == [*"abab"]


def test_adjacent_unknown_characters_are_one_piece():
    assert merge_unknown(["▁", "ж", "у", "a", "к"], {"▁": 0.0, "a": 0.0}) == ["▁", "жу", "a", "к"]


TEXT = ["the cat sees the small tree", "a dog finds the old house", "trees and houses"] * 20


def test_bpe_without_dropout_equals_sentencepiece():
    tokenizer = train_tokenizer(TEXT, kind="bpe", size=60)
    for line in (*TEXT[:3], "the жук sees  two cats", "", " x"):
        assert tokenizer.segment_sampled(line, 0.0, 1) == tokenizer.segment(line)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_sampling_is_the_same_in_every_process(kind):
    code = f"""
from seq2seq.data.tokenizer import train_tokenizer
tokenizer = train_tokenizer({TEXT!r}, kind={kind!r}, size=28)
print([tokenizer.segment_sampled("the small dog sees old trees", 0.3, seed) for seed in range(9)])
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    tokenizer = train_tokenizer(TEXT, kind=kind, size=28)
    drawn = [tokenizer.segment_sampled("the small dog sees old trees", 0.3, seed) for seed in range(9)]
    assert output == f"{drawn}\n"
    assert len({str(pieces) for pieces in drawn}) > 2


def test_unigram_sampling_matches_sentencepiece():
    """The frequencies of each segmentation of one word, in the same number of draws."""
    tokenizer = train_tokenizer(TEXT, kind="unigram", size=28)
    ours = Counter(tuple(tokenizer.segment_sampled("trees", 0.2, seed)) for seed in range(4000))
    theirs = Counter(
        tuple(tokenizer._model.encode("trees", out_type=str, enable_sampling=True, alpha=0.2, nbest_size=-1))
        for _ in range(4000)
    )
    assert sum(abs(ours[pieces] - theirs[pieces]) for pieces in ours.keys() | theirs.keys()) / 8000 < 0.05
