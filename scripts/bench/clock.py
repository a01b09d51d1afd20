"""How long did it take, where other work may run on the same cores? Intervals that others disturbed do not count."""

import os
import resource
import time
from statistics import median
from typing import NamedTuple

import torch

QUIET = 0.15  # cores that others may use, on average, in an interval that counts
TICK = os.sysconf("SC_CLK_TCK")


class Mark(NamedTuple):
    """A moment, in seconds."""

    wall: float
    own: float  # processor time of this process and its children
    busy: float  # processor time of the whole machine


class Interval(NamedTuple):
    """What happened between two moments."""

    wall: float
    own: float
    foreign: float  # cores that others used, on average
    amount: float  # of whatever is counted


def mark() -> Mark:
    """Now. Where the machine's processor time cannot be read (not Linux) nobody else is seen."""
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    try:
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(word) for word in file.readline().split()[1:9]]
    except OSError:
        return Mark(time.perf_counter(), own, own)
    return Mark(time.perf_counter(), own, (sum(ticks) - ticks[3] - ticks[4]) / TICK)


def between(start: Mark, end: Mark, amount: float) -> Interval:
    """From one moment to the next."""
    wall = end.wall - start.wall
    return Interval(wall, end.own - start.own, max(0.0, (end.busy - start.busy - (end.own - start.own)) / wall), amount)


def wait_for_quiet(seconds: float) -> None:
    """Until others leave the cores alone for half a second, or for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        start = mark()
        time.sleep(0.5)
        if between(start, mark(), 0).foreign < QUIET:
            return


class Rate(NamedTuple):
    """Amount per second over the quiet intervals, with the quartiles of the single ones."""

    value: float
    low: float
    high: float
    quiet: int  # intervals that count
    all: int


def rate(intervals: list[Interval]) -> Rate:
    """Over the quiet intervals; over all where fewer than four are quiet, which `quiet` then shows."""
    quiet = [interval for interval in intervals if interval.foreign < QUIET]
    used = quiet if len(quiet) >= 4 else intervals
    each = sorted(interval.amount / interval.wall for interval in used)
    total = sum(interval.amount for interval in used) / sum(interval.wall for interval in used)
    return Rate(total, each[len(each) // 4], each[-1 - len(each) // 4], len(quiet), len(intervals))


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of them lie; 0.5 is the median."""
    return median(values) if share == 0.5 else sorted(values)[min(len(values) - 1, int(share * len(values)))]


def peak_memory() -> float:
    """MiB that this process has held at most; of a GPU's memory, where there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
