"""Fixtures shared by the tests of `seq2seq.data`."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def lengths() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """`lengths(count, seed)`: source and target lengths of so many pairs, correlated."""

    def draw(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        source = rng.integers(1, 60, count)
        return source, np.maximum(1, source + rng.integers(-9, 10, count))

    return draw


@pytest.fixture(scope="session")
def digest() -> Callable[[str, str], str]:
    """`digest(module, expression)`: the SHA-256 of a value's repr as another process makes it, with its own
    PYTHONHASHSEED."""

    def digest(module: str, expression: str) -> str:
        program = (
            f"import hashlib; from {module} import *; print(hashlib.sha256(repr({expression}).encode()).hexdigest())"
        )
        root = str(Path(__file__).resolve().parents[2])
        environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": root}
        command = [sys.executable, "-c", program]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    return digest
