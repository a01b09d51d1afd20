"""The process: settings that must be made before torch is used, the signals that end it, and the number of cores."""

import ctypes
import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

ENVIRONMENT = {  # read when torch is loaded
    # Waiting OpenMP threads yield their core early; spinning, two of them slow to a crawl next to one foreign process.
    "GOMP_SPINCOUNT": "2000",
    # Shapes whose oneDNN kernels stay compiled, LSTMs above all; with the default, 1024, they grow to hundreds of MiB.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",
    # The same for matrix products, in torch's own cache of them.
    "LRU_CACHE_CAPACITY": "64",
}

# Options of glibc's malloc.h. The kernel zeroes new pages one by one, a measurable part of an update
# (docs/explanation/benchmarks.md).
MALLOC = {
    -4: 0,  # M_MMAP_MAX: allocate large blocks on the heap as well
    -1: 2**31 - 1,  # M_TRIM_THRESHOLD: return the top of the heap to the system only beyond 2 GiB
    -2: 2**26,  # M_TOP_PAD: grow the heap by 64 MiB at a time
}


def set_environment() -> None:
    """Set the variables of ENVIRONMENT that the user has not set. Call it before torch is imported."""
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)


def keep_freed_memory() -> None:
    """Keep freed memory in the allocator instead of returning it to the system, for training, whose needs do not grow.

    Does nothing without glibc, or where the user has set MALLOC_* or GLIBC_TUNABLES=glibc.malloc..."""
    tuned = "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    if tuned or any(variable.startswith("MALLOC_") for variable in os.environ):
        return
    with suppress(AttributeError, OSError, TypeError):
        for option, value in MALLOC.items():
            ctypes.CDLL(None).mallopt(option, value)


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


def available_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
