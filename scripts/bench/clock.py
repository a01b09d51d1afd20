"""Timing on a machine with other load: intervals in which other processes used the cores do not count."""

import os
import resource
import sys
import time
from statistics import median
from typing import NamedTuple

MAX_FOREIGN = 0.15  # cores that other processes may use, on average, in an interval that counts
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Timestamp(NamedTuple):
    """Clocks of a moment, in seconds."""

    wall: float
    own: float  # CPU time of this process and its children
    busy: float  # CPU time of the whole machine


class Interval(NamedTuple):
    """The time between two moments, in seconds, and the work done."""

    wall: float
    own: float  # CPU time of this process and its children
    foreign: float  # cores that other processes used, on average
    amount: float  # of work: tokens, sentences, ...


def now() -> Timestamp:
    """The clocks now. Where the machine's CPU time cannot be read (not Linux), other processes are not noticed."""
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    try:
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(word) for word in file.readline().split()[1:9]]
    except OSError:
        return Timestamp(time.perf_counter(), own, own)
    return Timestamp(time.perf_counter(), own, (sum(ticks) - ticks[3] - ticks[4]) / TICKS_PER_SECOND)


def between(start: Timestamp, end: Timestamp, amount: float) -> Interval:
    """The interval from `start` to `end`, in which `amount` of work was done."""
    wall, own = end.wall - start.wall, end.own - start.own
    return Interval(wall, own, max(0.0, (end.busy - start.busy - own) / wall), amount)


def wait_for_quiet(seconds: float) -> None:
    """Wait until other processes leave the cores alone for half a second, at most `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        start = now()
        time.sleep(0.5)
        if between(start, now(), 0).foreign < MAX_FOREIGN:
            return


class Rate(NamedTuple):
    """Work per second over the quiet intervals, with the quartiles of the rates of single intervals."""

    value: float
    low: float
    high: float
    quiet: int  # number of quiet intervals
    all: int  # number of all intervals


def rate(intervals: list[Interval]) -> Rate:
    """The rate over the quiet intervals; over all intervals if fewer than four are quiet."""
    quiet = [interval for interval in intervals if interval.foreign < MAX_FOREIGN]
    used = quiet if len(quiet) >= 4 else intervals
    rates = sorted(interval.amount / interval.wall for interval in used)
    total = sum(interval.amount for interval in used) / sum(interval.wall for interval in used)
    return Rate(total, rates[len(rates) // 4], rates[-1 - len(rates) // 4], len(quiet), len(intervals))


def percentile(values: list[float], share: float) -> float:
    """The value below which a `share` of the values lies; 0.5 is the median."""
    return median(values) if share == 0.5 else sorted(values)[min(len(values) - 1, int(share * len(values)))]


def peak_memory() -> float:
    """Peak memory of this process in MiB; of GPU memory if it uses torch, and there is a GPU."""
    torch = sys.modules.get("torch")  # bundles are translated without it
    if torch is not None and torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated() / 2**20)
    try:  # that of getrusage includes the process that started this one
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
