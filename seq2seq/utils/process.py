"""What of the machine may this process use, and how? Cores, threads that wait, freed memory: said before torch works in it."""

import ctypes
import os
from contextlib import suppress

ENVIRONMENT = {  # read when torch is loaded; what the user has set stays
    "GOMP_SPINCOUNT": "2000",  # a waiting thread gives its core up soon: else two of them crawl beside one foreign process
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",  # shapes of LSTMs that are kept compiled: 1024, the default, grow to hundreds of MiB
    "LRU_CACHE_CAPACITY": "64",  # shapes of products that torch keeps so, the same
}

# glibc's malloc.h. New pages are cleared by the kernel one by one, which takes its share of an update (docs/benchmarks.md)
MALLOC = {
    -4: 0,  # M_MMAP_MAX: large blocks come from the heap as well
    -1: 2**31 - 1,  # M_TRIM_THRESHOLD: whose end is given back to the system only beyond 2 GiB
    -2: 2**26,  # M_TOP_PAD: and which grows by 64 MiB
}


def prepare() -> None:
    """Call it first; what the user has set by environment variables stays."""
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)


def keep_freed_memory() -> None:
    """For training, whose needs do not grow; only GNU's C library knows how. What the user has set stays."""
    if any(variable.startswith("MALLOC_") for variable in os.environ) or "glibc.malloc" in os.environ.get(
        "GLIBC_TUNABLES", ""
    ):
        return
    with suppress(AttributeError, OSError, TypeError):
        for option, value in MALLOC.items():
            ctypes.CDLL(None).mallopt(option, value)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
