"""Which text lengths are the batches tried on?"""

from collections.abc import Callable

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
