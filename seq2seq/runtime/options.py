"""Search options: checks, length limits and seeds, shared by the NumPy search and the batched search."""

from collections.abc import Sequence

from .bounds import SEARCH_BOUNDS
from .errors import ConfigError

MIN_DONE_SHARE = 0.25  # finished sentences leave when they are this share of the batch: each removal copies the memory


def check_options(**options: float) -> None:
    """Raise ConfigError for the first option of a search that is outside its SEARCH_BOUNDS."""
    for name, value in options.items():
        SEARCH_BOUNDS[name].check(name, value)


def check_beam(beam: int, n_best: int) -> None:
    """Raise ConfigError for a beam out of bounds, and unless 1 <= n_best <= beam."""
    check_options(beam=beam)
    if not 1 <= n_best <= beam:
        raise ConfigError(f"n_best={n_best} does not fit beam={beam}: at least 1 and at most the beam")


def check_sampling(samples: int, temperature: float, top_k: int, top_p: float) -> None:
    """Raise ConfigError for the first of these options that is out of bounds."""
    check_options(samples=samples, temperature=temperature, top_k=top_k, top_p=top_p)


def length_limits(
    source_length: int, *, min_length: int, max_length: int, min_ratio: float, max_ratio: float
) -> tuple[int, int]:
    """The minimum and maximum number of target tokens for a source of `source_length` tokens, all without EOS.

    Ratios are target tokens per source token; max_ratio allows 10 more. A minimum above that overrides it, and nothing
    exceeds max_length."""
    least = min(max(min_length, int(min_ratio * source_length)), max_length)
    most = min(int(max_ratio * source_length) + 10, max_length)
    return least, max(least, most)


def sentence_seed(ids: Sequence[int], seed: int) -> int:
    """A hash of the source ids and `seed`, so that samples depend neither on the batch nor on the order of lines."""
    value = seed
    for i in ids:
        value = (value * 1000003 + i + 1) % 2**61
    return value
