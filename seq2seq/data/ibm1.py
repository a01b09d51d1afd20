"""IBM model 1 (Brown et al. 1993, section 4.1): the likeliest target ids of each source id, from encoded pairs.

Letters: C cooccurrences of a target position and a source position, P distinct pairs of ids among them.
"""

import numpy as np
from numpy.typing import NDArray

from seq2seq.data.dataset import Ids, PairArrays
from seq2seq.ids import PAD, UNK

MAX_COOCCURRENCES = 2**25  # take less than 2 GiB of memory; of a larger corpus, every k-th sentence pair is used
ITERATIONS = 5  # of expectation maximization


def translation_table(pairs: PairArrays, source_size: int, most: int) -> NDArray[np.int32]:
    """The `most` likeliest target ids of each source id, likeliest first: (source_size, most), filled up with PAD.

    EOS at the end of each source serves as the empty word, from which target words without a counterpart are
    generated."""
    keys, lengths = cooccurrences(pairs)
    distinct, pair_index = np.unique(keys, return_inverse=True)
    del keys
    source, target = np.divmod(distinct, pairs.target_size)
    probabilities = translation_probabilities(pair_index, lengths, source)
    order = np.lexsort((target, -probabilities, source))
    source, target = source[order], target[order]
    rank = np.arange(len(source)) - np.searchsorted(source, source)
    table = np.full((source_size, most), PAD, np.int32)
    table[source[rank < most], rank[rank < most]] = target[rank < most]
    return table


def translation_probabilities(
    pair_index: NDArray[np.int64], lengths: NDArray[np.int64], source: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(P,) t(target | source) of each distinct pair of ids, by expectation maximization.

    `pair_index` (C,) is the number of the pair of each cooccurrence, those of one target position next to each other;
    `lengths` is how many each target position has; `source` (P,) is the source id of each pair."""
    first = np.cumsum(lengths) - lengths
    probabilities = np.ones(len(source))
    for _ in range(ITERATIONS):
        share = probabilities[pair_index]
        share /= np.add.reduceat(share, first).repeat(lengths)  # expected counts (eq. 17)
        count = np.bincount(pair_index, share, len(source))
        probabilities = count / np.bincount(source, count)[source]
    return probabilities


def cooccurrences(pairs: PairArrays) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each target position with each position of its source, as source id * target_size + target id: (C,).

    Also the number of cooccurrences of each target position."""
    step = 1 + int(pairs.source_lengths.astype(np.int64) @ pairs.target_lengths) // MAX_COOCCURRENCES
    keys, lengths = [], []
    for i in range(0, len(pairs), step):
        source, target = np.asarray(pairs.source(i), np.int64), _known_targets(pairs.target(i)[:-1], pairs.target_size)
        keys.append((source * pairs.target_size + target[:, None]).ravel())
        lengths.append(np.full(len(target), len(source)))
    return np.concatenate(keys), np.concatenate(lengths)


def _known_targets(target: Ids, size: int) -> Ids:
    """`target` without the words that the vocabulary lacks."""
    return np.asarray(target[(target < size) & (target != UNK)], np.int64)


def table_coverage(table: NDArray[np.int32], pairs: PairArrays, counts: list[int]) -> list[float]:
    """The share of target tokens that are among the first n translations of a token of their source.

    One for each n of `counts`. Tokens that can be copied from the source count as covered. Words that the vocabulary
    lacks are left out."""
    found, total = np.zeros(len(counts), np.int64), 0
    for i in range(len(pairs)):
        target = _known_targets(pairs.target(i)[:-1], pairs.target_size)
        rows, copied = table[pairs.source(i)], np.isin(target, pairs.copy(i))
        found += [int((copied | np.isin(target, rows[:, :n])).sum()) for n in counts]
        total += len(target)
    return [float(n / max(total, 1)) for n in found]
