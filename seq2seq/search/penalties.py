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


def missed(covered: Tensor, mask: Tensor) -> Tensor:
    """sum_i -log min(c_i, 1): what was not attended to (Wu et al. 2016, eq. 14). c_i counts as at least COVERAGE_FLOOR."""
    return -covered.clamp(COVERAGE_FLOOR, 1).log().masked_fill(~mask[:, None], 0).sum(-1)


def repeated(covered: Tensor, mask: Tensor) -> Tensor:
    """sum_i max(c_i, 1) - 1: what was attended to more than once (Gehrmann et al. 2018, its coverage penalty)."""
    return (covered - 1).clamp(min=0).masked_fill(~mask[:, None], 0).sum(-1)


@dataclass(frozen=True)
class Penalty:
    """score = log_prob / divisor(length) - coverage * charge(c), c_i = sum_t a_ti the attention to source position i.

    `length` names a row of LENGTH_PENALTIES, `alpha` is its power; lengths count EOS. `kind` names a row of
    COVERAGE_PENALTIES, which take c (B, W, S), that of EOS included, and the mask (B, S), and charge (B, W), never below 0.
    Raises ConfigError on an unknown name or a negative number."""

    length: str = "average"
    alpha: float = 1.0
    coverage: float = 0.0
    kind: str = "gnmt"

    def __post_init__(self) -> None:
        choose(LENGTH_PENALTIES, self.length, "length_penalty")
        choose(COVERAGE_PENALTIES, self.kind, "coverage_penalty_kind")
        for name, value in (("alpha", self.alpha), ("coverage_penalty", self.coverage)):
            if value < 0:
                raise ConfigError(f"{name}={value} is too small: at least 0")

    def __call__(self, log_prob: Tensor, length: int, covered: Tensor | None, mask: Tensor) -> Tensor:
        """log_prob (B, W), covered (B, W, S) attention summed over the steps, mask (B, S) -> scores (B, W).

        A hypothesis without any token or EOS is not charged for what it does not cover."""
        score = self.bound(log_prob, max(length, 1))
        if covered is None or length == 0:
            return score
        return score - self.coverage * COVERAGE_PENALTIES[self.kind](covered, mask)

    def bound(self, log_prob: Tensor, length: int | Tensor) -> Tensor:
        """The best score that can come of `log_prob`, which only falls, in at most `length` steps."""
        divisor: int | float | Tensor = LENGTH_PENALTIES[self.length](length, self.alpha)
        return log_prob / divisor


LENGTH_PENALTIES: dict[str, Callable[[Any, float], Any]] = {"none": none, "average": average, "gnmt": gnmt}
COVERAGE_PENALTIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"gnmt": missed, "summary": repeated}
NO_PENALTY = Penalty("none")
