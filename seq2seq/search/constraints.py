"""Constraints on the next token of a hypothesis: forbidden ids, repeated n-grams, a minimum length, a prefix.

Shapes: B sentences, W hypotheses of each, t tokens so far, V ids.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from seq2seq.errors import ConfigError
from seq2seq.ids import BOS, EOS, PAD
from seq2seq.runtime.bounds import SEARCH_BOUNDS

FREE = -1  # in Prefix.tokens: after the end of a sentence's prefix


class Constraint(Protocol):
    """Masks the tokens that may not come next."""

    def __call__(self, scores: Tensor, tokens: Tensor) -> None:
        """Set scores (B, W, V) to -inf in place at ids that may not follow the hypotheses tokens (B, W, t)."""
        ...

    def select(self, sentences: Tensor) -> "Constraint":
        """The constraint for the sentences (B',) that stay in the batch."""
        ...


class ForbiddenTokens(Constraint):
    """Some ids are never generated, such as UNK."""

    def __init__(self, *ids: int) -> None:
        self.ids = ids

    def __call__(self, scores: Tensor, tokens: Tensor) -> None:
        scores[..., list(self.ids)] = -torch.inf

    def select(self, sentences: Tensor) -> "ForbiddenTokens":
        return self


class NoRepeat(Constraint):
    """No n-gram of `size` tokens occurs twice in a hypothesis (Paulus et al. 2018, section 2.5).

    Raises ConfigError if `size` is below 1, or above the bound of search.no_repeat."""

    def __init__(self, size: int) -> None:
        SEARCH_BOUNDS["no_repeat"]._replace(least=1).check("no_repeat", size)
        self.size = size

    def __call__(self, scores: Tensor, tokens: Tensor) -> None:
        length = tokens.shape[-1]
        if length < self.size:
            return
        ngrams = tokens.unfold(-1, self.size, 1)  # (B, W, t - n + 1, n)
        context = tokens[..., length - self.size + 1 :]  # (B, W, n - 1)
        repeats = (ngrams[..., :-1] == context[:, :, None]).all(-1)
        # n-grams that do not match write to PAD, which is never generated anyway
        scores.scatter_(-1, torch.where(repeats, ngrams[..., -1], PAD), -torch.inf)

    def select(self, sentences: Tensor) -> "NoRepeat":
        return self


class MinLength(Constraint):
    """No EOS before `lengths` (B,) tokens."""

    def __init__(self, lengths: Tensor) -> None:
        self.lengths = lengths

    def __call__(self, scores: Tensor, tokens: Tensor) -> None:
        scores[..., EOS].masked_fill_((tokens.shape[-1] < self.lengths)[:, None], -torch.inf)

    def select(self, sentences: Tensor) -> "MinLength":
        return MinLength(self.lengths[sentences])


class Prefix(Constraint):
    """Hypotheses begin with given tokens, even if `constraints` forbid them; after the prefix all `constraints` hold.

    `tokens` (B, P) holds FREE after the end of each prefix."""

    def __init__(self, tokens: Tensor, constraints: Sequence[Constraint]) -> None:
        self.tokens, self.constraints = tokens, constraints

    def forced(self, step: int) -> Tensor:
        """(B,) bool: the token number `step` of the sentence's hypotheses, from 0, is one of its prefix."""
        return (self.tokens[:, step : step + 1] != FREE).any(1)

    def __call__(self, scores: Tensor, tokens: Tensor) -> None:
        step = tokens.shape[-1]
        if step >= self.tokens.shape[1]:
            self._constrain(scores, tokens)
            return
        token = self.tokens[:, step, None, None].expand(*scores.shape[:2], 1)  # (B, W, 1)
        index, forced = token.clamp(min=0), self.forced(step)[:, None, None]
        score = scores.gather(-1, index)
        self._constrain(scores, tokens)
        scores.masked_fill_(forced, -torch.inf)
        scores.scatter_(-1, index, torch.where(forced, score, scores.gather(-1, index)))

    def _constrain(self, scores: Tensor, tokens: Tensor) -> None:
        for constraint in self.constraints:
            constraint(scores, tokens)

    def select(self, sentences: Tensor) -> "Prefix":
        return Prefix(self.tokens[sentences], [constraint.select(sentences) for constraint in self.constraints])


def combine_constraints(
    constraints: Sequence[Constraint],
    min_lengths: Tensor,
    max_lengths: Tensor,
    prefix: Sequence[Sequence[int]] | None,
) -> Prefix:
    """All constraints of a search as one: no PAD, no BOS, `constraints`, minimum lengths (B,) and each sentence's
    prefix.

    Maximum lengths (B,) are not enforced here, only checked. Raises ConfigError on a prefix that holds PAD, BOS or EOS,
    or is longer than the hypothesis may be."""
    prefix = prefix or [[]] * len(min_lengths)
    for number, (ids, longest) in enumerate(zip(prefix, max_lengths.tolist(), strict=True)):
        if {PAD, BOS, EOS} & set(ids):
            raise ConfigError(f"prefix={list(ids)} of sentence {number} holds PAD, BOS or EOS ({PAD}, {BOS}, {EOS})")
        if len(ids) > longest:
            raise ConfigError(f"prefix={list(ids)} of sentence {number} is longer than max_length={longest}")
    width = max(map(len, prefix), default=0)
    padded = [[*ids, *[FREE] * (width - len(ids))] for ids in prefix]
    tokens = torch.tensor(padded, dtype=torch.long, device=min_lengths.device).view(len(prefix), width)
    return Prefix(tokens, [ForbiddenTokens(PAD, BOS), *constraints, MinLength(min_lengths)])
