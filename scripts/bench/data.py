"""Benchmark of data preparation: text to batches on one core and on all, and a large corpus read from memory maps.

python scripts/bench/data.py [--pairs N] [--large N]
"""

import argparse
import logging
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import clock
import limit

from seq2seq.config import DataConfig
from seq2seq.data import encoding
from seq2seq.data.batching import TrainBatches
from seq2seq.data.corpora import train_pairs
from seq2seq.data.dataset import PairArrays, join_arrays
from seq2seq.data.prepare import Prepared, prepare
from seq2seq.data.toy.translation import generate_translations
from seq2seq.launch.compose import compose_config
from seq2seq.runtime.cpu import available_cores

T = TypeVar("T")
BATCHES = 2000  # read from the large corpus
DISTINCT = 100_000  # pairs that are generated; more are repetitions of these


def main(argv: Sequence[str] | None = None) -> None:
    """Print a line for each stage, for text files made of the embedded corpus."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--pairs", type=int, default=500_000)
    parser.add_argument(
        "--large", type=int, default=10_000_000, help="pairs of the corpus that is read from memory maps"
    )
    options = parser.parse_args(argv)
    logging.disable(logging.INFO)
    print(limit.machine(), f"{options.pairs:,} pairs", sep="; ")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, options.pairs)
        config = compose_config(
            [
                "data=mine",
                "tokenizer.size=1000",
                f"data.root={folder}",
                "data.train=[train]",
                "data.dev=[dev]",
                f"data.cache={folder / 'cache'}",
            ]
        )
        cached = f"the same for {options.pairs:,} pairs that are in the cache"
        for stage in ("read, train the tokenizer, read and encode", cached):
            prepared, interval = timed(lambda: prepare(config.data, config.tokenizer), options.pairs)
            report(stage, interval)
        for cores in sorted({1, available_cores()}):
            report(
                f"read and encode, cores: {cores}",
                timed(partial(encode, folder / f"by-{cores}", config.data, prepared, cores), options.pairs)[1],
            )
        batches = TrainBatches(prepared.train, config.training.batch_tokens, 1)
        tokens, interval = timed(lambda: sum(int((batch.target_out != 0).sum()) for batch in batches), options.pairs)
        report("batches of an epoch", interval)
        print(f"{'target tokens in them':<58}{tokens / interval.wall:12,.0f} /s")
        join_arrays([prepared.train.folder] * -(-options.large // len(prepared.train)), folder / "large")
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            print(pool.submit(measure_large, folder / "large", config.training.batch_tokens).result())


def write(folder: Path, pairs: int) -> None:
    """Write train.en, train.de, dev.en and dev.de to `folder`."""
    toy = generate_translations(pairs=min(pairs, DISTINCT), dev=100, test=2)
    for name, examples in (("train", islice(cycle(toy.train), pairs)), ("dev", toy.dev)):
        with (
            (folder / f"{name}.en").open("w", encoding="utf-8") as english,
            (folder / f"{name}.de").open("w", encoding="utf-8") as german,
        ):
            for example in examples:
                english.write(f"{example.source}\n")
                german.write(f"{example.target}\n")


def encode(folder: Path, data: DataConfig, prepared: Prepared, cores: int) -> None:
    """The encoding stage of `prepare`, with a given number of cores."""
    folder.mkdir()
    prepared.vocabularies.save(folder)
    encoding.available_cores = lambda: cores
    encoding.encode_corpus(
        folder,
        train_pairs(data),
        len(prepared.train),
        encoding.EncodingRules(data.max_words, data.max_ratio, data.max_tokens, False),
    )


def timed(work: Callable[[], T], amount: int) -> tuple[T, clock.Interval]:
    """The result of `work`, and the interval that it took."""
    start = clock.now()
    result = work()
    return result, clock.between(start, clock.now(), amount)


def report(stage: str, interval: clock.Interval) -> None:
    """Print the rate of a stage."""
    print(f"{stage:<58}{interval.amount / interval.wall:12,.0f} pairs/s", flush=True)


def measure_large(folder: Path, batch_tokens: int) -> str:
    """A line about the first batches of an epoch, read from memory maps; private memory is not backed by a file."""
    before, arrays = private_memory(), PairArrays(folder)
    epoch = TrainBatches(arrays, batch_tokens, 1)
    batches = iter(epoch)
    _, first = timed(lambda: next(batches), 1)
    several = min(BATCHES, len(epoch) - 1)
    _, others = timed(lambda: [next(batches) for _ in range(several)], several)
    return (
        f"{len(arrays):,} pairs: first batch after {first.wall:.1f} s, "
        f"then {others.amount / others.wall:,.0f} batches/s; private memory {private_memory() - before:,.0f} MiB more"
    )


def private_memory() -> float:
    """Memory of this process that is not backed by a file, in MiB."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024


if __name__ == "__main__":
    main()
