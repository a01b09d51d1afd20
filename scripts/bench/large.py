"""A corpus of millions of pairs, from files to a resumed training and an evaluation: times and peak memory.

    python scripts/bench/large.py --pairs 5000000 --folder /tmp/large

The corpus is generated: words of a Zipf distribution, of which the target has translations in the same order. Training
is stopped after a few updates, with a signal, and resumed for a few more."""

import argparse
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import numpy as np

BLOCK = 100_000  # pairs generated together
WORDS = 30_000  # different words of a side
SMALL = (
    "model=rnn", "model.embedding=64", "model.hidden=128", "tokenizer.size=8000", "training.batch_tokens=2048",
    "training.validate_every=20", "training.monitor=loss", "training.save_every=10", "trainer.progress=none",
    "trainer.log_every=1",
)  # fmt: skip


def generate(folder: Path, pairs: int) -> None:
    """Write train, dev and test files of both sides, unless they are there."""
    rng = np.random.default_rng(1)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    sides = [["".join(rng.choice(letters, rng.integers(2, 9))) for _ in range(WORDS)] for _ in range(2)]
    shares = 1 / (np.arange(WORDS) + 3.0)
    for name, count in (("train", pairs), ("dev", 500), ("test", 500)):
        if (folder / f"{name}.tt").exists():
            continue
        with (folder / f"{name}.ss").open("w") as source, (folder / f"{name}.tt").open("w") as target:
            for start in range(0, count, BLOCK):
                lengths = rng.integers(4, 25, min(BLOCK, count - start))
                words = rng.choice(WORDS, int(lengths.sum()), p=shares / shares.sum())
                ends = np.cumsum(lengths)
                for a, b in zip(ends - lengths, ends, strict=True):
                    source.write(" ".join([sides[0][i] for i in words[a:b]]) + "\n")
                    target.write(" ".join([sides[1][i] for i in words[a:b]]) + "\n")


def timed(*words: str, runs: Path | None = None, updates: int = 0) -> tuple[float, float, float]:
    """Run a command of seq2seq. Returns its seconds, those until the first new row of metrics, and its peak in MiB.

    runs: folder of its run; updates: rows of metrics.csv after which it gets SIGTERM, 0: it ends by itself."""
    before, first, began = len(metrics(runs)), float("nan"), time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([sys.executable, "-m", "seq2seq", *words], stderr=errors, stdout=subprocess.DEVNULL)
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            time.sleep(0.05)
            rows = len(metrics(runs)) - before
            if rows > 0 and math.isnan(first):
                first = time.perf_counter() - began
            if 0 < updates <= rows:
                process.send_signal(signal.SIGTERM)
                updates = -1
        seconds = time.perf_counter() - began
        if os.waitstatus_to_exitcode(ended[1]) not in (0, 143 if updates else 0):
            errors.seek(0)
            sys.exit(errors.read())
    return seconds, first, ended[2].ru_maxrss / 1024


def metrics(runs: Path | None) -> list[str]:
    """The lines of the run's metrics.csv, [] without one."""
    path = next(runs.glob("[!.]*/metrics.csv"), None) if runs else None
    return path.read_text().splitlines()[1:] if path else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5_000_000)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    generate(options.folder, options.pairs)
    data = [
        "data=mine", f"data.root={options.folder}", "data.train=[train]", "data.dev=[dev]", "+data.test.test=[test]",
        "data.source=ss", "data.target=tt", f"data.cache={options.folder / 'cache'}",
    ]  # fmt: skip
    rows = [("prepare", *timed("prepare", *data, *SMALL))]
    runs = options.folder / f"runs-{datetime.now():%H%M%S}"
    train = [*data, *SMALL, f"runs={runs}", "training.max_updates=100000"]
    rows.append(("train, stopped after 30 updates", *timed("train", *train, runs=runs, updates=30)))
    run = next(runs.iterdir())
    rows.append(("resume, 10 more updates", *timed("train", f"resume={run}", runs=runs, updates=10)))
    rows.append(("evaluate", *timed("evaluate", str(run), "--metrics", "bleu", "--beam", "1")))
    print(f"{options.pairs:,} pairs, {datetime.now():%Y-%m-%d}\n")
    print("| step | seconds | until the first update | peak memory, MiB |\n| --- | --- | --- | --- |")
    for name, seconds, first, memory in rows:
        print(f"| {name} | {seconds:.0f} | {'' if math.isnan(first) else f'{first:.1f}'} | {memory:.0f} |")


if __name__ == "__main__":
    main()
