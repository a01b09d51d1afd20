"""Which pairs are seen together, and in which order?"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seq2seq.data.dataset import Corpus

PART = 1 << 20  # pairs that are sorted together
NOTHING = "0" * 12  # the checksum before the first batch


class Plan(Sequence[NDArray[np.int64]]):
    """The batches of an epoch, each the numbers of its pairs."""

    def __init__(self, order: NDArray[np.integer[Any]], bounds: NDArray[np.int64]) -> None:
        """Batch n is order[bounds[n, 0] : bounds[n, 1]]."""
        self.order, self.bounds = order, bounds

    def __len__(self) -> int:
        return len(self.bounds)

    def __getitem__(self, n: Any) -> Any:
        start, stop = self.bounds[n]
        return self.order[start:stop].astype(np.int64)


def longest_sides(corpus: Corpus, multiple: int = 1) -> NDArray[np.integer[Any]]:
    """The tokens of the longer side of each pair, EOS included, filled up to a multiple, in few bytes."""
    longest = -(-np.maximum(corpus.source_lengths, corpus.target_lengths) // multiple) * multiple
    return longest.astype(np.min_scalar_type(int(longest.max(initial=0))))


def plan(longest: NDArray[Any], batch_tokens: int, seed: int, epoch: int) -> Plan:
    """Cut the corpus into batches of pairs of like length, in random order: a function of the `longest_sides`, (seed, epoch)
    and `batch_tokens` alone. Every pair comes once; rows times the longest side of a batch is at most
    `batch_tokens`, unless it is a single pair. Every epoch has as many batches: which pairs of a length meet is chance, the
    lengths of the batches are not."""
    generator = np.random.default_rng([seed, epoch])
    order = by_length(generator.permutation(np.arange(len(longest), dtype=np.min_scalar_type(-len(longest)))), longest)
    return Plan(order, generator.permutation(_cut(longest[order], batch_tokens)))


def by_length(numbers: NDArray[Any], lengths: NDArray[Any]) -> NDArray[Any]:
    """The same numbers sorted by lengths[number], those of one length as they come: a stable sort, in a fraction of its memory."""
    parts = [numbers[start : start + PART] for start in range(0, len(numbers), PART)]
    counts = [np.bincount(lengths[part], minlength=int(lengths.max(initial=0)) + 1) for part in parts]
    free = np.cumsum(sum(counts)) - sum(counts)  # where the next number of each length goes
    out = np.empty_like(numbers)
    for part, count in zip(parts, counts, strict=True):
        places = np.arange(len(part)) + np.repeat(free - np.cumsum(count) + count, count)
        out[places] = part[np.argsort(lengths[part], kind="stable")]
        free += count
    return out


def chained(checksum: str, numbers: NDArray[np.integer[Any]]) -> str:
    """12 hexadecimal digits over all batches up to this one, of the pairs `numbers`, in their order."""
    return hashlib.sha256(checksum.encode() + numbers.astype("<i8").tobytes()).hexdigest()[: len(NOTHING)]


def in_order(longest: NDArray[Any], batch_tokens: int) -> Plan:
    """Cut the corpus into batches by length, the shortest first, without chance: for validation."""
    order = np.argsort(longest, kind="stable")
    return Plan(order, _cut(longest[order], batch_tokens))


def _cut(longest: NDArray[Any], batch_tokens: int) -> NDArray[np.int64]:
    """Bounds (batches, 2) of the largest runs that keep to `batch_tokens`, taken from the left."""
    bounds, start = [], 0
    rows = np.arange(1, batch_tokens + 1)
    while start < len(longest):
        near = longest[start : start + max(1, batch_tokens // int(longest[start]))]
        padded = rows[: len(near)] * np.maximum.accumulate(near)
        stop = start + max(1, int(np.searchsorted(padded, batch_tokens, side="right")))
        bounds.append((start, stop))
        start = stop
    return np.array(bounds, np.int64).reshape(-1, 2)
