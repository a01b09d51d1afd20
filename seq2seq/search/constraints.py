"""Which tokens may come next? Rules mask the others.

A rule is called with scores (B, W, V), which it masks in place with -inf, and tokens (B, W, t), the hypotheses so far.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from seq2seq.errors import ConfigError
from seq2seq.ids import BOS, EOS, PAD

NOTHING = -1  # no token is forced here


class Rule(Protocol):
    """Masks what may not come next."""

    def __call__(self, scores: Tensor, tokens: Tensor) -> None: ...

    def select(self, sentences: Tensor) -> "Rule":
        """The rule for the sentences (B',) that stay in the batch."""
        ...


class Never:
    """Some ids are never produced, such as UNK."""

    def __init__(self, *ids: int) -> None:
        self.ids = ids

    def __call__(self, scores: Tensor, tokens: Tensor) -> None:
        scores[..., list(self.ids)] = -torch.inf

    def select(self, sentences: Tensor) -> "Never":
        return self


class NoRepeat:
    """No n-gram of `size` tokens comes twice in a hypothesis (Paulus et al. 2018, section 2.5)."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ConfigError(f"no_repeat={size} is too small: at least 1")
        self.size = size

    def __call__(self, scores: Tensor, tokens: Tensor) -> None:
        length = tokens.shape[-1]
        if length < self.size:
            return
        ngrams = tokens.unfold(-1, self.size, 1)  # (B, W, t - n + 1, n)
        context = tokens[..., length - self.size + 1 :]  # (B, W, n - 1)
        again = (ngrams[..., :-1] == context[:, :, None]).all(-1)
        # PAD is never produced anyway: it takes the writes of n-grams that do not match
        scores.scatter_(-1, torch.where(again, ngrams[..., -1], PAD), -torch.inf)

    def select(self, sentences: Tensor) -> "NoRepeat":
        return self


class MinLength:
    """No EOS before `lengths` (B,) tokens."""

    def __init__(self, lengths: Tensor) -> None:
        self.lengths = lengths

    def __call__(self, scores: Tensor, tokens: Tensor) -> None:
        scores[..., EOS].masked_fill_((tokens.shape[-1] < self.lengths)[:, None], -torch.inf)

    def select(self, sentences: Tensor) -> "MinLength":
        return MinLength(self.lengths[sentences])


class Prefix:
    """Hypotheses begin with given tokens, whatever `rules` say of them; behind these all rules hold.

    `tokens` (B, P) with NOTHING behind the end of each prefix."""

    def __init__(self, tokens: Tensor, rules: Sequence[Rule]) -> None:
        self.tokens, self.rules = tokens, rules

    def __call__(self, scores: Tensor, tokens: Tensor) -> None:
        step = tokens.shape[-1]
        if step >= self.tokens.shape[1]:
            self.free(scores, tokens)
            return
        forced = self.tokens[:, step, None, None].expand(*scores.shape[:2], 1)  # (B, W, 1)
        place, bound = forced.clamp(min=0), forced != NOTHING
        kept = scores.gather(-1, place)
        self.free(scores, tokens)
        scores.masked_fill_(bound, -torch.inf)
        scores.scatter_(-1, place, torch.where(bound, kept, scores.gather(-1, place)))

    def free(self, scores: Tensor, tokens: Tensor) -> None:
        """All rules but the prefix."""
        for rule in self.rules:
            rule(scores, tokens)

    def select(self, sentences: Tensor) -> "Prefix":
        return Prefix(self.tokens[sentences], [rule.select(sentences) for rule in self.rules])


def combine(
    rules: Sequence[Rule], min_length: Tensor, max_length: Tensor, prefix: Sequence[Sequence[int]] | None
) -> Prefix:
    """All that restricts a search as one rule: no PAD, no BOS, `rules`, lengths (B,) and the prefix of each sentence.

    Raises ConfigError on a prefix that holds PAD, BOS or EOS, or is longer than the hypothesis may be."""
    prefix = prefix or [[]] * len(min_length)
    for number, (ids, longest) in enumerate(zip(prefix, max_length.tolist(), strict=True)):
        if {PAD, BOS, EOS} & set(ids):
            raise ConfigError(f"prefix={list(ids)} of sentence {number} holds PAD, BOS or EOS ({PAD}, {BOS}, {EOS})")
        if len(ids) > longest:
            raise ConfigError(f"prefix={list(ids)} of sentence {number} is longer than max_length={longest}")
    width = max(map(len, prefix), default=0)
    padded = [[*ids, *[NOTHING] * (width - len(ids))] for ids in prefix]
    tokens = torch.tensor(padded, dtype=torch.long, device=min_length.device).view(len(prefix), width)
    return Prefix(tokens, [Never(PAD, BOS), *rules, MinLength(min_length)])
