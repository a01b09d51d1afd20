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
def digests() -> Callable[[str, str], list[str]]:
    """`digests(module, expression)`: the SHA-256 of a value's repr as two processes make it, each with another
    PYTHONHASHSEED."""

    def digest(module: str, expression: str) -> list[str]:
        program = (
            f"import hashlib; from {module} import *; print(hashlib.sha256(repr({expression}).encode()).hexdigest())"
        )
        root = str(Path(__file__).resolve().parents[2])
        environments = [os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": root} for seed in ("1", "2")]
        processes = [
            subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, check=True)
            for env in environments
        ]
        return [one.stdout.decode().strip() for one in processes]

    return digest
