"""As which tensors do pairs come to a model, and to which device?

Batches are cut from the corpus alone, by (seed, epoch), never by the number of devices: micro-batch a of rank r in update u is
number (u A + a) world + r of the epoch's list, A being the micro-batches that one device accumulates.
"""

import hashlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seq2seq.data.dataset import Corpus, Ids, Rows
from seq2seq.errors import RunError
from seq2seq.ids import BOS, EOS, PAD, UNK

T = TypeVar("T")
_END = object()


class Batch(NamedTuple):
    """Sentences of one step."""

    source: Tensor  # (B, S) ids EOS PAD..
    target_in: Tensor  # (B, T) BOS y PAD..; ids >= V are unknown words of the source, which the model reads as UNK
    target_out: Tensor  # (B, T) y EOS PAD..
    index: Tensor  # type: ignore[assignment]  # (B,) number of the pair in its corpus, -1 in an empty batch
    update_size: Tensor  # () float: target tokens, EOS included, of the whole update, over its micro-batches and devices; or sentences
    copy: Tensor | None = None  # (B, S) what copying a source token yields, PAD behind; None: the head does not copy
    links: Tensor | None = (
        None  # (B, T, S) where attention is guided to: each row sums to one, or is 0 where that is not known
    )


def collate(
    numbers: Sequence[int] | NDArray[Any],
    rows: Rows,
    target_size: int,
    update_size: float,
    copying: bool,
    multiple: int = 1,
    guided: bool = False,
) -> Batch:
    """The pairs `numbers` as tensors, whose lengths are a multiple; `guided`: with links. Without `copying`, ids of unknown words
    become UNK."""
    encoded = [rows.row(i) for i in numbers]
    source, target_out = (
        _padded([row.source for row in encoded], multiple),
        _padded([row.target for row in encoded], multiple),
    )
    copy = _padded([row.copy for row in encoded], multiple) if copying else None
    if not copying:
        target_out[target_out >= target_size] = UNK
    index = torch.as_tensor(np.asarray(numbers, np.int64))
    links = _shares([row.links for row in encoded], (*target_out.shape, source.size(1))) if guided else None
    return Batch(source, _shifted(target_out), target_out, index, torch.tensor(float(update_size)), copy, links)


def empty_batch(update_size: float, copying: bool, guided: bool = False) -> Batch:
    """One row that counts nothing: it lets a device take part in an update that has no batch for it."""
    eos, bos, pad = (torch.full((1, 1), i) for i in (EOS, BOS, PAD))
    copy, links = eos.clone() if copying else None, torch.zeros(1, 1, 1) if guided else None
    return Batch(eos, bos, pad, torch.tensor([-1]), torch.tensor(float(update_size)), copy, links)


def _padded(sequences: list[Sequence[int] | Ids], multiple: int) -> Tensor:
    out = np.full((len(sequences), -(-max(map(len, sequences)) // multiple) * multiple), PAD, np.int64)
    for row, ids in zip(out, sequences, strict=True):
        row[: len(ids)] = ids
    return torch.from_numpy(out)


def _shares(links: list[Sequence[int] | Ids], shape: tuple[int, ...]) -> Tensor:
    """(B, T, S) a target token's source tokens have equal shares of one."""
    out = np.zeros(shape, np.float32)
    for table, row in zip(out, links, strict=True):
        t, s = np.asarray(row, np.int64).reshape(-1, 2).T
        table[t, s] = 1
    return torch.from_numpy(out / np.maximum(out.sum(-1, keepdims=True), 1))


def _shifted(target_out: Tensor) -> Tensor:
    """BOS y PAD.. from y EOS PAD..: EOS is only ever fed where nothing is counted, so it becomes PAD."""
    target_in = target_out.roll(1, dims=1)
    target_in[:, 0] = BOS
    return target_in.masked_fill(target_in == EOS, PAD)


class _Position(NamedTuple):
    """What is over once the last batch of an update was handed over."""

    done: int  # batches of the epoch's list
    checksum: str  # of all batches since the first epoch


class TrainBatches:
    """The training batches of one device, epoch after epoch: one iteration is one epoch, or what is left of it.

    Its state says what was consumed, in whole updates, and fits any number of devices."""

    def __init__(
        self,
        corpus: Corpus,
        batch_tokens: int,
        seed: int,
        *,
        accumulate: int = 1,
        rank: int = 0,
        world: int = 1,
        copying: bool = False,
        multiple: int = 1,
        early: int = 0,
        guided: bool = False,
        sentences: bool = False,
    ) -> None:
        """`copying`: whether the model's head copies, hence wants `Batch.copy` and the ids of unknown words; `multiple`: of what the
        lengths of a batch are one; `early`: batches that a thread makes before they are asked for, as a GPU wants them; `guided`: whether
        attention is, hence wants `Batch.links`; `sentences`: whether the size of an update is their number."""
        self.corpus, self.batch_tokens, self.seed, self.copying = corpus, batch_tokens, seed, copying
        self.multiple, self.early, self.guided, self.sentences = multiple, early, guided, sentences
        self.accumulate, self.rank, self.world = accumulate, rank, world
        self.epoch, self.done = 0, 0  # batches of the epoch's list that whole updates have consumed
        self.checksum = INITIAL_CHECKSUM  # over them and those of the epochs before; "" where these are not known
        self.waited = 0.0  # seconds that whoever trains has waited for batches
        self._planned: tuple[int, BatchPlan] | None = None
        self._target_lengths = corpus.target_lengths

    def plan(self) -> "BatchPlan":
        """All devices' batches in this epoch."""
        if self._planned is None or self._planned[0] != self.epoch:
            self._planned = (
                self.epoch,
                plan_epoch(longest_sides(self.corpus, self.multiple), self.batch_tokens, self.seed, self.epoch),
            )
        return self._planned[1]

    @property
    def per_update(self) -> int:
        """Batches of one update, over its micro-batches and devices."""
        return self.accumulate * self.world

    @property
    def updates(self) -> int:
        """Updates in this epoch, from its beginning; the last one may hold empty batches."""
        return -(-len(self.plan()) // self.per_update)

    def __len__(self) -> int:
        """Micro-batches of this device in this epoch, from its beginning."""
        return self.updates * self.accumulate

    def __iter__(self) -> Iterator[Batch]:
        coming = prefetched(map(pin_memory, self._epoch()), self.early) if self.early else self._epoch()
        total = len(self.plan())
        while True:
            asked = time.perf_counter()
            made = next(coming, None)
            self.waited += time.perf_counter() - asked
            if made is None:
                return
            batch, over = made
            if over is not None:  # before it is handed over: whoever saves after using it has consumed it
                self.epoch, self.done = (self.epoch, over.done) if over.done < total else (self.epoch + 1, 0)
                self.checksum = over.checksum
            yield batch

    def _epoch(self) -> Iterator[tuple[Batch, _Position | None]]:
        """The batches, and with the last of an update what is consumed with it."""
        batches, rows, checksum = self.plan(), self.corpus.at(self.epoch), self.checksum
        for start in range(self.done, len(batches), self.per_update):
            update = [batches[n] for n in range(start, min(start + self.per_update, len(batches)))]
            size = self._size(update, rows)
            checksum = reduce(extend_checksum, update, checksum) if checksum else ""
            for a in range(self.accumulate):
                last = a == self.accumulate - 1
                over = _Position(start + self.per_update, checksum) if last else None
                yield self._batch(update, a * self.world + self.rank, rows, size), over

    def _batch(self, update: list[NDArray[np.int64]], n: int, rows: Rows, size: int) -> Batch:
        if n >= len(update):
            return empty_batch(size, self.copying, self.guided)
        return collate(update[n], rows, self.corpus.target_size, size, self.copying, self.multiple, self.guided)

    def _size(self, update: list[NDArray[np.int64]], rows: Rows) -> int:
        """Sampled targets are all segmented, those of other devices too: the sum needs no communication."""
        numbers = np.concatenate(update)
        if self.sentences:
            return len(numbers)
        if self.corpus.sampled:
            return sum(len(rows.row(i).target) for i in numbers)
        return int(self._target_lengths[numbers].sum())

    def state_dict(self) -> dict[str, Any]:
        """What was consumed."""
        order = {
            "seed": self.seed,
            "batch_tokens": self.batch_tokens,
            "multiple": self.multiple,
            "pairs": len(self.corpus),
        }
        return order | {"epoch": self.epoch, "done": self.done, "checksum": self.checksum}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after what `state` has consumed, without building it. RunError if that was another order of batches."""
        state = {"multiple": 1, "checksum": "", **state}  # checkpoints did not always have them
        for name, mine in self.state_dict().items():
            if name not in ("epoch", "done", "checksum") and mine != state[name]:
                raise RunError(f"the order of batches cannot be resumed: {name} was {state[name]}, now it is {mine}")
        self.epoch, self.done, self.checksum = state["epoch"], state["done"], state["checksum"]


def prefetched(items: Iterator[T], count: int) -> Iterator[T]:
    """The same items, each made by a thread while those before are used; what it raises is raised here."""
    with ThreadPoolExecutor(1) as pool:
        coming = deque(pool.submit(next, items, _END) for _ in range(count))
        while (item := coming.popleft().result()) is not _END:
            coming.append(pool.submit(next, items, _END))
            yield item  # type: ignore[misc]


def pin_memory(made: tuple[Batch, _Position | None]) -> tuple[Batch, _Position | None]:
    """In memory that a GPU reads by itself, where there is one."""
    batch, over = made
    if not torch.cuda.is_available():
        return made
    return Batch(*(None if x is None else x.pin_memory() for x in batch)), over  # type: ignore[arg-type]


def eval_batches(
    corpus: Corpus, batch_tokens: int, *, longest: int, rank: int = 0, world: int = 1, copying: bool = False
) -> Iterator[Batch]:
    """The batches rank, rank + world, ... of the corpus sorted by length: over all ranks, each pair exactly once, but for
    those with a side of more than `longest` tokens, EOS included, whose attention could fill the memory.

    `update_size` are those of the batch."""
    rows, target, sides = corpus.at(0), corpus.target_lengths, longest_sides(corpus)
    short = np.flatnonzero(sides <= longest)
    batches = plan_by_length(sides[short], batch_tokens)
    for n in range(rank, len(batches), world):
        numbers = short[batches[n]]
        yield collate(numbers, rows, corpus.target_size, float(target[numbers].sum()), copying)


SORT_BLOCK = 1 << 20  # pairs that are sorted together

INITIAL_CHECKSUM = "0" * 12  # the checksum before the first batch


class BatchPlan(Sequence[NDArray[np.int64]]):
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


def plan_epoch(longest: NDArray[Any], batch_tokens: int, seed: int, epoch: int) -> BatchPlan:
    """Cut the corpus into batches of pairs of like length, in random order: a function of the `longest_sides`, (seed, epoch)
    and `batch_tokens` alone. Every pair comes once; rows times the longest side of a batch is at most
    `batch_tokens`, unless it is a single pair. Every epoch has as many batches: which pairs of a length meet is chance, the
    lengths of the batches are not."""
    generator = np.random.default_rng([seed, epoch])
    order = sort_by_length(
        generator.permutation(np.arange(len(longest), dtype=np.min_scalar_type(-len(longest)))), longest
    )
    return BatchPlan(order, generator.permutation(_cut(longest[order], batch_tokens)))


def sort_by_length(numbers: NDArray[Any], lengths: NDArray[Any]) -> NDArray[Any]:
    """The same numbers sorted by lengths[number], those of one length as they come: a stable sort, in a fraction of its memory."""
    parts = [numbers[start : start + SORT_BLOCK] for start in range(0, len(numbers), SORT_BLOCK)]
    counts = [np.bincount(lengths[part], minlength=int(lengths.max(initial=0)) + 1) for part in parts]
    free = np.cumsum(sum(counts)) - sum(counts)  # where the next number of each length goes
    out = np.empty_like(numbers)
    for part, count in zip(parts, counts, strict=True):
        places = np.arange(len(part)) + np.repeat(free - np.cumsum(count) + count, count)
        out[places] = part[np.argsort(lengths[part], kind="stable")]
        free += count
    return out


def extend_checksum(checksum: str, numbers: NDArray[np.integer[Any]]) -> str:
    """12 hexadecimal digits over all batches up to this one, of the pairs `numbers`, in their order."""
    return hashlib.sha256(checksum.encode() + numbers.astype("<i8").tobytes()).hexdigest()[: len(INITIAL_CHECKSUM)]


def plan_by_length(longest: NDArray[Any], batch_tokens: int) -> BatchPlan:
    """Cut the corpus into batches by length, the shortest first, without chance: for validation."""
    order = np.argsort(longest, kind="stable")
    return BatchPlan(order, _cut(longest[order], batch_tokens))


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
