"""The CPU: what it can do, the cores that this process may use, and how many of them a step is worth."""

import os
from functools import cache

CPU_INFO = "/proc/cpuinfo"  # of Linux
CPU_MAX = "/sys/fs/cgroup/cpu.max"  # of the control group that a container sees as the top one
SMALL_ROWS = 16  # hypotheses of a step up to which its operators are too short to be worth a second thread


@cache
def cpu_flags() -> frozenset[str]:
    """What an x86 CPU can do, as Linux names it, such as amx_bf16; empty where that is not known."""
    try:
        with open(CPU_INFO, encoding="utf-8", errors="replace") as file:
            return frozenset(next((line for line in file if line.startswith("flags")), "").split())
    except OSError:
        return frozenset()


def has_vnni() -> bool:
    """Whether the CPU adds products of int8 in 32 bits (x86's VNNI); False where that is not known."""
    return not cpu_flags().isdisjoint(("avx512_vnni", "avx_vnni"))


def available_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def core_quota() -> float:
    """Cores whose time a control group (version 2), such as that of a container, allows; 0 where there is no limit.

    Unlike `available_cores` this limits the time of all threads together."""
    try:
        with open(CPU_MAX, encoding="ascii", errors="replace") as file:
            quota, period = file.read(100).split()
        return float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):  # ValueError: "max"
        return 0.0


def step_threads(rows: int, most: int) -> int:
    """The number of threads for a step of so many hypotheses: one or, for many, `most`."""
    return 1 if rows <= SMALL_ROWS else most
