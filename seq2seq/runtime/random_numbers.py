"""Random numbers that depend on a seed and a position alone, the same for every batch and order of draws."""

from typing import Any

UINT64_MAX = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15  # the increment of SplitMix64: 2^64 divided by the golden ratio, odd


def splitmix64(x: Any) -> Any:
    """The output function of SplitMix64 (Steele et al. 2014), of an integer or a uint64 array."""
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & UINT64_MAX
    x = (x ^ x >> 27) * 0x94D049BB133111EB & UINT64_MAX
    return x ^ x >> 31


def uniform_number(seed: Any, step: int, number: Any) -> Any:
    """A random number in [0, 1), a multiple of 2^-48; seed and number may be uint64 arrays, which are broadcast.

    It is output (step << 32) + number of the SplitMix64 generator whose state is splitmix64(seed + GAMMA)."""
    counter = (step << 32) + 1 + number
    return (splitmix64(splitmix64(seed + GAMMA & UINT64_MAX) + counter * GAMMA & UINT64_MAX) >> 16) * 2.0**-48
