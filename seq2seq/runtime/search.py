"""How is one sentence decoded without torch? Beam search and sampling over step functions, in NumPy.

    step(tokens (N,), state) -> log_probs (N, V), attention weights (N, S) or None, state

for N hypotheses of one sentence, their rows first in every array of the state. Several steps are an ensemble: the mean
of their probabilities. Both searches follow these rules, in which length counts tokens without EOS:

* Candidates are ranked by log-probability; of equal ones the earlier hypothesis, then the lower id comes first.
* Of the best 2 W candidates of a beam of W, EOS among the first W ends its hypothesis, the first W others go on.
* The beam is done when W hypotheses have ended. It stops when its hypotheses have max_length tokens (after one more
  step, in which those with EOS among the first W end) or when no token is allowed. What has not ended ranks last.
* Sampling finds a token by inverting the distribution function, with a number that depends on (seed, step, sample) alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seq2seq.errors import ConfigError, choose
from seq2seq.ids import BOS, EOS, PAD

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
State = dict[str, NDArray]
StepFunction = Callable[[Ints, State], tuple[Floats, Floats | None, State]]

COVERAGE_FLOOR = 1e-6  # least attention that a source position counts with
WORD = (1 << 64) - 1


class RuntimeHypothesis(NamedTuple):
    """One target sentence."""

    tokens: list[int]  # without BOS and EOS
    score: float  # what it is ranked by
    log_prob: float  # sum over the tokens, EOS included if finished
    token_log_probs: list[float]
    finished: bool
    attention: Floats | None = None  # (steps, S)


@dataclass(frozen=True)
class TokenLimits:
    """What a hypothesis may be. Raises ConfigError if nothing can."""

    max_length: int
    min_length: int = 0
    no_repeat: int = 0  # n-grams of this size never come twice; 0: they may
    prefix: Sequence[int] = ()  # the first tokens; the other limits hold behind them
    never: Sequence[int] = ()  # ids besides PAD and BOS

    def __post_init__(self) -> None:
        if not 0 <= self.min_length <= self.max_length or len(self.prefix) > self.max_length:
            raise ConfigError(
                f"min_length={self.min_length}, max_length={self.max_length} and prefix={list(self.prefix)} do not fit"
            )
        if {PAD, BOS, EOS} & set(self.prefix):
            raise ConfigError(f"prefix={list(self.prefix)} holds PAD, BOS or EOS ({PAD}, {BOS}, {EOS})")

    def mask(self, log_probs: Floats, tokens: Sequence[int]) -> Floats:
        """log_probs (V,) behind `tokens`, with -inf on what may not come."""
        masked = np.full_like(log_probs, -np.inf)
        if len(tokens) < len(self.prefix):
            forced = self.prefix[len(tokens)]
            masked[forced] = log_probs[forced]
            return masked
        banned = [PAD, BOS, *self.never, *self.repeated(tokens)]
        if len(tokens) < self.min_length:
            banned.append(EOS)
        masked[:] = log_probs
        masked[banned] = -np.inf
        return masked

    def repeated(self, tokens: Sequence[int]) -> list[int]:
        """What would end an n-gram that `tokens` hold already."""
        n = self.no_repeat
        if not n:
            return []
        context = list(tokens[len(tokens) - n + 1 :])
        return [tokens[i + n - 1] for i in range(len(tokens) - n + 1) if list(tokens[i : i + n - 1]) == context]


@dataclass(frozen=True)
class Ranking:
    """score = log_prob / divisor(length with EOS) - coverage * charge(attention to each source position)."""

    length_penalty: str = "none"
    alpha: float = 1.0
    coverage: float = 0.0
    kind: str = "gnmt"

    def __post_init__(self) -> None:
        choose(LENGTH_PENALTIES, self.length_penalty, "length_penalty")
        choose(COVERAGE_PENALTIES, self.kind, "coverage_penalty_kind")

    def score(self, live: "Live", length: int) -> float:
        """The score of a hypothesis that ends with `length` tokens, EOS counted."""
        score = live.log_prob / LENGTH_PENALTIES[self.length_penalty](max(length, 1), self.alpha)
        if self.coverage and live.weights:
            score -= self.coverage * float(COVERAGE_PENALTIES[self.kind](np.sum(live.weights, 0)).sum())
        return score


@dataclass(frozen=True)
class Live:
    """A hypothesis that may go on."""

    tokens: tuple[int, ...] = ()
    log_prob: float = 0.0
    token_log_probs: tuple[float, ...] = ()
    weights: tuple[Floats, ...] = ()

    def plus(self, token: int, log_prob: float, weights: Floats | None) -> "Live":
        """This one with one more token; EOS is counted, not kept."""
        return Live(
            self.tokens if token == EOS else (*self.tokens, token),
            self.log_prob + log_prob,
            (*self.token_log_probs, log_prob),
            self.weights if weights is None else (*self.weights, weights),
        )

    def end(self, finished: bool, ranking: Ranking) -> RuntimeHypothesis:
        """As a result; `attention` only if the steps gave weights."""
        score = ranking.score(self, len(self.token_log_probs))
        attention = np.stack(self.weights) if self.weights else None
        return RuntimeHypothesis(
            list(self.tokens), score, self.log_prob, list(self.token_log_probs), finished, attention
        )


class Voices:
    """Step functions that speak as one, with the states of their hypotheses: one row at first."""

    def __init__(self, steps: Sequence[StepFunction], states: Sequence[State]) -> None:
        self.steps, self.states = steps, list(states)

    def step(self, tokens: Sequence[int]) -> tuple[Floats, list[Floats | None]]:
        """The log-probabilities (N, V) of the mean probability, the mean attention of each row."""
        said = [
            step(np.asarray(tokens, dtype=np.int64), state) for step, state in zip(self.steps, self.states, strict=True)
        ]
        self.states = [state for _, _, state in said]
        log_probs = [part for part, _, _ in said]
        mixed = log_probs[0] if len(said) == 1 else np.logaddexp.reduce(np.stack(log_probs)) - np.log(len(said))
        weights = [part for _, part, _ in said if part is not None]
        return mixed, list(np.mean(weights, 0)) if weights else [None] * len(tokens)

    def select(self, rows: Sequence[int]) -> None:
        """Keep, repeat or reorder rows."""
        self.states = [{name: value[list(rows)] for name, value in state.items()} for state in self.states]


def largest(scores: Floats, count: int) -> Ints:
    """Indices of the `count` largest of scores (C,) above -inf, largest first, of equal ones the lower index first."""
    edge = np.partition(scores, -count)[-count] if count < len(scores) else -np.inf
    index = np.flatnonzero((scores >= edge) & (scores > -np.inf))
    return index[np.argsort(-scores[index], kind="stable")][:count]


def beam_search(
    steps: Sequence[StepFunction],
    states: Sequence[State],
    limits: TokenLimits,
    *,
    beam: int,
    ranking: Ranking,
    n_best: int = 1,
) -> list[RuntimeHypothesis]:
    """The `n_best` hypotheses that `beam` live ones lead to, best first; `states` are of one row each."""
    if not 1 <= n_best <= beam:
        raise ConfigError(f"n_best={n_best} does not fit beam={beam}: at least 1 and at most the beam")
    voices, live, ended = Voices(steps, states), [Live()], []
    while True:
        log_probs, weights = voices.step([one.tokens[-1] if one.tokens else BOS for one in live])
        total = np.stack(
            [one.log_prob + limits.mask(row, one.tokens) for one, row in zip(live, log_probs, strict=True)]
        )
        ranked = [divmod(int(place), total.shape[1]) for place in largest(total.ravel(), 2 * beam)]
        closing = {parent for parent, token in ranked[:beam] if token == EOS}
        ended += [live[p].plus(EOS, float(log_probs[p, EOS]), weights[p]).end(True, ranking) for p in sorted(closing)]
        onward = [(parent, token) for parent, token in ranked if token != EOS][:beam]
        if not onward or len(live[0].tokens) == limits.max_length:
            unfinished = [one.end(False, ranking) for p, one in enumerate(live) if p not in closing]
            break
        if len(ended) >= beam:
            unfinished = []
            break
        live = [live[p].plus(token, float(log_probs[p, token]), weights[p]) for p, token in onward]
        voices.select([p for p, _ in onward])
    return sorted(ended + unfinished, key=lambda one: (not one.finished, -one.score))[:n_best]


def sample(
    steps: Sequence[StepFunction],
    states: Sequence[State],
    limits: TokenLimits,
    *,
    seed: int,
    samples: int = 1,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> list[RuntimeHypothesis]:
    """`samples` hypotheses drawn from the log-probabilities / `temperature`, of the `top_k` likeliest ids (0: all) and of these
    the smallest set with probability `top_p` (Holtzman et al. 2020, eq. 2). Their score is their log-probability."""
    if samples < 1 or temperature <= 0 or top_k < 0 or not 0 < top_p <= 1:
        values = f"samples={samples}, temperature={temperature}, top_k={top_k}, top_p={top_p}"
        raise ConfigError(f"{values}: samples >= 1, temperature > 0, top_k >= 0 and 0 < top_p <= 1 must hold")
    voices, live, ended = Voices(steps, states), {number: Live() for number in range(samples)}, {}
    voices.select([0] * samples)
    while live:
        log_probs, weights = voices.step([one.tokens[-1] if one.tokens else BOS for one in live.values()])
        staying = {}
        for row, (number, one) in enumerate(live.items()):
            scores = limits.mask(log_probs[row] / temperature, one.tokens)
            token = (
                draw(truncate(scores, top_k, top_p), uniform(seed, len(one.tokens), number))
                if scores.max() > -np.inf
                else None
            )
            if token is None or (token != EOS and len(one.tokens) == limits.max_length):
                ended[number] = one.end(False, Ranking())
            elif token == EOS:
                ended[number] = one.plus(EOS, float(log_probs[row, EOS]), weights[row]).end(True, Ranking())
            else:
                staying[row] = (number, one.plus(token, float(log_probs[row, token]), weights[row]))
        voices.select(list(staying))
        live = dict(staying.values())
    return [ended[number] for number in range(samples)]


def truncate(scores: Floats, top_k: int, top_p: float) -> Floats:
    """scores (V,) with -inf on what is not among the `top_k` likeliest, or behind those that reach `top_p`."""
    kept = largest(scores, top_k or len(scores))
    chances = np.exp(scores[kept].astype(np.float64) - scores[kept[0]])
    before = np.cumsum(chances / chances.sum()) - chances / chances.sum()
    kept = kept[before < top_p] if top_p < 1 else kept
    truncated = np.full_like(scores, -np.inf)
    truncated[kept] = scores[kept]
    return truncated


def draw(scores: Floats, number: float) -> int:
    """The first id whose distribution function, of logits (V,), is above `number` times the whole."""
    reached = np.cumsum(np.exp((scores - scores.max()).astype(np.float64)))
    return min(int(np.searchsorted(reached, number * reached[-1], side="right")), len(scores) - 1)


def mix(x: int) -> int:
    """The finaliser of SplitMix64 (Steele et al. 2014)."""
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & WORD
    x = (x ^ x >> 27) * 0x94D049BB133111EB & WORD
    return x ^ x >> 31


def uniform(seed: int, step: int, number: int) -> float:
    """In [0, 1), a multiple of 2^-48: output (step << 32) + number of the generator that starts at mix(seed + gamma)."""
    gamma = 0x9E3779B97F4A7C15
    counter = (step << 32) + 1 + number
    return (mix(mix(seed + gamma & WORD) + counter * gamma & WORD) >> 16) * 2.0**-48


LENGTH_PENALTIES: dict[str, Callable[[int, float], float]] = {
    "none": lambda length, alpha: 1.0,
    "average": lambda length, alpha: length**alpha,
    "gnmt": lambda length, alpha: ((5 + length) / 6) ** alpha,
}

COVERAGE_PENALTIES: dict[str, Callable[[Floats], Floats]] = {
    "gnmt": lambda covered: -np.log(np.clip(covered, COVERAGE_FLOOR, 1)),  # Wu et al. 2016, eq. 14
    "summary": lambda covered: np.maximum(covered - 1, 0),  # Gehrmann et al. 2018
}
