"""The CPU: what it can do, the cores that this process may use, and how many of them a step is worth."""

import os
from functools import cache

CPU_INFO = "/proc/cpuinfo"  # of Linux
SMALL_ROWS = 16  # hypotheses of a step up to which its operators are too short to be worth a second thread


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
