"""Process settings: variables that the user has set stay, and freed memory is kept."""

import os
import platform
import subprocess
import sys

import pytest

from seq2seq.utils.process import ENVIRONMENT

FREE = """
from seq2seq.utils.process import {function}

def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024

{function}()
blocks = [bytearray(b"x" * 2**24) for _ in range(3)]
full = resident()
del blocks
print(full - resident())
"""
SHOW = f"import os; print(*(os.environ[name] for name in {list(ENVIRONMENT)}))"


def returned_memory(function, **environment):
    """MiB, of 48 freed, that a process returns to the system after it has called `function`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", FREE.format(function=function)],
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def shown_variables(code, environment):
    """The values of ENVIRONMENT's variables in a process that has run `code`."""
    command = [sys.executable, "-c", f"{code}\n{SHOW}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the GNU C library")
def test_freed_memory_is_kept_unless_the_user_has_tuned_malloc():
    assert returned_memory("set_environment") > 45
    assert returned_memory("keep_freed_memory") < 1
    assert returned_memory("keep_freed_memory", MALLOC_MMAP_THRESHOLD_="100000") > 45
    assert returned_memory("keep_freed_memory", GLIBC_TUNABLES="glibc.malloc.mmap_threshold=100000") > 45


def test_variables_set_by_the_user_stay():
    first, *others = ENVIRONMENT
    code = "from seq2seq.utils.process import set_environment; set_environment()"
    shown = shown_variables(code, os.environ | {first: "7"})
    assert shown == ["7", *(ENVIRONMENT[name] for name in others)]


def test_loading_the_translator_sets_them_too():
    """Before torch is imported, which fails here."""
    code = """
import contextlib, sys, seq2seq
sys.modules["torch"] = None
with contextlib.suppress(ModuleNotFoundError):
    seq2seq.Translator
"""
    environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    assert shown_variables(code, environment) == list(ENVIRONMENT.values())
