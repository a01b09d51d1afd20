"""Constraints on the next token of a hypothesis: of one sentence, and of the sentences of a batch as arrays.

Shapes: B sentences, W hypotheses of each, t tokens so far, F ids that may not come, V ids.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .bounds import SEARCH_BOUNDS
from .errors import ConfigError
from .ids import BOS, EOS, PAD
from .interface import Floats, Ints

FREE = -1  # in BatchConstraints.prefix: after the end of a sentence's prefix
BOUNDS = {name: SEARCH_BOUNDS[name]._replace(least=0) for name in ("max_length", "min_length", "no_repeat")}


@dataclass(frozen=True)
class Constraints:
    """Constraints on a hypothesis. Raises ConfigError for numbers out of bounds, and if no hypothesis can meet them."""

    max_length: int
    min_length: int = 0
    no_repeat: int = 0  # n-grams of this size never occur twice; 0: they may
    prefix: Sequence[int] = ()  # the first tokens; the other constraints hold after them
    forbidden: Sequence[int] = ()  # ids besides PAD and BOS

    def __post_init__(self) -> None:
        for name, bounds in BOUNDS.items():
            bounds.check(name, getattr(self, name))
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


class BatchConstraints:
    """The constraints of B sentences, and of their hypotheses what these depend on."""

    def __init__(self, constraints: Sequence[Constraints], renumber: Callable[[Ints], Ints]) -> None:
        """renumber: ids of the vocabulary -> those of the model's output, PAD for what it lacks."""
        self.min_lengths = np.array([one.min_length for one in constraints])  # (B,)
        self.max_lengths = np.array([one.max_length for one in constraints])  # (B,)
        self.no_repeat = np.array([one.no_repeat for one in constraints])  # (B,)
        self.prefix = padded([one.prefix for one in constraints], FREE)  # (B, P)
        self.prefix = np.where(self.prefix == FREE, FREE, renumber(self.prefix.clip(0)))
        self.never = renumber(padded([(PAD, BOS, *one.forbidden) for one in constraints], PAD))  # (B, F)
        self.length = 0  # t
        self.tokens = np.zeros((len(constraints), 1, 0), np.int64) if self.no_repeat.any() else None  # (B, W, t)
        self._constant: Ints | None = None  # `forbidden` of the last step, if it depends on W alone

    def forced(self) -> Ints | None:
        """(B,) the next token of each sentence that has one, else FREE; None if none has."""
        if self.length >= self.prefix.shape[1]:
            return None
        return self.prefix[:, self.length]

    def forbidden(self, width: int) -> Ints:
        """(B, W, F) the ids that may not follow the hypotheses, W = width, padded with PAD."""
        early, forced = self.length < self.min_lengths, self.forced()
        constant = forced is None and self.tokens is None and not early.any()
        if constant and self._constant is not None and self._constant.shape[1] == width:
            return self._constant
        columns = [self.never]
        if early.any():
            columns.append(np.where(early, EOS, PAD)[:, None])
        ids = np.concatenate(columns, 1)
        found = np.repeat(ids[:, None], width, 1)
        if self.tokens is not None:
            found = np.concatenate([found, *self._repeated(self.tokens)], 2)
        if forced is not None:
            found[forced != FREE] = PAD  # a prefix may hold what is forbidden after it
        self._constant = found if constant else None
        return found

    def _repeated(self, tokens: Ints) -> list[Ints]:
        """(B, W, F) for each n: the ids that would complete an n-gram which tokens (B, W, t) hold already, else PAD."""
        found = []
        for n in sorted({*self.no_repeat.tolist()} - {0}):
            starts = self.length - n + 1  # of n-grams
            if starts < 1:
                continue
            repeats = np.broadcast_to((self.no_repeat == n)[:, None, None], (*tokens.shape[:2], starts))
            for i in range(n - 1):
                repeats = repeats & (tokens[..., i : i + starts] == tokens[..., starts + i, None])
            ids = np.where(repeats, tokens[..., n - 1 :], PAD)
            most = repeats.sum(2).max(initial=0)
            found.append(np.sort(ids, axis=2)[..., ids.shape[2] - most :])  # PAD is the lowest id
        return found

    def extend(self, tokens: Ints, parents: Ints) -> None:
        """The hypotheses have one more token, tokens (B, W), and continue parents (B, W) of those before."""
        self.length += 1
        if self.tokens is not None:
            before = np.take_along_axis(self.tokens, parents[..., None], 1)
            self.tokens = np.concatenate((before, tokens[..., None]), 2)

    def select(self, sentences: Ints) -> None:
        """Keep the sentences (B',)."""
        for name in ("min_lengths", "max_lengths", "no_repeat", "prefix", "never"):
            setattr(self, name, getattr(self, name)[sentences])
        self.tokens = None if self.tokens is None else self.tokens[sentences]
        self._constant = None


def padded(rows: Sequence[Sequence[int]], value: int) -> Ints:
    """Rows of ids as one int64 array (B, longest), padded with `value` on the right."""
    longest = max(map(len, rows), default=0)
    return np.array([[*row, *[value] * (longest - len(row))] for row in rows], np.int64).reshape(len(rows), longest)
