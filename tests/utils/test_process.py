"""What is said to the process before it works: settings of the user stay, freed memory is kept."""

import os
import platform
import subprocess
import sys

import pytest

from seq2seq.utils.process import ENVIRONMENT

FREE = """
from seq2seq.utils.process import {function}

def held():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024

{function}()
blocks = [bytearray(b"x" * 2**26) for _ in range(3)]
full = held()
del blocks
print(full - held())
"""


def given_back(function, **environment):
    """MiB of 192 that a process gives back to the system when it needs them no more."""
    asked = subprocess.run(
        [sys.executable, "-c", FREE.format(function=function)],
        env={name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
        | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(asked.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs GNU's C library")
def test_freed_memory_is_kept_unless_the_user_has_said_what_to_do():
    assert given_back("prepare") > 180
    assert given_back("keep_freed_memory") < 1
    assert given_back("keep_freed_memory", MALLOC_MMAP_THRESHOLD_="100000") > 180
    assert given_back("keep_freed_memory", GLIBC_TUNABLES="glibc.malloc.mmap_threshold=100000") > 180


def test_what_the_user_has_set_stays():
    code = f"from seq2seq.utils.process import prepare; prepare(); import os; print(*(os.environ[name] for name in {list(ENVIRONMENT)}))"
    first, *others = ENVIRONMENT
    asked = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {first: "7"}, capture_output=True, text=True, check=True
    )
    assert asked.stdout.split() == ["7", *(ENVIRONMENT[name] for name in others)]


def test_who_translates_from_python_has_them_too():
    code = f"import os, seq2seq; seq2seq.Translator; print(*(os.environ[name] for name in {list(ENVIRONMENT)}))"
    environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    asked = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert asked.stdout.split() == list(ENVIRONMENT.values())
