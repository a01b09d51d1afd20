"""The process: the signals that end it, the cores that it may use, and how many of them a step is worth."""

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from types import FrameType

CPU_INFO = "/proc/cpuinfo"  # of Linux
SMALL_ROWS = 16  # hypotheses of a step up to which its operators are too short to be worth a second thread
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, kill, and a terminal that is closed


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
    """A signal handler: raises KeyboardInterrupt, so that SIGTERM and SIGHUP leave as few files behind as Ctrl-C."""
    if number == signal.SIGHUP:
        leave_terminal()
    raise KeyboardInterrupt


def leave_terminal() -> None:
    """Send what is printed to the null device instead of to a terminal that was closed, where writing would fail."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (1, 2):
            if stat.S_ISCHR(os.fstat(descriptor).st_mode):
                os.dup2(null, descriptor)
        os.close(null)


@cache
def has_vnni() -> bool:
    """Whether the CPU adds products of int8 in 32 bits (x86's VNNI); False where that is not known."""
    try:
        with open(CPU_INFO, encoding="utf-8", errors="replace") as file:
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return False
    return not {"avx512_vnni", "avx_vnni"}.isdisjoint(flags.split())


def available_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def step_threads(rows: int, most: int) -> int:
    """The number of threads for a step of so many hypotheses: one or, for many, `most`."""
    return 1 if rows <= SMALL_ROWS else most
