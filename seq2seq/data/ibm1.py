"""Which target ids translate a source id? IBM model 1, learnt from the encoded pairs (Brown et al. 1993, section 4.1)."""

import numpy as np
from numpy.typing import NDArray

from seq2seq.data.dataset import Ids, PairArrays
from seq2seq.ids import PAD, UNK

MAX_COOCCURRENCES = (
    2**25
)  # pairs of positions that are learnt from, in less than 2 GiB; of a larger corpus, those of every k-th pair of sentences
ITERATIONS = 5  # of expectation maximisation


def translation_table(pairs: PairArrays, source_size: int, most: int) -> NDArray[np.int32]:
    """The `most` likeliest target ids of each source id, likeliest first: (source_size, most), PAD where there are fewer.

    The EOS at the end of each source is the empty word, which yields what no other explains."""
    keys, lengths = cooccurrences(pairs)
    both, cell = np.unique(keys, return_inverse=True)
    del keys
    source, target = np.divmod(both, pairs.target_size)
    chance = translation_probabilities(cell, lengths, source)
    order = np.lexsort((target, -chance, source))
    source, target = source[order], target[order]
    rank = np.arange(len(source)) - np.searchsorted(source, source)
    table = np.full((source_size, most), PAD, np.int32)
    table[source[rank < most], rank[rank < most]] = target[rank < most]
    return table


def translation_probabilities(
    cell: NDArray[np.int64], lengths: NDArray[np.int64], source: NDArray[np.int64]
) -> NDArray[np.float64]:
    """t(target | source) of each pair of ids (P,), P in all, the `source` of which is given.

    `cell` (C,) holds the pairs of ids that stand together, those of one target position one after the other, `lengths` of them."""
    first = np.cumsum(lengths) - lengths
    chance = np.ones(len(source))
    for _ in range(ITERATIONS):
        share = chance[cell]
        share /= np.add.reduceat(share, first).repeat(lengths)  # whom a target position is of (eq. 17)
        count = np.bincount(cell, share, len(source))
        chance = count / np.bincount(source, count)[source]
    return chance


def cooccurrences(pairs: PairArrays) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each target token, with each position of its source: source id * target_size + target id; and how many it is with."""
    step = 1 + int(pairs.source_lengths.astype(np.int64) @ pairs.target_lengths) // MAX_COOCCURRENCES
    keys, lengths = [], []
    for i in range(0, len(pairs), step):
        source, target = np.asarray(pairs.source(i), np.int64), _known_targets(pairs.target(i)[:-1], pairs.target_size)
        keys.append((source * pairs.target_size + target[:, None]).ravel())
        lengths.append(np.full(len(target), len(source)))
    return np.concatenate(keys), np.concatenate(lengths)


def _known_targets(target: Ids, size: int) -> Ids:
    """Without words that the vocabulary lacks."""
    return np.asarray(target[(target < size) & (target != UNK)], np.int64)


def table_coverage(table: NDArray[np.int32], pairs: PairArrays, counts: list[int]) -> list[float]:
    """The share of target tokens that are among the first n translations of a token of their source, for each n of `counts`.

    Names and numbers that stand in the source as well count as found."""
    found, total = np.zeros(len(counts), np.int64), 0
    for i in range(len(pairs)):
        target = _known_targets(pairs.target(i)[:-1], pairs.target_size)
        rows, copied = table[pairs.source(i)], np.isin(target, pairs.copy(i))
        found += [int((copied | np.isin(target, rows[:, :n])).sum()) for n in counts]
        total += len(target)
    return [float(n / max(total, 1)) for n in found]
