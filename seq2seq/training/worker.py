"""One of several processes that train a run together, one for each device: python -m seq2seq.training.worker RUN.

The launcher starts it; a run directory is all that it needs."""

import logging
import sys
from pathlib import Path

from seq2seq.distributed import ranks
from seq2seq.runtime.program import exit_code
from seq2seq.training.run import train_here
from seq2seq.utils.console import log_to_stderr

TIMEOUT = 1800.0  # seconds that one process waits for another, such as for rank 0 to save a checkpoint


def main(run: str) -> None:
    """Train with the other processes; only rank 0 logs what is no error."""
    with ranks.joined(TIMEOUT):
        log_to_stderr(f"process {ranks.rank()}: " if ranks.rank() else "")
        if ranks.rank():
            logging.getLogger("seq2seq").setLevel(logging.ERROR)
        train_here(Path(run))


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1])))
