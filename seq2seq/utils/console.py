"""Logging to the terminal and to a run's log.txt."""

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def speak(prefix: str = "") -> None:
    """What the package logs goes to stderr, each line behind `prefix`; stdout is for results."""
    logging.basicConfig(format=prefix.replace("%", "%%") + "%(message)s")
    logging.getLogger("seq2seq").setLevel(logging.INFO)
    logging.getLogger("sacrebleu").setLevel(logging.ERROR)


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
    if path.is_symlink():  # in a run directory nothing leads elsewhere
        path.unlink()
    handler = LogFile(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("seq2seq")
    logger.addHandler(handler)
    level, threads = logger.level, threading.excepthook
    if not level and not logging.getLogger().handlers:  # nobody set up the logging, and nobody hears it but the file
        logger.setLevel(logging.INFO)
    threading.excepthook = lambda args: told(args) if isinstance(args.exc_value, OSError) else threads(args)
    try:
        yield
    finally:
        threading.excepthook = threads
        logger.setLevel(level)
        logger.removeHandler(handler)
        with suppress(OSError):  # what it could not write before it cannot write now
            handler.close()


def told(args: threading.ExceptHookArgs) -> None:
    """TensorBoard writes in a thread of its own; a full disk is told here, and raised at the next figure."""
    with suppress(OSError):  # the log may be on the same disk
        logging.getLogger("seq2seq").warning("%s", args.exc_value)
