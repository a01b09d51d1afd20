"""What a batched search has chosen at each step, and how hypotheses are read from it by following back-pointers.

Nothing that was recorded is moved later: hypotheses are numbered over the batch, as they were at their step, and each
points to the one of the step before that it continues.

Shapes: B sentences in the batch at a step, W hypotheses of each, S source positions, N hypotheses that have ended.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .hypothesis import Hypothesis
from .interface import Floats, Ints


class HistoryStep(NamedTuple):
    """The hypotheses that one step added."""

    token: Ints  # (B, W) in the numbering of the output
    parent: Ints  # (B, W) the number of the one that it continues, among the B * W' of the step before
    log_prob: Floats  # (B, W) of token


class EndedHypotheses(NamedTuple):
    """N hypotheses that have ended: all (N,)."""

    sentence: Ints
    slot: Ints  # its number among the W hypotheses of its sentence
    length: Ints  # tokens without EOS
    number: Ints  # among all hypotheses of the batch that had this length
    score: Floats
    log_prob: Floats
    eos_log_prob: Floats  # of EOS, if finished
    finished: Ints  # bool: by EOS

    def select(self, rows: Ints) -> "EndedHypotheses":
        """Keep or reorder them."""
        parts: list[Any] = [part[rows] for part in self]
        return EndedHypotheses(*parts)


class History:
    """The steps of a search and its hypotheses that have ended."""

    def __init__(self) -> None:
        self.steps: list[HistoryStep] = []
        self.weights: list[Floats] = []  # (B * W', S) of each step: attention of the hypotheses that it continued
        self.ended: list[EndedHypotheses] = []

    def end(
        self,
        sentence: Ints,
        slot: Ints,
        number: Ints,
        *,
        score: Floats,
        log_prob: Floats,
        eos_log_prob: Floats | None,
    ) -> None:
        """Record that N hypotheses of the last step have ended; eos_log_prob (N,): None if they did so without EOS."""
        length = np.full_like(number, len(self.steps))
        finished = np.full(number.shape, eos_log_prob is not None)
        eos = log_prob if eos_log_prob is None else eos_log_prob
        self.ended.append(EndedHypotheses(sentence, slot, length, number, score, log_prob, eos, finished))

    def select(self, sentences: Ints) -> None:
        """Keep the sentences (B',) of the last step, to which the next will point."""
        parts: list[Any] = [part[sentences] for part in self.steps[-1]]
        self.steps[-1] = HistoryStep(*parts)

    def all_ended(self) -> EndedHypotheses:
        """All hypotheses that have ended."""
        return EndedHypotheses(*(np.concatenate(parts) for parts in zip(*self.ended, strict=True)))

    def hypotheses(self, ended: EndedHypotheses, sizes: Ints, ids: Ints | None) -> list[Hypothesis]:
        """The hypotheses `ended`, followed back to the first step.

        sizes (B,): source positions of each sentence, which attention is cut to
        ids: the id of the vocabulary for each one of the output; None: they are the same"""
        order = np.argsort(-ended.length, kind="stable")  # those that still have tokens at a step come first
        table = self._backtrace(ended.select(order))
        tokens = (table.tokens if ids is None else ids[table.tokens]).tolist()
        log_probs = table.log_probs.tolist()
        rows = np.argsort(order).tolist()
        fields = zip(*(part.tolist() for part in ended), rows, strict=True)
        found = []
        for sentence, _, length, _, score, log_prob, _, finished, row in fields:
            stop = length + finished
            attention = None if table.weights is None else table.weights[row, :stop, : sizes[sentence]].copy()
            found.append(Hypothesis(tokens[row][:length], score, log_prob, log_probs[row][:stop], finished, attention))
        return found

    def _backtrace(self, ended: EndedHypotheses) -> "_Table":
        """The steps of the hypotheses, whose lengths fall."""
        longest = int(ended.length[0])
        tokens = np.zeros((len(ended.length), longest), np.int64)
        log_probs = np.zeros((len(ended.length), longest + 1), ended.log_prob.dtype)
        weights = None
        if self.weights:
            weights = np.zeros((*log_probs.shape, self.weights[0].shape[1]), self.weights[0].dtype)
        number = ended.number.copy()
        at_least = np.searchsorted(-ended.length, -np.arange(longest + 2), side="right").tolist()
        for t in range(longest, -1, -1):
            longer = at_least[t + 1]
            if longer:
                step, at = self.steps[t], number[:longer]
                tokens[:longer, t], log_probs[:longer, t] = step.token.take(at), step.log_prob.take(at)
                number[:longer] = step.parent.take(at)
            if weights is not None:
                weights[: at_least[t], t] = self.weights[t][number[: at_least[t]]]
        log_probs[np.arange(len(number)), ended.length] = ended.eos_log_prob
        return _Table(tokens, log_probs, weights)


class _Table(NamedTuple):
    """The steps of N hypotheses, the longest of which has t tokens."""

    tokens: Ints  # (N, t)
    log_probs: Floats  # (N, t + 1), that of EOS after the last token
    weights: Floats | None  # (N, t + 1, S)


def of_each_sentence(ended: EndedHypotheses, found: Sequence[Hypothesis], sentences: int) -> list[list[Hypothesis]]:
    """The hypotheses of each of so many sentences, in their order."""
    groups: list[list[Hypothesis]] = [[] for _ in range(sentences)]
    for sentence, hypothesis in zip(ended.sentence.tolist(), found, strict=True):
        groups[sentence].append(hypothesis)
    return groups
