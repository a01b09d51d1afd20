"""The memory that is left on this machine, and amounts of memory in messages."""

import os
import re
from contextlib import suppress
from pathlib import Path

MIB, GIB = 1 << 20, 1 << 30
CGROUPS = Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Bytes that this process may still take without swapping: of the machine, or of a smaller control group.

    Where the system does not tell, all of the machine's memory."""
    left = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with suppress(OSError):
        if found := re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text()):
            left.append(1024 * int(found[1]))
    with suppress(OSError):
        if own := re.search(r"^0::/(.*)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE):
            folder = CGROUPS / own[1]
            left += [_left_in_group(group) for group in (folder, *folder.parents) if group.is_relative_to(CGROUPS)]
    return min(left)


def _left_in_group(folder: Path) -> int:
    """What a control group (version 2) still allows; the cache of files counts as free. Without a limit a lot."""
    with suppress(OSError, ValueError):
        limit = int(folder.joinpath("memory.max").read_text())  # ValueError: "max"
        used = int(folder.joinpath("memory.current").read_text())
        cached = re.search(r"^inactive_file (\d+)$", folder.joinpath("memory.stat").read_text(), re.MULTILINE)
        return max(0, limit - used + (int(cached[1]) if cached else 0))
    return 1 << 62


def gib(size: float) -> str:
    """`12.0 MiB`, `1.5 GiB` or `140 GiB`, for messages."""
    if size < 0.1 * GIB:
        return f"{size / MIB:.1f} MiB"
    return f"{size / GIB:.1f} GiB" if size < 10 * GIB else f"{size / GIB:,.0f} GiB"
