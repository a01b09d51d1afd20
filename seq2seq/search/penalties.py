"""What is a hypothesis ranked by, besides its log-probability?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from seq2seq.errors import ConfigError, choose

COVERAGE_FLOOR = 1e-6  # a source position that a window never reached would cost an infinity


def none(length: Any, alpha: float) -> Any:
    """1: the plain log-probability."""
    return length**0


def average(length: Any, alpha: float) -> Any:
    """length^alpha; alpha = 1 is the mean log-probability of a token."""
    return length**alpha


def gnmt(length: Any, alpha: float) -> Any:
    """((5 + length) / 6)^alpha (Wu et al. 2016, eq. 14)."""
    return ((5 + length) / 6) ** alpha


@dataclass(frozen=True)
class Penalty:
    """score = log_prob / divisor(length) + coverage * sum_i log min(sum_t a_ti, 1) (Wu et al. 2016, eq. 14).

    `length` names a row of LENGTH_PENALTIES, `alpha` is its power; lengths count EOS. The second term sums over the
    source positions i, a_ti being their attention in step t (that of EOS included); a position's sum counts as at
    least COVERAGE_FLOOR. Raises ConfigError on an unknown name or a negative number."""

    length: str = "average"
    alpha: float = 1.0
    coverage: float = 0.0

    def __post_init__(self) -> None:
        choose(LENGTH_PENALTIES, self.length, "length_penalty")
        for name, value in (("alpha", self.alpha), ("coverage_penalty", self.coverage)):
            if value < 0:
                raise ConfigError(f"{name}={value} is too small: at least 0")

    def __call__(self, log_prob: Tensor, length: int, covered: Tensor | None, mask: Tensor) -> Tensor:
        """log_prob (B, W), covered (B, W, S) attention summed over the steps, mask (B, S) -> scores (B, W).

        A hypothesis without any token or EOS is not charged for what it does not cover."""
        score = self.bound(log_prob, max(length, 1))
        if covered is None or length == 0:
            return score
        missed = covered.clamp(COVERAGE_FLOOR, 1).log().masked_fill(~mask[:, None], 0)
        return score + self.coverage * missed.sum(-1)

    def bound(self, log_prob: Tensor, length: int | Tensor) -> Tensor:
        """The best score that can come of `log_prob`, which only falls, in at most `length` steps."""
        divisor: int | float | Tensor = LENGTH_PENALTIES[self.length](length, self.alpha)
        return log_prob / divisor


LENGTH_PENALTIES: dict[str, Callable[[Any, float], Any]] = {"none": none, "average": average, "gnmt": gnmt}
NO_PENALTY = Penalty("none")
