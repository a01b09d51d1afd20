"""Attention of a decoder to a source: score, narrow to a window, normalize, mix.

The parts are in scorers.py, windows.py and normalizers.py. B sentences, T target steps (one, all, or the W hypotheses
of a sentence), S source positions, Q query size, M memory size.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from seq2seq.errors import ConfigError
from seq2seq.nn.attention.normalizers import Normalizer, softmax
from seq2seq.nn.attention.scorers import Coverage, Scorer
from seq2seq.nn.attention.windows import Everywhere, View, Window
from seq2seq.nn.interface import Cached
from seq2seq.nn.ops.linear import mix


class Source(Protocol):
    """What attention reads of the source: `SourceMemory`, or the `Memory` of an encoder-decoder."""

    @property
    def states(self) -> Tensor:
        """(B, S, M)."""
        ...

    @property
    def mask(self) -> Tensor:
        """(B, S) bool, True on tokens."""
        ...

    @property
    def cached(self) -> Cached:
        """What the scorer computed of the states."""
        ...


class SourceMemory(NamedTuple):
    """The source for attention alone, made once per source by `Attention.remember`."""

    states: Tensor  # (B, S, M)
    mask: Tensor  # (B, S) bool, True on tokens
    cached: Cached


class AttentionOutput(NamedTuple):
    """The result of attention for T steps."""

    context: Tensor  # (B, T, M)
    weights: Tensor  # (B, T, S), zero on padding; the mean over several heads
    maps: Tensor | None = None  # (B, T, heads, S) of several heads


def attention_weights(scores: Tensor, view: View, normalize: Normalizer) -> Tensor:
    """Scores and view of (..., T, S) -> weights in float32 at least, zero on positions outside the view."""
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    weights = normalize(scores.masked_fill(~view.allowed, torch.finfo(scores.dtype).min))
    if view.gain is None:
        return weights
    weights = weights * view.gain
    return weights / weights.sum(-1, keepdim=True) if view.renormalize else weights


class Attention(nn.Module):
    """Attention with any scorer, window and normalizer. With `coverage` the score also depends on the attention of the
    steps before  (Tu et al. 2016; See et al. 2017, eq. 11).

    Raises ConfigError for coverage with a score that has no place for it."""

    def __init__(
        self, scorer: Scorer, window: Window | None = None, normalize: Normalizer = softmax, coverage: bool = False
    ) -> None:
        """window: None sees every position."""
        super().__init__()
        self.scorer, self.window, self.normalize = scorer, window or Everywhere(scorer.sizes.query), normalize
        if coverage and "coverage" not in scorer.uses:
            name = type(scorer).__name__.lower()
            raise ConfigError(f"model.attention.coverage=true would be ignored: the {name} score has no place for it")
        self.direction = nn.Parameter(torch.randn(scorer.key_size) * scorer.key_size**-0.5) if coverage else None

    def cache(self, states: Tensor) -> Cached:
        """States (B, S, M) -> what the scorer computes once per source."""
        return self.scorer.cache(states)

    def remember(self, states: Tensor, mask: Tensor | None = None) -> SourceMemory:
        """States (B, S, M), and their mask (B, S) bool, True on tokens, None: all -> the source as `forward` reads it.

        Raises ValueError for shapes that do not fit."""
        return remember(self, states, mask, self.scorer.sizes.memory)

    def forward(
        self, query: Tensor, memory: Source, step: Tensor | None = None, covered: Tensor | None = None
    ) -> AttentionOutput:
        """query (B, T, Q), step (B, T) the number of each step, None: 0 .. T - 1, covered (B, T, S) the sum of the
        weights of the steps before, read only with coverage.

        Raises ValueError for shapes that do not fit."""
        check_shapes(query, step, memory.mask, self.scorer.sizes.query)
        step = step_numbers(query) if step is None else step
        coverage = None if self.direction is None or covered is None else Coverage(covered, self.direction)
        view = self.window(query, step, memory.mask)
        weights = attention_weights(self.scorer(query, memory.cached, coverage), view, self.normalize)
        return AttentionOutput(mix(weights.to(memory.states.dtype), memory.states), weights)


class CachesStates(Protocol):
    """An attention that computes once per source what it reads of the states."""

    def cache(self, states: Tensor) -> Cached:
        """States (B, S, M) -> keys, and values of several heads."""
        ...


def remember(attention: CachesStates, states: Tensor, mask: Tensor | None, size: int) -> SourceMemory:
    """States (B, S, M) and their mask -> the source as `attention` reads it; ValueError for shapes that do not fit."""
    if states.dim() != 3 or states.size(-1) != size:
        raise ValueError(f"states have shape {tuple(states.shape)}, where (sentences, positions, {size}) is expected")
    if mask is None:
        mask = torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
    if mask.shape != states.shape[:2] or mask.dtype != torch.bool:
        found = f"{mask.dtype} of shape {tuple(mask.shape)}"
        raise ValueError(f"the mask is {found}, where torch.bool of {tuple(states.shape[:2])} is expected")
    return SourceMemory(states, mask, attention.cache(states))


def step_numbers(query: Tensor) -> Tensor:
    """0 .. T - 1 for each sentence of a query (B, T, Q) -> (B, T)."""
    return torch.arange(query.size(1), device=query.device).expand(query.shape[:2])


def check_shapes(query: Tensor, step: Tensor | None, mask: Tensor, size: int) -> None:
    """Raise ValueError unless query (B, T, size) and step (B, T), if any, fit the mask (B, S); not while tracing."""
    if torch.compiler.is_compiling():
        return
    B = mask.size(0)
    if query.dim() != 3 or query.size(0) != B or query.size(2) != size:
        raise ValueError(f"the query has shape {tuple(query.shape)}, where ({B}, steps, {size}) is expected")
    if step is not None and step.shape != query.shape[:2]:
        raise ValueError(f"the step numbers have shape {tuple(step.shape)}, where {tuple(query.shape[:2])} is expected")
