"""Training and evaluation batches: planning, padding to tensors, and an iterator that can be saved and resumed.

Batches are cut from the corpus alone, by (seed, epoch), never by the number of devices: micro-batch a of rank r in
update u is number (u A + a) world + r of the epoch's list, where A is the number of micro-batches that one device
accumulates.

Letters: B pairs of a batch, T target tokens, S source tokens, V entries of the target vocabulary.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
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

SORT_BLOCK = 1 << 20  # pairs sorted together
INITIAL_CHECKSUM = "0" * 12  # the checksum before the first batch


class Batch(NamedTuple):
    """The tensors of one micro-batch."""

    source: Tensor  # (B, S) ids EOS PAD..
    target_in: Tensor  # (B, T) BOS y PAD..; ids >= V are unknown words of the source, which the model reads as UNK
    target_out: Tensor  # (B, T) y EOS PAD..
    index: Tensor  # type: ignore[assignment]  # (B,) number of the pair in its corpus, -1 in an empty batch
    update_size: Tensor  # () float: target tokens (with EOS) or sentences of the whole update, on all devices
    # (B, S) target id that copying a source token yields, padded with PAD; None: the head does not copy
    copy: Tensor | None = None
    # (B, T, S) target of guided attention: each row sums to one, or is 0 where no link is known
    links: Tensor | None = None
    seed: int = 0  # of the random numbers that training on it draws, such as dropout

    def split(self, parts: int) -> "list[Batch]":
        """The batch in so many parts, of almost as many rows each, or in one for each row if there are fewer."""
        count = min(parts, len(self.source))
        columns = [x.tensor_split(count) if isinstance(x, Tensor) and x.dim() else [x] * count for x in self]
        return [Batch(*part)._replace(seed=self.seed + i) for i, part in enumerate(zip(*columns, strict=True))]

    @property
    def padded(self) -> int:
        """Rows times the tokens of the longer side, which the memory that a batch takes grows with."""
        return len(self.source) * max(self.source.size(1), self.target_in.size(1))

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The batch with each of its tensors changed."""
        return Batch(*(change(x) if isinstance(x, Tensor) else x for x in self))  # type: ignore[arg-type]


class BatchOptions(NamedTuple):
    """What batches hold besides the ids of both sides, and how they are padded."""

    copying: bool = False  # with `Batch.copy` and the ids of unknown source words, which otherwise become UNK
    guided: bool = False  # with `Batch.links`
    multiple: int = 1  # both lengths are padded to a multiple of this


DEFAULT_OPTIONS = BatchOptions()


def collate(
    numbers: Sequence[int] | NDArray[Any],
    rows: Rows,
    *,
    target_size: int,
    update_size: float,
    options: BatchOptions = DEFAULT_OPTIONS,
) -> Batch:
    """Pad the pairs `numbers` of `rows` to the tensors of a batch. `target_size` is V."""
    encoded = [rows.row(i) for i in numbers]
    source = _padded([row.source for row in encoded], options.multiple)
    target_out = _padded([row.target for row in encoded], options.multiple)
    copy = _padded([row.copy for row in encoded], options.multiple) if options.copying else None
    if not options.copying:
        target_out[target_out >= target_size] = UNK
    links = None
    if options.guided:
        links = _link_weights([row.links for row in encoded], (*target_out.shape, source.size(1)))
    index = torch.as_tensor(np.asarray(numbers, np.int64))
    return Batch(source, _shifted(target_out), target_out, index, torch.tensor(float(update_size)), copy, links)


def empty_batch(update_size: float, options: BatchOptions = DEFAULT_OPTIONS) -> Batch:
    """A batch of one row without target tokens, for a device that an update has no pairs for."""
    eos, bos, pad = (torch.full((1, 1), i) for i in (EOS, BOS, PAD))
    copy = eos.clone() if options.copying else None
    links = torch.zeros(1, 1, 1) if options.guided else None
    return Batch(eos, bos, pad, torch.tensor([-1]), torch.tensor(float(update_size)), copy, links)


def _padded(sequences: list[Sequence[int] | Ids], multiple: int) -> Tensor:
    """(B, length) padded with PAD to the smallest multiple that holds the longest sequence."""
    length = -(-max(map(len, sequences)) // multiple) * multiple
    out = np.full((len(sequences), length), PAD, np.int64)
    for row, ids in zip(out, sequences, strict=True):
        row[: len(ids)] = ids
    return torch.from_numpy(out)


def _link_weights(links: list[Sequence[int] | Ids], shape: tuple[int, ...]) -> Tensor:
    """(B, T, S) the source tokens linked with a target token share a weight of one equally."""
    out = np.zeros(shape, np.float32)
    for table, row in zip(out, links, strict=True):
        t, s = np.asarray(row, np.int64).reshape(-1, 2).T
        table[t, s] = 1
    return torch.from_numpy(out / np.maximum(out.sum(-1, keepdims=True), 1))


def _shifted(target_out: Tensor) -> Tensor:
    """BOS y PAD.. from y EOS PAD..: where EOS would be fed the output is not counted, so it becomes PAD."""
    target_in = target_out.roll(1, dims=1)
    target_in[:, 0] = BOS
    return target_in.masked_fill(target_in == EOS, PAD)


class BatchPlan(Sequence[NDArray[np.int64]]):
    """The batches of an epoch, each as the numbers of its pairs."""

    def __init__(self, order: NDArray[np.integer[Any]], bounds: NDArray[np.int64]) -> None:
        """Batch n is order[bounds[n, 0] : bounds[n, 1]]."""
        self.order, self.bounds = order, bounds

    def __len__(self) -> int:
        return len(self.bounds)

    def __getitem__(self, n: Any) -> Any:
        start, stop = self.bounds[n]
        return self.order[start:stop].astype(np.int64)


def plan_epoch(longest: NDArray[Any], batch_tokens: int, *, seed: int, epoch: int) -> BatchPlan:
    """Cut the corpus into batches of pairs of similar length, in random order, as a function of the arguments alone.

    `longest` are the `longest_sides` of the pairs. Every pair is in one batch; rows times the longest side of a batch
    is at most `batch_tokens`, unless it is a single pair. Every epoch has the same number of batches: which pairs of
    one length meet is random, the lengths of the batches are not."""
    generator = np.random.default_rng([seed, epoch])
    numbers = np.arange(len(longest), dtype=np.min_scalar_type(-len(longest)))
    order = sort_by_length(generator.permutation(numbers), longest)
    return BatchPlan(order, generator.permutation(_cut(longest[order], batch_tokens)))


def plan_by_length(longest: NDArray[Any], batch_tokens: int) -> BatchPlan:
    """Cut the corpus into batches by length, the shortest first, without randomness: for evaluation."""
    order = np.argsort(longest, kind="stable")
    return BatchPlan(order, _cut(longest[order], batch_tokens))


def longest_sides(corpus: Corpus, multiple: int = 1) -> NDArray[np.integer[Any]]:
    """The tokens of the longer side of each pair, EOS included, rounded up to a multiple.

    In the smallest dtype that holds them."""
    longest = -(-np.maximum(corpus.source_lengths, corpus.target_lengths) // multiple) * multiple
    return longest.astype(np.min_scalar_type(int(longest.max(initial=0))))


def sort_by_length(numbers: NDArray[Any], lengths: NDArray[Any]) -> NDArray[Any]:
    """Sort `numbers` by lengths[number], stably.

    A counting sort, block by block, in a fraction of the memory of NumPy's."""
    blocks = [numbers[start : start + SORT_BLOCK] for start in range(0, len(numbers), SORT_BLOCK)]
    counts = [np.bincount(lengths[block], minlength=int(lengths.max(initial=0)) + 1) for block in blocks]
    free = np.cumsum(sum(counts)) - sum(counts)  # where the next number of each length goes
    out = np.empty_like(numbers)
    for block, count in zip(blocks, counts, strict=True):
        places = np.arange(len(block)) + np.repeat(free - np.cumsum(count) + count, count)
        out[places] = block[np.argsort(lengths[block], kind="stable")]
        free += count
    return out


def _cut(longest: NDArray[Any], batch_tokens: int) -> NDArray[np.int64]:
    """(batches, 2) bounds of the largest runs that keep to `batch_tokens`, taken from the left."""
    bounds, start = [], 0
    rows = np.arange(1, batch_tokens + 1)
    while start < len(longest):
        near = longest[start : start + max(1, batch_tokens // int(longest[start]))]
        padded = rows[: len(near)] * np.maximum.accumulate(near)
        stop = start + max(1, int(np.searchsorted(padded, batch_tokens, side="right")))
        bounds.append((start, stop))
        start = stop
    return np.array(bounds, np.int64).reshape(-1, 2)


def micro_batch_seed(seed: int, epoch: int, number: int) -> int:
    """`Batch.seed` of a batch by its number in the epoch: the same on whichever device it is."""
    return int(np.random.SeedSequence([seed, epoch, number]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def extend_checksum(checksum: str, numbers: NDArray[np.integer[Any]]) -> str:
    """The checksum (12 hexadecimal digits) after one more batch, of the pairs `numbers` in their order."""
    return hashlib.sha256(checksum.encode() + numbers.astype("<i8").tobytes()).hexdigest()[: len(INITIAL_CHECKSUM)]


class _Position(NamedTuple):
    """Where training stands once the last batch of an update was consumed."""

    done: int  # batches of the epoch's list
    checksum: str  # over all batches since the first epoch


class TrainBatches:
    """The training batches of one device, epoch after epoch: one iteration is one epoch, or what is left of it.

    Its state counts whole updates and can be loaded on any number of devices."""

    def __init__(
        self,
        corpus: Corpus,
        batch_tokens: int,
        seed: int,
        options: BatchOptions = DEFAULT_OPTIONS,
        *,
        accumulate: int = 1,
        rank: int = 0,
        world: int = 1,
        prefetch: int = 0,
        count_sentences: bool = False,
    ) -> None:
        """`accumulate`: micro-batches of an update on each device; `rank`, `world`: this device and the number of
        devices; `prefetch`: batches that a thread prepares ahead, in pinned memory where there is a GPU;
        `count_sentences`: `update_size` is the number of sentences, not of target tokens."""
        self.corpus, self.batch_tokens, self.seed, self.options = corpus, batch_tokens, seed, options
        self.accumulate, self.rank, self.world = accumulate, rank, world
        self.prefetch, self.count_sentences = prefetch, count_sentences
        self.epoch, self.done = 0, 0  # `done`: batches of the epoch's list that whole updates have consumed
        self.checksum = INITIAL_CHECKSUM  # over those and all of the epochs before; "" after a checkpoint that has none
        self.wait_seconds = 0.0  # time that the consumer has waited for batches
        self._planned: tuple[int, BatchPlan] | None = None
        self._target_lengths = corpus.target_lengths

    def plan(self) -> BatchPlan:
        """The batches of all devices in this epoch."""
        if self._planned is None or self._planned[0] != self.epoch:
            longest = longest_sides(self.corpus, self.options.multiple)
            self._planned = self.epoch, plan_epoch(longest, self.batch_tokens, seed=self.seed, epoch=self.epoch)
        return self._planned[1]

    def largest(self) -> Batch:
        """A batch of this epoch of the most padded tokens."""
        plan, longest = self.plan(), longest_sides(self.corpus, self.options.multiple)
        sizes = (plan.bounds[:, 1] - plan.bounds[:, 0]) * longest[plan.order[plan.bounds[:, 1] - 1]].astype(np.int64)
        rows = self.corpus.epoch_rows(self.epoch)
        batch = self._batch([plan[int(sizes.argmax())]], 0, rows, 1)
        return batch._replace(seed=self.seed)

    @property
    def batches_per_update(self) -> int:
        """Batches of one update, over its micro-batches and devices."""
        return self.accumulate * self.world

    @property
    def updates_per_epoch(self) -> int:
        """Updates of an epoch; the last one may hold empty batches."""
        return -(-len(self.plan()) // self.batches_per_update)

    def __len__(self) -> int:
        """Micro-batches of this device in an epoch."""
        return self.updates_per_epoch * self.accumulate

    def __iter__(self) -> Iterator[Batch]:
        coming = prefetched(map(_pinned, self._epoch()), self.prefetch) if self.prefetch else self._epoch()
        total = len(self.plan())
        while True:
            asked = time.perf_counter()
            item = next(coming, None)
            self.wait_seconds += time.perf_counter() - asked
            if item is None:
                return
            batch, position = item
            if position is not None:  # before the batch is yielded: a state saved after its use counts it as consumed
                self.epoch, self.done = (self.epoch, position.done) if position.done < total else (self.epoch + 1, 0)
                self.checksum = position.checksum
            yield batch

    def _epoch(self) -> Iterator[tuple[Batch, _Position | None]]:
        """The batches that are left; with the last of each update, the position after it."""
        epoch, checksum = self.epoch, self.checksum
        batches, rows = self.plan(), self.corpus.epoch_rows(epoch)
        for start in range(self.done, len(batches), self.batches_per_update):
            update = [batches[n] for n in range(start, min(start + self.batches_per_update, len(batches)))]
            size = self._size(update, rows)
            checksum = reduce(extend_checksum, update, checksum) if checksum else ""
            for a in range(self.accumulate):
                last = a == self.accumulate - 1
                position = _Position(start + self.batches_per_update, checksum) if last else None
                n = a * self.world + self.rank
                batch = self._batch(update, n, rows, size)
                yield batch._replace(seed=micro_batch_seed(self.seed, epoch, start + n)), position

    def _batch(self, update: list[NDArray[np.int64]], n: int, rows: Rows, size: int) -> Batch:
        if n >= len(update):
            return empty_batch(size, self.options)
        return collate(update[n], rows, target_size=self.corpus.target_size, update_size=size, options=self.options)

    def _size(self, update: list[NDArray[np.int64]], rows: Rows) -> int:
        """`Batch.update_size`, computed without communication.

        Each device segments the sampled targets of all devices."""
        numbers = np.concatenate(update)
        if self.count_sentences:
            return len(numbers)
        if self.corpus.sampled:
            return sum(len(rows.row(i).target) for i in numbers)
        return int(self._target_lengths[numbers].sum())

    def state_dict(self) -> dict[str, Any]:
        """The position after the last whole update, and what the order of the batches depends on."""
        return {
            "seed": self.seed,
            "batch_tokens": self.batch_tokens,
            "multiple": self.options.multiple,
            "pairs": len(self.corpus),
            "epoch": self.epoch,
            "done": self.done,
            "checksum": self.checksum,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume after the position in `state` without building the batches before it.

        Raises RunError if the order of its batches was another."""
        state = {"multiple": 1, "checksum": "", **state}  # older checkpoints lack them
        for name, value in self.state_dict().items():
            if name not in ("epoch", "done", "checksum") and value != state[name]:
                raise RunError(f"the order of batches cannot be resumed: {name} was {state[name]}, now it is {value}")
        self.epoch, self.done, self.checksum = state["epoch"], state["done"], state["checksum"]


def prefetched(items: Iterator[T], count: int) -> Iterator[T]:
    """The same items, up to `count` of them prepared ahead by a thread.

    An exception that `items` raises is raised in the place of its item."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        coming = deque(pool.submit(next, items, end) for _ in range(count))
        while (item := coming.popleft().result()) is not end:
            coming.append(pool.submit(next, items, end))
            yield item  # type: ignore[misc]


def _pinned(item: tuple[Batch, _Position | None]) -> tuple[Batch, _Position | None]:
    """The same with the batch in page-locked memory, where there is a GPU."""
    batch, position = item
    if not torch.cuda.is_available():
        return item
    return batch.map(Tensor.pin_memory), position


def largest_eval_batch(corpus: Corpus, batch_tokens: int, *, max_length: int, copying: bool = False) -> Batch | None:
    """Of the batches that `eval_batches` yields, one of the most padded tokens; None if it yields none."""
    sides = longest_sides(corpus)
    short = np.flatnonzero(sides <= max_length)
    plan = plan_by_length(sides[short], batch_tokens)
    if not len(plan):
        return None
    numbers = short[max(plan, key=lambda batch: len(batch) * int(sides[short[batch]].max()))]
    options = BatchOptions(copying)
    return collate(numbers, corpus.epoch_rows(0), target_size=corpus.target_size, update_size=1, options=options)


def eval_batches(
    corpus: Corpus, batch_tokens: int, *, max_length: int, rank: int = 0, world: int = 1, copying: bool = False
) -> Iterator[Batch]:
    """The batches rank, rank + world, ... of the corpus sorted by length; over all ranks each pair comes exactly once.

    Pairs with a side of more than `max_length` tokens, EOS included, are left out: their attention could exhaust the
    memory. `update_size` is the number of target tokens of the batch."""
    rows, target_lengths, sides = corpus.epoch_rows(0), corpus.target_lengths, longest_sides(corpus)
    short = np.flatnonzero(sides <= max_length)
    batches = plan_by_length(sides[short], batch_tokens)
    for n in range(rank, len(batches), world):
        numbers = short[batches[n]]
        size = float(target_lengths[numbers].sum())
        yield collate(numbers, rows, target_size=corpus.target_size, update_size=size, options=BatchOptions(copying))
