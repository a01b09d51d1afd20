"""How do scores become a context? Score, narrow, normalise, mix; the parts are in scorers.py and windows.py."""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.errors import ConfigError
from seq2seq.nn.attention.normalizers import Normalizer, softmax
from seq2seq.nn.attention.scorers import Cached, Covered, Product, Scorer
from seq2seq.nn.attention.windows import View, Window
from seq2seq.nn.ops.scan import Plain

SHORT, FEW = 256, 2  # source positions, sentences


class Attended(NamedTuple):
    """What attention gives back for T steps."""

    context: Tensor  # (B, T, M)
    weights: Tensor  # (B, T, S), zero on padding; the mean of several heads
    maps: Tensor | None = None  # (B, T, heads, S) of several heads


def weigh(scores: Tensor, view: View, normalize: Normalizer) -> Tensor:
    """Scores and view of (..., T, S) -> weights, zero wherever the view does not allow; float32 at least."""
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    weights = normalize(scores.masked_fill(~view.allowed, torch.finfo(scores.dtype).min))
    if view.gain is None:
        return weights
    weights = weights * view.gain
    return weights / weights.sum(-1, keepdim=True) if view.renormalize else weights


def fused_pays(keys: Tensor) -> bool:
    """Whether one kernel for scores, softmax and mixing of (B, ..., S, d) is faster than three: on the processor only if S is
    large, or B so small that calling them takes longer than what they do."""
    return not keys.is_cpu or torch.compiler.is_compiling() or keys.size(-2) > SHORT or len(keys) <= FEW


class Attention(nn.Module):
    """Composes a scorer, a window and a normaliser; with `coverage` the scorer also sees what was attended before."""

    def __init__(self, scorer: Scorer, window: Window, normalize: Normalizer = softmax, coverage: bool = False) -> None:
        super().__init__()
        self.scorer, self.window, self.normalize = scorer, window, normalize
        if coverage and "coverage" not in scorer.uses:
            raise ConfigError(
                f"model.attention.coverage=true would be ignored: the {type(scorer).__name__.lower()} score has no place for it"
            )
        self.direction = nn.Parameter(torch.randn(scorer.key_size) * scorer.key_size**-0.5) if coverage else None

    def cache(self, states: Tensor) -> Cached:
        """(B, S, M) -> what the scorer wants to compute once per source."""
        return self.scorer.cache(states)

    def forward(
        self,
        query: Tensor,
        states: Tensor,
        cached: Cached,
        mask: Tensor,
        step: Tensor,
        covered: Tensor | None = None,
        by: Plain | None = None,
    ) -> Attended:
        """query (B, T, Q), states (B, S, M), mask (B, S), step (B, T); covered (B, T, S), read only with coverage.

        `by`: how to multiply, in a loop over time."""
        by = by or Plain()
        before = None if self.direction is None or covered is None else Covered(covered, self.direction)
        score = partial(self.scorer, by=by) if isinstance(self.scorer, Product) else self.scorer
        weights = weigh(score(query, cached, before), self.window(query, step, mask), self.normalize)
        return Attended(by.mix(weights.to(states.dtype), states), weights)
