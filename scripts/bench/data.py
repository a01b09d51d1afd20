"""How fast is text read? Pairs a second while a corpus is prepared and while it is trained on, and the memory of both.

python scripts/bench/data.py [--pairs N]
"""

import argparse
import logging
import tempfile
from collections.abc import Sequence

import clock
import limit

from seq2seq.compose import compose_config
from seq2seq.data.batch import TrainBatches
from seq2seq.data.prepare import prepare


def main(argv: Sequence[str] | None = None) -> None:
    """One line for each stage, on the embedded corpus at the size that is asked for."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--pairs", type=int, default=100_000)
    options = parser.parse_args(argv)
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        config = compose_config(["data=toy", f"data.pairs={options.pairs}", f"data.cache={folder}"])
        print(limit.machine(), f"{options.pairs:,} pairs", sep="; ")
        start = clock.mark()
        prepared = prepare(config.data, config.tokenizer)
        say("generate, read, train the tokenizer, encode", clock.between(start, clock.mark(), options.pairs))
        start = clock.mark()
        prepared = prepare(config.data, config.tokenizer)
        say("again, all being in the cache", clock.between(start, clock.mark(), options.pairs))
        batches = TrainBatches(prepared.train, config.training.batch_tokens, 1)
        start = clock.mark()
        tokens = sum(int((batch.target_out != 0).sum()) for batch in batches)
        interval = clock.between(start, clock.mark(), options.pairs)
        say("batches of an epoch", interval)
        print(f"{'target tokens in batches':<46}{tokens / interval.wall:12,.0f} a second")


def say(what: str, interval: clock.Interval) -> None:
    """A line of the result."""
    print(f"{what:<46}{interval.amount / interval.wall:12,.0f} pairs/s, peak {clock.peak_memory():,.0f} MiB")


if __name__ == "__main__":
    main()
