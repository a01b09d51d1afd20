"""How does a corpus become arrays of ids? Block by block, on all cores; blocks that are there are not made again."""

import json
import os
import signal
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from shutil import rmtree
from threading import Thread
from typing import Any, NamedTuple

from seq2seq.data.dataset import PairArrays, join_arrays, write_arrays
from seq2seq.data.filters import PairFilter
from seq2seq.data.folders import atomic_folder
from seq2seq.data.readers import AnyPair, LinkedPair
from seq2seq.data.report import MAX_COMPARED, RoundTrip
from seq2seq.data.sampling import encode_pair, text_row
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.data.word_links import token_links
from seq2seq.errors import DataError
from seq2seq.ids import UNK
from seq2seq.utils.process import available_cores
from seq2seq.utils.progress import ProgressCounter

BLOCK_PAIRS = 8192  # pairs, as they are read
MIN_BLOCKS_PER_WORKER = 4  # blocks for a process at least: a new one takes as long to start as one of them
COUNTS = "counts.json"


class EncodingCounts(NamedTuple):
    """What was seen of some pairs: sums, why pairs were dropped, and by what texts differ from what their ids say."""

    sums: Counter[str]
    dropped: Counter[str]
    differences: Counter[str]

    def add(self, more: dict[str, dict[str, int]]) -> None:
        """Those of other pairs."""
        for mine, theirs in zip(self, more.values(), strict=True):
            mine.update(theirs)

    def report(self) -> dict[str, Any]:
        """As `report_lines` reads it."""
        sums = self.sums
        lossy = {
            "lines": sums["lossy"],
            "of": sums["lines"],
            "compared": sums["compared"],
            "differences": self.differences.most_common(3),
        }
        tokens = {name: sums[name] for name in ("source", "target", "unknown_source", "unknown_target")}
        dropped, cut = dict(self.dropped.most_common()), {name: sums[f"cut_{name}"] for name in ("source", "target")}
        links = {"links": {"pairs": sums["linked"], "tokens": sums["links"]}} if "links" in sums else {}
        return {
            "read": sums["read"],
            "kept": sums["kept"],
            "dropped": dropped,
            "cut": cut,
            "tokens": tokens,
            "lossy": lossy,
        } | links


class EncodingRules(NamedTuple):
    """What decides which pairs are kept, and what is kept of them."""

    max_words: int
    max_ratio: float
    max_tokens: int
    keep_text: bool
    truncate: tuple[int, int] = (0, 0)  # source and target, to so many words; 0: not


def encode_corpus(folder: Path, pairs: Iterable[AnyPair], total: int, rules: EncodingRules) -> EncodingCounts:
    """Arrays `train` and `text` in `folder`, where the vocabularies are, of `total` pairs, or so; with their links if they are linked.

    What an earlier call that was cut off has left in `folder` is used: it must have been of the same pairs and rules.
    DataError if a process that encodes is ended."""
    blocks, joined = folder / f"blocks-{BLOCK_PAIRS}", folder / "joined"
    blocks.mkdir(exist_ok=True)
    for half in [joined, *blocks.glob(".*")]:  # a process was killed
        rmtree(half, ignore_errors=True)
    workers, made, counts = (
        min(available_cores(), total // BLOCK_PAIRS // MIN_BLOCKS_PER_WORKER),
        [],
        EncodingCounts(Counter(), Counter(), Counter()),
    )
    with (
        ProgressCounter("pairs encoded", total) as count,
        closing(_encoded_blocks(folder, blocks, pairs, rules, workers)) as coming,
    ):
        for block, size in coming:
            counts.add(json.loads((block / COUNTS).read_text(encoding="utf-8")))
            made.append(block)
            count.add(size)
    for name in ("train", "text"):
        join_arrays([block / name for block in made], folder / name)
    rmtree(blocks.rename(joined))  # else one that is removed by half could be taken for a whole one
    return counts


def _encoded_blocks(
    folder: Path, blocks: Path, pairs: Iterable[AnyPair], rules: EncodingRules, workers: int
) -> Generator[tuple[Path, int], None, None]:
    """Each block, and its number of pairs, in order, as they come to be there."""
    cut = ((blocks / f"{number:06}", block) for number, block in enumerate(_in_blocks(pairs)))
    if workers < 2:
        for path, block in cut:
            if not is_complete(path):
                encode_block(folder, path, block, rules)
            yield path, len(block)
        return
    waiting: deque[tuple[Path, int, Future[None] | None]] = deque()
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _init_worker)
    try:
        for path, block in cut:
            waiting.append(
                (path, len(block), None if is_complete(path) else pool.submit(encode_block, folder, path, block, rules))
            )
            while len(waiting) > 2 * workers:  # so much text is in memory
                yield _finished(*waiting.popleft())
        while waiting:
            yield _finished(*waiting.popleft())
    except BaseException:  # nobody waits for blocks that may be made again
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _init_worker() -> None:
    """A worker leaves Ctrl-C to the process that it works for, and ends with it, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=lambda: (parent_process().join(), os._exit(1)), daemon=True).start()  # type: ignore[union-attr, func-returns-value]


def _finished(path: Path, size: int, future: "Future[None] | None") -> tuple[Path, int]:
    try:
        if future is not None:
            future.result()
    except BrokenProcessPool:
        why = "the memory was full, or prepare() was called by a script without `if __name__ == '__main__'`"
        raise DataError(f"a process that encodes was ended: {why}; what is encoded is kept in {path.parent}") from None
    return path, size


def is_complete(path: Path) -> bool:
    """Whether a block was made, and neither a full disk nor a power cut has spoilt it; what is left of it is removed."""
    try:
        json.loads((path / COUNTS).read_text(encoding="utf-8"))
        for name in ("train", "text"):
            PairArrays(path / name)
        return True
    except (OSError, ValueError, DataError):
        rmtree(path, ignore_errors=True)
        return False


def _in_blocks(pairs: Iterable[AnyPair]) -> Iterator[list[AnyPair]]:
    """Lists of BLOCK pairs, the last may be shorter."""
    stream = iter(pairs)
    while block := list(islice(stream, BLOCK_PAIRS)):
        yield block


@lru_cache(maxsize=1)
def _vocabularies(folder: Path) -> Vocabularies:
    return Vocabularies.open(folder)


def encode_block(folder: Path, path: Path, pairs: list[AnyPair], rules: EncodingRules) -> None:
    """The arrays of some pairs, and what was seen of them, as the folder `path`; whole or not at all."""
    vocabularies, sums = _vocabularies(folder), Counter[str]()
    filters = PairFilter(rules.max_words, rules.max_ratio, rules.truncate)
    trip = RoundTrip(MAX_COMPARED if int(path.name) == 0 else 0)
    sizes, linked = (vocabularies.source.size, vocabularies.target.size), isinstance(pairs[0], LinkedPair)
    with (
        atomic_folder(path) as temporary,
        write_arrays(temporary / "train", *sizes, rules.max_tokens + 1, linked) as add,
        write_arrays(temporary / "text", 256, 256, 0) as add_text,
    ):
        for pair in filters(pairs):
            row = encode_pair(pair, vocabularies)
            if max(len(row.source), len(row.target)) > rules.max_tokens + 1:
                filters.dropped[f"more than {rules.max_tokens} subwords"] += 1
                continue
            if isinstance(pair, LinkedPair):
                row = row._replace(links=token_links(pair, vocabularies))
                sums.update(linked=len(row.links) > 0, links=len(row.links) // 2)
            add(row)
            if rules.keep_text:
                add_text(text_row(pair))
            sums.update(kept=1, source=len(row.source), target=len(row.target))
            sums.update(
                unknown_source=sum(i == UNK for i in row.source),
                unknown_target=sum(i == UNK or i >= sizes[1] for i in row.target),
            )
            trip.add(pair.source, vocabularies.source.decode(row.source))
            trip.add(pair.target, vocabularies.target.decode(row.target))
        sums.update(cut_source=filters.cut["source"], cut_target=filters.cut["target"])
        sums.update(read=filters.read, lines=trip.lines, lossy=trip.lossy, compared=min(trip.lossy, trip.most))
        counts = EncodingCounts(sums, filters.dropped, trip.differences)
        (temporary / COUNTS).write_text(json.dumps(counts._asdict(), ensure_ascii=False), encoding="utf-8")
