"""Who hears what training says? The terminal, and log.txt of the run directory."""

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class LogFile(logging.FileHandler):
    """A log that cannot be written is an error as with any file, not a page of tracebacks."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        if isinstance(error := sys.exception(), OSError):
            raise OSError(error.errno, error.strerror, self.baseFilename) from error
        super().handleError(record)


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """What the package logs goes to `path` as well, with the time; Lightning's own remarks are silenced."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    handler = LogFile(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("seq2seq")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(min(level or logging.INFO, logging.INFO))  # the file has it all, also where nobody set up the logging
    threads, threading.excepthook = threading.excepthook, told
    try:
        yield
    finally:
        threading.excepthook = threads
        logger.setLevel(level)
        logger.removeHandler(handler)
        with suppress(OSError):  # what it could not write before it cannot write now
            handler.close()


def told(args: threading.ExceptHookArgs) -> None:
    """TensorBoard writes in a thread of its own; what happens there is told, and raised at the next figure."""
    logging.getLogger("seq2seq").warning("%s", args.exc_value)
