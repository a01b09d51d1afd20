"""Benchmark of threads: the time of one thread to that of all cores, for small batches, in alternating pairs.

python scripts/bench/threads.py RUN_OR_BUNDLE [...] [--sentences 1 2 3 4 6 8] [--rounds 20] [--beam 5] [--tokens 16]

A ratio below 1 means that one thread is faster. Every translation is forced to the same number of tokens, so that
weights do not matter. Where other processes use the cores, threads wait for one that has none: the ratios are then
lower than on a quiet machine.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import clock

from seq2seq.runtime.cpu import available_cores
from seq2seq.utils import process

if TYPE_CHECKING:
    from seq2seq.runtime.translation import LineTranslator

LINE = "The old teacher opens the window and looks for a while at the green garden ."


def main(argv: Sequence[str] | None = None) -> None:
    """Print a row for each translator and number of sentences."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("translators", nargs="+", type=Path, metavar="RUN_OR_BUNDLE")
    parser.add_argument("--sentences", nargs="+", type=int, default=[1, 2, 3, 4, 6, 8], help="in a batch")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=16, help="length of every translation")
    options = parser.parse_args(argv)
    process.set_environment()  # as the commands do, before torch is imported

    import limit

    from seq2seq.translator import Translator

    cores = available_cores()
    print(limit.machine(), f"beam {options.beam}", f"{options.tokens} tokens a sentence", sep="; ")
    print(f"| translator | sentences | one thread, ms | {cores} threads, ms | ratio: median, quartiles |")
    print("| --- | --- | --- | --- | --- |")
    length = {"min_length": options.tokens, "max_length": options.tokens, "max_ratio": float(options.tokens)}
    for path in options.translators:
        both = [Translator.open(path, threads=threads, beam=options.beam, **length) for threads in (1, cores)]
        for count in options.sentences:
            for translator in both:
                seconds(translator, count)
            times = [[seconds(translator, count) for translator in both] for _ in range(options.rounds)]
            one, every = ([1000 * pair[place] for pair in times] for place in (0, 1))
            ratios = [pair[0] / pair[1] for pair in times]
            low, middle, high = (clock.percentile(ratios, share) for share in (0.25, 0.5, 0.75))
            print(
                f"| {path.name} | {count} | {clock.percentile(one, 0.5):.1f} | {clock.percentile(every, 0.5):.1f} "
                f"| {middle:.2f} [{low:.2f}, {high:.2f}] |",
                flush=True,
            )


def seconds(translator: "LineTranslator", count: int) -> float:
    """Time to translate a batch of `count` sentences."""
    start = time.perf_counter()
    translator.translate([LINE] * count)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
