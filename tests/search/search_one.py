"""Beam search and sampling for one sentence over step functions, in NumPy: the plain twin of both batched searches.

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

from seq2seq.runtime.constraints import Constraints
from seq2seq.runtime.hypothesis import Hypothesis
from seq2seq.runtime.ids import BOS, EOS
from seq2seq.runtime.interface import Floats, Ints
from seq2seq.runtime.options import check_beam, check_sampling
from seq2seq.runtime.penalties import NO_PENALTIES, Penalties
from seq2seq.runtime.random_numbers import uniform_number
from seq2seq.runtime.topk import stable_topk

State = dict[str, NDArray]
StepFunction = Callable[[Ints, State], tuple[Floats, Floats | None, State]]


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
        values, places = stable_topk(total.ravel(), 2 * beam)
        ranked = [divmod(int(place), total.shape[1]) for place in places[values > -np.inf]]
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
    values, kept = stable_topk(scores, top_k or len(scores))
    kept = kept[values > -np.inf]
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
