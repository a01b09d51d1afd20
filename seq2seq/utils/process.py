"""The process: settings that must be made before torch is used."""

import ctypes
import os
import time
from contextlib import suppress

BEGAN = time.time()  # about when this process was started
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
    if allocator_setting():
        return
    with suppress(AttributeError, OSError, TypeError):
        for option, value in MALLOC.items():
            ctypes.CDLL(None).mallopt(option, value)


def allocator_setting() -> str:
    """The environment variable by which the user has set the allocator of glibc; '' if there is none."""
    if "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return "GLIBC_TUNABLES"
    return next((variable for variable in os.environ if variable.startswith("MALLOC_")), "")
