"""The bounds of numbers, shared by settings, options of commands and arguments of the library; those of a search."""

import math
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, NamedTuple

from .errors import ConfigError, quoted

SEEDS = 2**32 - 1  # the largest seed that NumPy takes


class Bounds(NamedTuple):
    """The least and the largest value of a number; of an integer if `least` is one."""

    least: float
    most: float
    why: str = ""  # the reason for the upper bound
    above: bool = False  # whether `least` itself is excluded
    below: bool = False  # whether `most` itself is excluded
    why_least: str = ""  # the reason for the lower bound

    @property
    def integer(self) -> bool:
        """Whether the number is an integer."""
        return isinstance(self.least, int)

    def __str__(self) -> str:
        """`1..1000`, or with an end that is excluded `0..<1`."""
        return f"{'>' if self.above else ''}{plain(self.least)}..{'<' if self.below else ''}{plain(self.most)}"

    def __contains__(self, value: object) -> bool:
        try:
            self.check("", value)
        except ConfigError:
            return False
        return True

    def check(self, name: str, value: Any) -> None:
        """Raise ConfigError, which calls the number `name`, unless `value` is a number within the bounds.

        True and False are no numbers, and 3.0 is no integer."""
        kind: Any = Integral if self.integer else Real
        if isinstance(value, bool) or not isinstance(value, kind):
            raise ConfigError(f"{name}={quoted(value)} is not {'an integer' if self.integer else 'a number'}")
        shown = f"{name}={plain(value)}"
        if not isinstance(value, Integral) and not math.isfinite(value):
            raise ConfigError(f"{shown} is not a finite number")
        if value < self.least or (self.above and value == self.least):
            end, why = f"{'above' if self.above else 'at least'} {plain(self.least)}", self.why_least
            raise ConfigError(f"{shown} is too small: {end}{why and f' ({why})'}")
        if value > self.most or (self.below and value == self.most):
            end = f"{'below' if self.below else 'at most'} {plain(self.most)}"
            raise ConfigError(f"{shown} is too large: {end}{self.why and f' ({self.why})'}")


def plain(value: Any) -> str:
    """A number as it is shown in a message: without a fraction of zero, and a very large one with an exponent."""
    if isinstance(value, Integral):
        return str(value) if abs(int(value)) < 10**30 else f"{Decimal(int(value)):.3e}"
    return str(value).removesuffix(".0")


SEARCH_BOUNDS = {  # settings and arguments of a search -> their bounds
    "beam": Bounds(1, 1000, "memory and time grow with the beam"),
    "alpha": Bounds(0.0, 5.0, "length^alpha must stay a float32"),
    "coverage_penalty": Bounds(0.0, 1000.0),
    "min_length": Bounds(0, 100_000),
    "max_length": Bounds(1, 100_000),
    "max_source": Bounds(1, 1_000_000),
    "min_ratio": Bounds(0.0, 1000.0),
    "max_ratio": Bounds(0.0, 1000.0),
    "no_repeat": Bounds(0, 1000),
    "seed": Bounds(0, SEEDS),
    "temperature": Bounds(1e-6, 1000.0, "all tokens are then equally likely", why_least="greedy search is beam=1"),
    "samples": Bounds(1, 1_000_000),
    "top_k": Bounds(0, 10_000_000),
    "top_p": Bounds(0.0, 1.0, above=True),
    "batch": Bounds(1, 100_000, "sentences of a batch are in memory together"),
    "window": Bounds(1, 10_000_000, "lines of a window are in memory together"),
}
SHORTLIST = Bounds(0, 10_000_000)  # translations of each token; 0: the whole vocabulary
THREADS = Bounds(0, 1024)  # that compute one step; 0: chosen by the work
