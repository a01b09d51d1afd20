"""What do the tests of data share?"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def lengths() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Source and target lengths of so many pairs, like each other."""

    def drawn(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        source = rng.integers(1, 60, count)
        return source, np.maximum(1, source + rng.integers(-9, 10, count))

    return drawn


@pytest.fixture(scope="session")
def digests() -> Callable[[str, str], list[str]]:
    """`digests(module, expression)`: the SHA-256 of a value's repr as two processes make it, each with its own seed of
    hashes."""

    def made(module: str, expression: str) -> list[str]:
        program = (
            f"import hashlib; from {module} import *; print(hashlib.sha256(repr({expression}).encode()).hexdigest())"
        )
        root = str(Path(__file__).resolve().parents[2])
        given = [os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": root} for seed in ("1", "2")]
        done = [
            subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, check=True) for env in given
        ]
        return [one.stdout.decode().strip() for one in done]

    return made
