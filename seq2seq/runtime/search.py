"""Beam search and sampling for one sentence over step functions, in NumPy and without torch.

    step(tokens (N,), state) -> log_probs (N, V), attention weights (N, S) or None, state

for N hypotheses of one sentence, their rows first in every array of the state. Several step functions are an ensemble,
which decodes by the mean of their probabilities. Lengths count tokens without EOS. The rules are those of the batched
search of the toolkit:

* Candidates are ranked by log-probability; ties are broken by the earlier hypothesis, then the lower id.
* Of the best 2 W candidates of a beam of W, EOS among the first W ends its hypothesis; the first W others are the next
  live hypotheses.
* Beam search is done when W hypotheses have ended. It stops when its hypotheses have max_length tokens (after one more
  step, in which those with EOS among the first W end) or when no token is allowed. What has not ended by then ranks
  last.
* Sampling inverts the cumulative distribution at a random number that depends on (seed, step, sample) alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .bounds import SEARCH_BOUNDS
from .errors import ConfigError
from .hypothesis import Hypothesis
from .ids import BOS, EOS, PAD
from .options import check_beam, check_sampling
from .penalties import NO_PENALTIES, Penalties

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
State = dict[str, NDArray]
StepFunction = Callable[[Ints, State], tuple[Floats, Floats | None, State]]

UINT64_MAX = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15  # the increment of SplitMix64: 2^64 divided by the golden ratio, odd


@dataclass(frozen=True)
class Constraints:
    """Constraints on a hypothesis. Raises ConfigError for numbers out of bounds, and if no hypothesis can meet them."""

    max_length: int
    min_length: int = 0
    no_repeat: int = 0  # n-grams of this size never occur twice; 0: they may
    prefix: Sequence[int] = ()  # the first tokens; the other constraints hold after them
    forbidden: Sequence[int] = ()  # ids besides PAD and BOS

    def __post_init__(self) -> None:
        for name in ("max_length", "min_length", "no_repeat"):
            SEARCH_BOUNDS[name]._replace(least=0).check(name, getattr(self, name))
        if not 0 <= self.min_length <= self.max_length or len(self.prefix) > self.max_length:
            raise ConfigError(
                f"min_length={self.min_length}, max_length={self.max_length} and prefix={list(self.prefix)} do not fit"
            )
        if {PAD, BOS, EOS} & set(self.prefix):
            raise ConfigError(f"prefix={list(self.prefix)} holds PAD, BOS or EOS ({PAD}, {BOS}, {EOS})")

    def mask(self, log_probs: Floats, tokens: Sequence[int]) -> Floats:
        """A copy of log_probs (V,) with -inf at ids that may not follow `tokens`."""
        masked = np.full_like(log_probs, -np.inf)
        if len(tokens) < len(self.prefix):
            forced = self.prefix[len(tokens)]
            masked[forced] = log_probs[forced]
            return masked
        forbidden = [PAD, BOS, *self.forbidden, *self.repeated(tokens)]
        if len(tokens) < self.min_length:
            forbidden.append(EOS)
        masked[:] = log_probs
        masked[forbidden] = -np.inf
        return masked

    def repeated(self, tokens: Sequence[int]) -> list[int]:
        """The ids that would complete an n-gram which `tokens` hold already."""
        n = self.no_repeat
        if not n:
            return []
        context = list(tokens[len(tokens) - n + 1 :])
        return [tokens[i + n - 1] for i in range(len(tokens) - n + 1) if list(tokens[i : i + n - 1]) == context]


@dataclass(frozen=True)
class LiveHypothesis:
    """A hypothesis that has not ended."""

    tokens: tuple[int, ...] = ()
    log_prob: float = 0.0
    token_log_probs: tuple[float, ...] = ()
    weights: tuple[Floats, ...] = ()  # attention (S,) of each step, none if the steps give none

    @property
    def last_token(self) -> int:
        """The token to be fed next; BOS before the first step."""
        return self.tokens[-1] if self.tokens else BOS

    def extend(self, token: int, log_prob: float, weights: Floats | None) -> "LiveHypothesis":
        """This one with one more token; EOS counts in the log-probability and is not kept as a token."""
        return LiveHypothesis(
            self.tokens if token == EOS else (*self.tokens, token),
            self.log_prob + log_prob,
            (*self.token_log_probs, log_prob),
            self.weights if weights is None else (*self.weights, weights),
        )

    def end(self, finished: bool, penalties: Penalties) -> Hypothesis:
        """The hypothesis as a result of the search, with its score."""
        covered = np.sum(self.weights, 0, dtype=np.float64) if self.weights else None
        score = float(penalties.score(self.log_prob, len(self.token_log_probs), covered))
        attention = np.stack(self.weights) if self.weights else None
        return Hypothesis(list(self.tokens), score, self.log_prob, list(self.token_log_probs), finished, attention)


class StepEnsemble:
    """Step functions that decode together by their mean probability, with the states of their N hypotheses."""

    def __init__(self, steps: Sequence[StepFunction], states: Sequence[State]) -> None:
        self.steps, self.states = steps, list(states)

    def step(self, tokens: Sequence[int]) -> tuple[Floats, list[Floats | None]]:
        """Logarithm (N, V) of the mean probability, and the mean attention (S,) of each row, or None."""
        ids = np.asarray(tokens, dtype=np.int64)
        outputs = [step(ids, state) for step, state in zip(self.steps, self.states, strict=True)]
        self.states = [state for _, _, state in outputs]
        log_probs = [part for part, _, _ in outputs]
        mean = log_probs[0] if len(outputs) == 1 else np.logaddexp.reduce(np.stack(log_probs)) - np.log(len(outputs))
        weights = [part for _, part, _ in outputs if part is not None]
        return mean, list(np.mean(weights, 0)) if weights else [None] * len(tokens)

    def select(self, rows: Sequence[int]) -> None:
        """Keep, repeat or reorder rows of the states."""
        self.states = [{name: value[list(rows)] for name, value in state.items()} for state in self.states]


def stable_topk(scores: Floats, count: int) -> Ints:
    """Indices of the `count` largest of scores (C,) above -inf, largest first, ties in the order of the indices."""
    cutoff = np.partition(scores, -count)[-count] if count < len(scores) else -np.inf
    index = np.flatnonzero((scores >= cutoff) & (scores > -np.inf))
    return index[np.argsort(-scores[index], kind="stable")][:count]


def beam_search(
    steps: Sequence[StepFunction],
    states: Sequence[State],
    constraints: Constraints,
    *,
    beam: int,
    n_best: int = 1,
    penalties: Penalties = NO_PENALTIES,
) -> list[Hypothesis]:
    """The `n_best` hypotheses found with `beam` live ones, best first; `states` have one row each.

    Raises ConfigError unless 1 <= n_best <= beam."""
    check_beam(beam, n_best)
    ensemble, live, ended = StepEnsemble(steps, states), [LiveHypothesis()], []
    while True:
        log_probs, weights = ensemble.step([one.last_token for one in live])
        total = np.stack(
            [one.log_prob + constraints.mask(row, one.tokens) for one, row in zip(live, log_probs, strict=True)]
        )
        ranked = [divmod(int(place), total.shape[1]) for place in stable_topk(total.ravel(), 2 * beam)]
        by_eos = sorted(parent for parent, token in ranked[:beam] if token == EOS)
        ended += [live[p].extend(EOS, float(log_probs[p, EOS]), weights[p]).end(True, penalties) for p in by_eos]
        onward = [(parent, token) for parent, token in ranked if token != EOS][:beam]
        if not onward or len(live[0].tokens) == constraints.max_length:
            unfinished = [one.end(False, penalties) for p, one in enumerate(live) if p not in by_eos]
            break
        if len(ended) >= beam:
            unfinished = []
            break
        live = [live[p].extend(token, float(log_probs[p, token]), weights[p]) for p, token in onward]
        ensemble.select([p for p, _ in onward])
    return sorted(ended + unfinished, key=lambda one: (not one.finished, -one.score))[:n_best]


def sample(
    steps: Sequence[StepFunction],
    states: Sequence[State],
    constraints: Constraints,
    *,
    seed: int,
    samples: int = 1,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> list[Hypothesis]:
    """`samples` hypotheses drawn at random; their score is their log-probability. `states` have one row each.

    The log-probabilities are divided by `temperature`, then truncated to the `top_k` likeliest ids (0: all), then to
    the smallest set of these with probability `top_p` (Holtzman et al. 2020, eq. 2). Raises ConfigError on options out
    of range."""
    check_sampling(samples, temperature, top_k, top_p)
    ensemble, ended = StepEnsemble(steps, states), {}
    live = {number: LiveHypothesis() for number in range(samples)}
    ensemble.select([0] * samples)
    while live:
        log_probs, weights = ensemble.step([one.last_token for one in live.values()])
        staying = {}
        for row, (number, one) in enumerate(live.items()):
            scores = constraints.mask(log_probs[row] / temperature, one.tokens)
            token = None  # no token is allowed
            if scores.max() > -np.inf:
                u = uniform_number(seed, len(one.tokens), number)
                token = draw_token(truncate_distribution(scores, top_k, top_p), u)
            if token is None or (token != EOS and len(one.tokens) == constraints.max_length):
                ended[number] = one.end(False, NO_PENALTIES)
            elif token == EOS:
                ended[number] = one.extend(EOS, float(log_probs[row, EOS]), weights[row]).end(True, NO_PENALTIES)
            else:
                staying[row] = (number, one.extend(token, float(log_probs[row, token]), weights[row]))
        ensemble.select(list(staying))
        live = dict(staying.values())
    return [ended[number] for number in range(samples)]


def truncate_distribution(scores: Floats, top_k: int, top_p: float) -> Floats:
    """Logits (V,) with -inf outside the `top_k` likeliest ids (0: all) and, of these, past those that reach `top_p`."""
    kept = stable_topk(scores, top_k or len(scores))
    probabilities = np.exp(scores[kept].astype(np.float64) - scores[kept[0]])
    probabilities = probabilities / probabilities.sum()
    if top_p < 1:
        kept = kept[np.cumsum(probabilities) - probabilities < top_p]
    truncated = np.full_like(scores, -np.inf)
    truncated[kept] = scores[kept]
    return truncated


def draw_token(scores: Floats, number: float) -> int:
    """The first id whose cumulative probability, of logits (V,), is above `number`, which is in [0, 1)."""
    cumulative = np.cumsum(np.exp((scores - scores.max()).astype(np.float64)))
    return min(int(np.searchsorted(cumulative, number * cumulative[-1], side="right")), len(scores) - 1)


def splitmix64(x: int) -> int:
    """The output function of SplitMix64 (Steele et al. 2014)."""
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & UINT64_MAX
    x = (x ^ x >> 27) * 0x94D049BB133111EB & UINT64_MAX
    return x ^ x >> 31


def uniform_number(seed: int, step: int, number: int) -> float:
    """A random number in [0, 1), a multiple of 2^-48.

    It is output (step << 32) + number of the SplitMix64 generator whose state is splitmix64(seed + GAMMA)."""
    counter = (step << 32) + 1 + number
    return (splitmix64(splitmix64(seed + GAMMA & UINT64_MAX) + counter * GAMMA & UINT64_MAX) >> 16) * 2.0**-48
