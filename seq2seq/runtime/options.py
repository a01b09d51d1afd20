"""Checks of the search options that the NumPy search and the batched search share."""

from .errors import ConfigError


def check_beam(beam: int, n_best: int) -> None:
    """Raise ConfigError unless 1 <= n_best <= beam."""
    if not 1 <= n_best <= beam:
        raise ConfigError(f"n_best={n_best} does not fit beam={beam}: at least 1 and at most the beam")


def check_sampling(samples: int, temperature: float, top_k: int, top_p: float) -> None:
    """Raise ConfigError unless samples >= 1, temperature > 0, top_k >= 0 and 0 < top_p <= 1."""
    if samples < 1 or temperature <= 0 or top_k < 0 or not 0 < top_p <= 1:
        values = f"samples={samples}, temperature={temperature}, top_k={top_k}, top_p={top_p}"
        raise ConfigError(f"{values}: samples >= 1, temperature > 0, top_k >= 0 and 0 < top_p <= 1 must hold")
