"""One of several processes that train a run together, one for each device: python -m seq2seq.training.worker RUN.

The launcher starts it; a run directory is all that it needs."""

import sys
from pathlib import Path

from seq2seq.distributed.process import together
from seq2seq.training.run import train_here


def main(run: str) -> None:
    """Train with the other processes."""
    train_here(Path(run))


if __name__ == "__main__":
    sys.exit(together(lambda: main(sys.argv[1])))
