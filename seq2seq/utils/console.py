"""Logging to the terminal and to a run's log.txt."""

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from seq2seq.errors import escaped
from seq2seq.utils.files import open_to_append


def log_to_stderr(prefix: str = "") -> None:
    """Log the package's messages to stderr, each line starting with `prefix`; stdout is for results."""
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter(prefix.replace("%", "%%") + "%(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("seq2seq").setLevel(logging.INFO)
    logging.getLogger("sacrebleu").setLevel(logging.ERROR)


def silence_lightning() -> None:
    """Hide what Lightning logs and warns of."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Log the package's messages to the file `path` as well, with the time, and silence Lightning's own.

    A log that cannot be written raises OSError. An OSError in another thread is logged as one line."""
    silence_lightning()
    handler = _LogFile(path)
    handler.setFormatter(PlainFormatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("seq2seq")
    logger.addHandler(handler)
    level, thread_hook = logger.level, threading.excepthook
    if not level and not logging.getLogger().handlers:  # logging is not configured: the file still wants INFO
        logger.setLevel(logging.INFO)

    def hook(args: threading.ExceptHookArgs) -> None:
        if isinstance(args.exc_value, OSError):
            _log_thread_error(args.exc_value)
        else:
            thread_hook(args)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = thread_hook
        logger.setLevel(level)
        logger.removeHandler(handler)
        with suppress(OSError):  # closing flushes, which fails if an earlier write failed
            handler.close()


class PlainFormatter(logging.Formatter):
    """Writes each message on one line, escaped: names in it may come from files that someone else wrote."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = escaped(record.message)
        return super().formatMessage(record)


class _LogFile(logging.FileHandler):
    """Raises OSError when the log cannot be written; logging's own handler prints a traceback and continues."""

    def _open(self) -> Any:
        return open_to_append(Path(self.baseFilename))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        if isinstance(error := sys.exception(), OSError):
            raise OSError(error.errno, error.strerror, self.baseFilename) from error
        super().handleError(record)


def _log_thread_error(error: OSError) -> None:
    """TensorBoard writes from its own thread: a full disk is logged here, and raised when the next value is written."""
    with suppress(OSError):  # the log may be on the same disk
        logging.getLogger("seq2seq").warning("%s", error)
