"""Is a word cut at random as the papers say, and the same way in every process?"""

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
DRAWS = 20_000


def ways(word):
    """All ways to cut it into known pieces, and letters."""
    for size in range(len(word)):
        for places in itertools.combinations(range(1, len(word)), size):
            pieces = tuple(word[a:b] for a, b in itertools.pairwise((0, *places, len(word))))
            if all(piece in SCORES or len(piece) == 1 for piece in pieces):
                yield pieces


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("word", ["abab", "abac", "abzzba", "a"])
def test_a_segmentation_is_as_likely_as_its_pieces_say(word, alpha):
    """Kudo 2018, section 3.2: P(x) to the power of alpha, over all segmentations."""
    weights = {pieces: math.exp(alpha * sum(SCORES.get(piece, -14.0) for piece in pieces)) for pieces in ways(word)}
    cut, chance = unigram_segmenter(SCORES, alpha), Random(1)
    seen = Counter(tuple(cut(word, chance)) for _ in range(DRAWS))
    assert set(seen) <= set(weights)
    for pieces, weight in weights.items():
        share = weight / sum(weights.values())
        assert abs(seen[pieces] / DRAWS - share) < 5 * math.sqrt(share * (1 - share) / DRAWS) + 1e-9, pieces


def test_merges_are_left_out_as_often_as_asked():
    """Provilkov et al. 2020, algorithm 1, on paper: aab with the merges ab, then aab; each is left out with probability
    p."""
    merges, p = {"ab": 0.0, "aab": -1.0, "a": -2.0, "b": -3.0}, 0.4
    cut, chance = bpe_dropout_segmenter(merges, p), Random(1)
    seen = Counter("-".join(cut("aab", chance)) for _ in range(DRAWS))
    for pieces, share in {"a-a-b": p, "a-ab": (1 - p) * p, "aab": (1 - p) * (1 - p)}.items():
        assert abs(seen[pieces] / DRAWS - share) < 5 * math.sqrt(share * (1 - share) / DRAWS)


def test_the_first_of_equal_merges_is_the_leftmost_and_the_best_comes_first():
    assert bpe_dropout_segmenter({"ab": 0.0, "ba": -1.0}, 0.0)("abab", Random(1)) == ["ab", "ab"]
    assert bpe_dropout_segmenter({"ba": 0.0, "ab": -1.0}, 0.0)("abab", Random(1)) == ["a", "ba", "b"]
    assert bpe_dropout_segmenter({"ba": 0.0, "ab": -1.0}, 1.0)("abab", Random(1)) == [*"abab"]


def test_unknown_letters_are_one_piece():
    assert merge_unknown(["▁", "ж", "у", "a", "к"], {"▁": 0.0, "a": 0.0}) == ["▁", "жу", "a", "к"]


TEXT = ["the cat sees the small tree", "a dog finds the old house", "trees and houses"] * 20


def test_without_dropout_bpe_is_sentencepieces():
    tokenizer = train_tokenizer(TEXT, kind="bpe", size=60)
    for line in (*TEXT[:3], "the жук sees  two cats", "", " x"):
        assert tokenizer.segment_sampled(line, 0.0, 1) == tokenizer.segment(line)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_another_process_draws_the_same(kind):
    code = f"""
from seq2seq.data.tokenizer import train_tokenizer
tokenizer = train_tokenizer({TEXT!r}, kind={kind!r}, size=28)
print([tokenizer.segment_sampled("the small dog sees old trees", 0.3, seed) for seed in range(9)])
"""
    said = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(said) == 1
    assert len({str(pieces) for pieces in eval(said.pop())}) > 2


def test_unigram_draws_as_sentencepiece_does():
    """Shares of each segmentation of one word, in as many draws of both."""
    tokenizer = train_tokenizer(TEXT, kind="unigram", size=28)
    ours = Counter(tuple(tokenizer.segment_sampled("trees", 0.2, seed)) for seed in range(4000))
    theirs = Counter(
        tuple(tokenizer._model.encode("trees", out_type=str, enable_sampling=True, alpha=0.2, nbest_size=-1))
        for _ in range(4000)
    )
    assert sum(abs(ours[pieces] - theirs[pieces]) for pieces in ours.keys() | theirs.keys()) / 8000 < 0.05
