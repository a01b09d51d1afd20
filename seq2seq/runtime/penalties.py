"""Length and coverage penalties: how finished hypotheses are scored. For NumPy arrays and torch tensors alike.

The settings of a search take the names of the penalties from here, so this module imports neither torch nor NumPy.
"""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

from .bounds import SEARCH_BOUNDS
from .errors import choose

COVERAGE_FLOOR = 1e-6  # least coverage of a source position; log(0) of one outside every window would make a score -inf


def no_length_penalty(length: Any, alpha: float) -> Any:
    """1: scores are plain log-probabilities."""
    return length**0


def average_length_penalty(length: Any, alpha: float) -> Any:
    """length^alpha; with alpha = 1 a score is the mean log-probability of a token."""
    return length**alpha


def gnmt_length_penalty(length: Any, alpha: float) -> Any:
    """((5 + length) / 6)^alpha (Wu et al. 2016, eq. 14)."""
    return ((5 + length) / 6) ** alpha


def gnmt_coverage_penalty(covered: Any) -> Any:
    """-log min(c_i, 1) of each source position: it charges for what was not attended to (Wu et al. 2016, eq. 14).

    c_i counts as at least COVERAGE_FLOOR."""
    return -_log(covered.clip(COVERAGE_FLOOR, 1))


def summary_coverage_penalty(covered: Any) -> Any:
    """max(c_i, 1) - 1 of each source position: it charges for repeated attention (Gehrmann et al. 2018)."""
    return (covered - 1).clip(0, None)


def _log(values: Any) -> Any:
    """Natural logarithm of a torch tensor, which has it as a method, or of a NumPy array."""
    if hasattr(values, "log"):
        return values.log()
    import numpy as np

    return np.log(values)


LENGTH_PENALTIES: dict[str, Callable[[Any, float], Any]] = {
    "none": no_length_penalty,
    "average": average_length_penalty,
    "gnmt": gnmt_length_penalty,
}
COVERAGE_PENALTIES: dict[str, Callable[[Any], Any]] = {
    "gnmt": gnmt_coverage_penalty,
    "summary": summary_coverage_penalty,
}


@dataclass(frozen=True)
class Penalties:
    """score = log_prob / length_penalty(length, alpha) - coverage * sum_i coverage_penalty(c_i).

    c_i = sum_t a_ti is the attention to source position i over all steps; lengths count EOS. `length` is an entry of
    LENGTH_PENALTIES, `coverage_kind` one of COVERAGE_PENALTIES. Raises ConfigError on an unknown name or a number
    out of its SEARCH_BOUNDS."""

    length: str = "average"
    _: KW_ONLY
    alpha: float = 1.0  # exponent of the length penalty
    coverage: float = 0.0  # weight of the coverage penalty, beta of Wu et al.
    coverage_kind: str = "gnmt"

    def __post_init__(self) -> None:
        choose(LENGTH_PENALTIES, self.length, "length_penalty")
        choose(COVERAGE_PENALTIES, self.coverage_kind, "coverage_penalty_kind")
        for name, value in (("alpha", self.alpha), ("coverage_penalty", self.coverage)):
            SEARCH_BOUNDS[name].check(name, value)

    def score(self, log_prob: Any, length: int, covered: Any = None, mask: Any = None) -> Any:
        """Scores (...) of hypotheses with log-probabilities log_prob (...) that end with `length` tokens, EOS included.

        covered (..., S) is the attention summed over the steps, None where there is none; mask (..., S) is False at
        padding. A hypothesis without any token or EOS is not charged for what it does not cover."""
        score = self.upper_bound(log_prob, max(length, 1))
        if covered is None or length == 0:
            return score
        return score - self.coverage * self.coverage_charge(covered, mask)

    def upper_bound(self, log_prob: Any, length: Any) -> Any:
        """The best score that a hypothesis can reach in `length` tokens at most; its log-probability only falls."""
        return log_prob / LENGTH_PENALTIES[self.length](length, self.alpha)

    def coverage_charge(self, covered: Any, mask: Any = None) -> Any:
        """Coverage penalty (...) of covered (..., S), at least 0: summed over positions where mask (..., S) is True."""
        charge = COVERAGE_PENALTIES[self.coverage_kind](covered)
        return (charge if mask is None else charge * mask).sum(-1)


NO_PENALTIES = Penalties("none")
