"""Encoding a corpus to arrays of ids: block by block on all cores. An interrupted run keeps the finished blocks."""

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
from seq2seq.data.text_hash import hash_pairs
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.data.word_links import token_links
from seq2seq.errors import DataError
from seq2seq.ids import UNK
from seq2seq.runtime.cpu import available_cores
from seq2seq.runtime.untrusted import MIB, WHOLE, fits, read_json
from seq2seq.runtime.untrusted import TEXT as ANY_TEXT
from seq2seq.runtime.vocabulary import LONGEST_PIECE
from seq2seq.utils.progress import ProgressCounter

BLOCK_PAIRS = 8192  # pairs of a block, before filtering
MIN_BLOCKS_PER_WORKER = 4  # a process takes about as long to start as to encode one block
COUNTS, MAX_COUNTS_BYTES = "counts.json", 64 * MIB
TEXT = "text"  # in it: the hash of the block's pairs


class EncodingCounts(NamedTuple):
    """Statistics of encoded pairs: sums, dropped pairs by reason, and how decoded ids differ from the text."""

    sums: Counter[str]
    dropped: Counter[str]
    differences: Counter[str]

    def add(self, more: dict[str, dict[str, int]]) -> None:
        """Add the statistics of other pairs, given as the dictionary of such a tuple."""
        self.sums.update(more["sums"])
        self.dropped.update(more["dropped"])
        self.differences.update(more["differences"])

    def report(self) -> dict[str, Any]:
        """The statistics as a part of the report that `report_lines` reads."""
        sums = self.sums
        report: dict[str, Any] = {
            "read": sums["read"],
            "kept": sums["kept"],
            "dropped": dict(self.dropped.most_common()),
            "cut": {name: sums[f"cut_{name}"] for name in ("source", "target")},
            "tokens": {name: sums[name] for name in ("source", "target", "unknown_source", "unknown_target")},
            "lossy": {
                "lines": sums["lossy"],
                "of": sums["lines"],
                "compared": sums["compared"],
                "differences": self.differences.most_common(3),
            },
        }
        if "links" in sums:
            report["links"] = {"pairs": sums["linked"], "tokens": sums["links"]}
        return report


class EncodingRules(NamedTuple):
    """Which pairs are kept, and what of them is written."""

    max_words: int
    max_ratio: float
    max_tokens: int
    keep_text: bool  # also write the text, for sampled segmentation
    truncate: tuple[int, int] = (0, 0)  # words that source and target are truncated to; 0: not truncated
    blank_targets: bool = False  # whether targets may be empty

    def filters(self) -> PairFilter:
        """The filter of these rules."""
        longest = LONGEST_PIECE * self.max_tokens
        return PairFilter(self.max_words, self.max_ratio, self.truncate, longest, self.blank_targets)


def encode_corpus(folder: Path, pairs: Iterable[AnyPair], total: int, rules: EncodingRules) -> EncodingCounts:
    """Write the arrays `train` and `text` of `pairs` to `folder`, which holds the vocabularies.

    They include word links if the pairs have them. `total` is the number of pairs, for the progress and the number of
    processes. Blocks that an interrupted call has left in `folder` are used: they must be of the same pairs and rules.
    Raises DataError if a worker process is killed."""
    blocks, joined = folder / f"blocks-{BLOCK_PAIRS}", folder / "joined"
    blocks.mkdir(exist_ok=True)
    for incomplete in [joined, *blocks.glob(".*")]:  # left by a process that was killed
        rmtree(incomplete, ignore_errors=True)
    workers = min(available_cores(), total // BLOCK_PAIRS // MIN_BLOCKS_PER_WORKER)
    counts, paths = EncodingCounts(Counter(), Counter(), Counter()), []
    with (
        ProgressCounter("pairs encoded", total) as progress,
        closing(_encoded_blocks(folder, blocks, pairs, rules, workers)) as encoded,
    ):
        for path, size in encoded:
            counts.add(_read_counts(path))
            paths.append(path)
            progress.add(size)
    for name in ("train", "text"):
        join_arrays([path / name for path in paths], folder / name)
    rmtree(blocks.rename(joined))  # renamed first: a partly removed folder of blocks must not be resumed from
    return counts


def _encoded_blocks(
    folder: Path, blocks: Path, pairs: Iterable[AnyPair], rules: EncodingRules, workers: int
) -> Generator[tuple[Path, int], None, None]:
    """Encode the blocks that are missing; yield the folder and the number of pairs of each block, in order."""
    numbered = ((blocks / f"{number:06}", block) for number, block in enumerate(_in_blocks(pairs)))
    if workers < 2:
        for path, block in numbered:
            if not _is_complete(path, block):
                encode_block(folder, path, block, rules)
            yield path, len(block)
        return
    waiting: deque[tuple[Path, int, Future[None] | None]] = deque()
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _init_worker)
    try:
        for path, block in numbered:
            future = None if _is_complete(path, block) else pool.submit(encode_block, folder, path, block, rules)
            waiting.append((path, len(block), future))
            while len(waiting) > 2 * workers:  # bounds the text in memory
                yield _finished(*waiting.popleft())
        while waiting:
            yield _finished(*waiting.popleft())
    except BaseException:  # do not wait for the blocks in progress: they can be encoded again
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _init_worker() -> None:
    """Let a worker ignore Ctrl-C, which its parent handles, and end when its parent ends, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow_parent() -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    Thread(target=follow_parent, daemon=True).start()


def _finished(path: Path, size: int, future: Future[None] | None) -> tuple[Path, int]:
    """Wait for a block; return its folder and its number of pairs."""
    try:
        if future is not None:
            future.result()
    except BrokenProcessPool:
        why = "out of memory, or prepare() was called by a script without `if __name__ == '__main__'`"
        raise DataError(f"an encoding process was killed: {why}; finished blocks are kept in {path.parent}") from None
    return path, size


def _is_complete(path: Path, pairs: list[AnyPair]) -> bool:
    """Whether the block at `path` was encoded from these pairs, and not damaged by a full disk or a power cut.

    Any other is removed: an interrupted call may have read text that was being written."""
    if not path.is_dir():
        return False
    try:
        counts = _read_counts(path)
        for name in ("train", "text"):
            PairArrays(path / name)
        if counts[TEXT] == hash_pairs(pairs):
            return True
    except DataError:
        pass
    rmtree(path, ignore_errors=True)
    return False


def _read_counts(path: Path) -> dict[str, Any]:
    """The statistics of a block, as a dictionary of EncodingCounts, and TEXT. Raises DataError if they are damaged."""
    counts = read_json(path / COUNTS, MAX_COUNTS_BYTES, error=DataError)
    if not fits(counts, {TEXT: ANY_TEXT} | {name: {...: WHOLE} for name in EncodingCounts._fields}):
        raise DataError(f"{path / COUNTS} is damaged")
    return counts  # type: ignore[no-any-return]


def _in_blocks(pairs: Iterable[AnyPair]) -> Iterator[list[AnyPair]]:
    """Lists of BLOCK_PAIRS pairs; the last may be shorter."""
    stream = iter(pairs)
    while block := list(islice(stream, BLOCK_PAIRS)):
        yield block


@lru_cache(maxsize=1)
def _vocabularies(folder: Path) -> Vocabularies:
    return Vocabularies.open(folder)


def encode_block(folder: Path, path: Path, pairs: list[AnyPair], rules: EncodingRules) -> None:
    """Write the arrays of one block of pairs and their statistics to the folder `path`, atomically."""
    vocabularies, sums = _vocabularies(folder), Counter[str]()
    filters = rules.filters()
    round_trip = RoundTrip(MAX_COMPARED if int(path.name) == 0 else 0)
    sizes, linked = (vocabularies.source.size, vocabularies.target.size), isinstance(pairs[0], LinkedPair)
    with (
        atomic_folder(path) as temporary,
        write_arrays(temporary / "train", *sizes, max_length=rules.max_tokens + 1, linked=linked) as add,
        write_arrays(temporary / "text", 256, 256, max_length=0) as add_text,
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
            round_trip.add(pair.source, vocabularies.source.decode(row.source))
            round_trip.add(pair.target, vocabularies.target.decode(row.target))
        sums.update(cut_source=filters.truncated["source"], cut_target=filters.truncated["target"])
        sums.update(read=filters.read, lines=round_trip.lines, lossy=round_trip.lossy, compared=round_trip.compared)
        counts = EncodingCounts(sums, filters.dropped, round_trip.differences)
        block = counts._asdict() | {TEXT: hash_pairs(pairs)}
        (temporary / COUNTS).write_text(json.dumps(block, ensure_ascii=False), encoding="utf-8")
