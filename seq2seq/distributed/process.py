"""A process that works with others: it joins them, is silent unless it is rank 0, and ends with them."""

import ctypes
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import torch

from seq2seq.distributed import ranks
from seq2seq.errors import ConfigError, Seq2SeqError
from seq2seq.runtime.cpu import available_cores
from seq2seq.runtime.program import exit_code
from seq2seq.utils.console import log_to_stderr, silence_lightning

STARTED = "SEQ2SEQ_STARTED"  # variable that our launcher sets, to when it was started itself; it reports all errors
TIMEOUT = "SEQ2SEQ_TIMEOUT"  # variable: seconds that one process waits for another, such as for rank 0 to save
PATIENCE = 1800.0  # its default
GRACE = 10.0  # seconds within which the launcher ends the others of a process that has ended
PR_SET_PDEATHSIG = 1  # of Linux's prctl.h


def together(work: Callable[[], int | None]) -> int:
    """Do `work` with the other processes that a launcher has started. Returns the exit code."""
    return exit_code(lambda: _reported(work))


def _reported(work: Callable[[], int | None]) -> int | None:
    """Do `work`. Where our launcher has started this process, it is given the error to report it."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE") if STARTED in os.environ else None
    try:
        return _joined(work)
    except KeyboardInterrupt as error:
        if path is None:
            raise
        return getattr(error, "exit_code", 130)
    except Seq2SeqError as error:
        if path is None:
            raise
        extra = {"timestamp": str(int(time.time()))}
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"message": {"message": str(error), "extraInfo": extra}}, file)
        return 2


def _joined(work: Callable[[], int | None]) -> int | None:
    try:
        _end_with_launcher()
        with ranks.joined(_timeout()):
            rank = ranks.rank()
            log_to_stderr(f"process {rank}: " if rank else "")
            silence_lightning()
            if rank:  # only rank 0 prints, and logs what is no error
                sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
                logging.getLogger("seq2seq").setLevel(logging.ERROR)
            torch.set_num_threads(max(1, available_cores() // ranks.local_world_size()))
            return work()
    except ranks.LostError:  # the one that ended first has reported its error, and the launcher ends this one
        signal.signal(signal.SIGTERM, lambda *_: os._exit(2))
        time.sleep(GRACE)
        raise


def _timeout() -> float:
    """The seconds that one process waits for another. Raises ConfigError for a variable that is no number of them."""
    text = os.environ.get(TIMEOUT, str(PATIENCE))
    with suppress(ValueError):
        if 0 < (seconds := float(text)) < float("inf"):
            return seconds
    raise ConfigError(f"{TIMEOUT}={text} is not a number of seconds")


def _end_with_launcher() -> None:
    """Ask Linux for SIGTERM when the launcher ends, even if it was killed: nobody would end this process then."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
