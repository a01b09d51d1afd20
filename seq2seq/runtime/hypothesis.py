"""What a search returns for one sentence."""

from typing import Any, NamedTuple


class Hypothesis(NamedTuple):
    """One target sentence, found by a search or forced."""

    tokens: list[int]  # ids without BOS and EOS; ids >= V are copied source words
    score: float  # what it is ranked by: the log-probability after length and coverage penalties
    log_prob: float  # sum of token_log_probs, natural logarithm
    token_log_probs: list[float]  # of each token, and of EOS if finished
    finished: bool  # it ended with EOS; False: at the maximum length, or because no token was allowed
    # (steps, S) over the sentence's own S source positions, the step of EOS included; tensor or array
    attention: Any = None
