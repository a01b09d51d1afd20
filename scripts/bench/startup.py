"""Benchmark of start-up time: commands from a cold start, alternating with an import of torch.

python scripts/bench/startup.py RUN [--times N]
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import clock
import limit


def main(argv: Sequence[str] | None = None) -> None:
    """Print a line for each command: median seconds, and the minimum and maximum."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument(
        "--wait",
        type=float,
        default=30,
        help="wait at most so many seconds for other processes to leave the cores alone",
    )
    options = parser.parse_args(argv)
    program = [sys.executable, "-m", "seq2seq"]
    commands = {
        "python -c 'import torch'": ([sys.executable, "-c", "import torch"], ""),
        "seq2seq --help": ([*program, "--help"], ""),
        "first line of seq2seq translate": (
            [*program, "translate", str(options.run)],
            "The old teacher opens the window.\n",
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    clock.wait_for_quiet(options.wait)
    for _ in range(options.times):
        for name, (command, stdin) in commands.items():
            start = clock.now()
            subprocess.run(command, input=stdin, text=True, check=True, capture_output=True)
            seconds[name].append(clock.between(start, clock.now(), 1).wall)
    print(limit.machine())
    for name, tries in seconds.items():
        print(f"{name:<34}{median(tries):6.2f} s  [{min(tries):.2f}, {max(tries):.2f}]")


if __name__ == "__main__":
    main()
