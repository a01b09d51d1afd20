"""The signals that end a process, and what it does then."""

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, kill, and a terminal that is closed
REQUEUE = 75  # exit code, EX_TEMPFAIL of sysexits.h: the time is over, and the same run can be resumed
EXIT_CODES = {signal.SIGUSR1: REQUEUE}  # of a process that a signal has ended; of others 128 and its number


class Interrupted(KeyboardInterrupt):
    """A signal to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = EXIT_CODES.get(signal.Signals(number), 128 + number)


def signal_of(exit_code: int) -> int | None:
    """The signal that a process with this exit code, or ended by this signal (negative), was stopped by; or None."""
    numbers = (*STOP_SIGNALS, *EXIT_CODES)
    return next((int(n) for n in numbers if exit_code in (-n, Interrupted(n).exit_code)), None)


@contextmanager
def handling(
    handler: Callable[[int, FrameType | None], object], numbers: Sequence[int] = STOP_SIGNALS
) -> Iterator[None]:
    """A context in which `handler` is called for these signals.

    SIGHUP stays ignored where it is, as under nohup. Does nothing outside of the main thread, where Python cannot."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        numbers = [number for number in numbers if number != signal.SIGHUP]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def interrupt(number: int, frame: FrameType | None) -> None:
    """A signal handler: raises Interrupted, so that SIGTERM and SIGHUP leave as few files behind as Ctrl-C."""
    if number == signal.SIGHUP:
        leave_terminal()
    raise Interrupted(number)


def has_terminal() -> bool:
    """Whether this process has a terminal, which it loses when that is closed."""
    with suppress(OSError):
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        return True
    return False


def leave_terminal() -> None:
    """Send what is printed to the null device instead of to a terminal that was closed, where writing would fail."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (1, 2):
            if stat.S_ISCHR(os.fstat(descriptor).st_mode):
                os.dup2(null, descriptor)
        os.close(null)
