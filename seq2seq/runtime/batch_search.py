"""Base class of the batched searches without torch, and their loop; finished sentences leave the batch.

Shapes: B sentences still in the batch, W hypotheses of each (1 before the first step), t tokens so far, S source
positions, K likeliest next ids of each hypothesis.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .constraints import FREE, BatchConstraints, Constraints
from .ensemble import start_decoding
from .errors import ConfigError, counted
from .history import EndedHypotheses, History, HistoryStep, of_each_sentence
from .hypothesis import Hypothesis
from .ids import BOS, EOS, PAD
from .interface import ExportedModel, Ints, Step
from .options import MIN_DONE_SHARE
from .shortlist import TranslationTable


class BatchSearch(ABC):
    """The state of a search between two steps; all arrays have the sentences first.

    Raises ConfigError unless there are Constraints for each sentence, and if they allow more steps than a model can
    take."""

    def __init__(
        self,
        models: Sequence[ExportedModel],
        source: Ints,
        constraints: Sequence[Constraints],
        *,
        copy: Ints | None,
        shortlist: TranslationTable | None,
        attention: bool,
        count: int,
        needed: Sequence[Sequence[int]] | None = None,
        reads_log_probs: bool = False,
        reads_weights: bool = False,
    ) -> None:
        """count: K; needed: ids of each sentence that a shortlist has to hold, besides its prefix; reads_log_probs,
        reads_weights: whether `advance` needs them of each step."""
        if len(constraints) != len(source):
            raise ConfigError(
                f"{counted(len(source), 'sentence')} with the constraints of {len(constraints)}: each needs its own"
            )
        copy = source if copy is None else copy
        self.candidates = candidates = None
        if shortlist is not None:
            given = [[*one.prefix, *more] for one, more in zip(constraints, needed or [()] * len(source), strict=True)]
            self.candidates = candidates = shortlist.candidates(source, copy, given)
        # the id of the vocabulary for each one of the output; None: they are the same
        self.ids = None if candidates is None else candidates.restored
        self.constraints = BatchConstraints(constraints, candidates.renumber if candidates else lambda ids: ids)
        steps = int(self.constraints.max_lengths.max()) + 1
        self.decoding = start_decoding(models, source, copy, candidates, steps)
        self.mask = source_mask(source, models[0].source_end)  # (B, S)
        self.sizes = (source != PAD).sum(1)  # of all sentences, also of those that have left the batch
        self.sentences = np.arange(len(source))  # (B,)
        self.tokens: Ints = np.full((len(source), 1), BOS, np.int64)  # (B, W) the last ones, as ids of the output
        self.parents = np.zeros((len(source), 1), np.int64)  # (B, W) of the step before
        self.done = np.zeros(len(source), bool)  # (B,)
        self.history = History()
        self.count, self.attention = count, attention
        self.reads_log_probs, self.reads_weights = reads_log_probs, reads_weights or attention

    @property
    def length(self) -> int:
        """t."""
        return self.constraints.length

    def forbidden(self, width: int) -> Ints:
        """(B, W, F) the ids that may not follow the hypotheses, W = width, padded with PAD."""
        return self.constraints.forbidden(width)

    @abstractmethod
    def advance(self, step: Step) -> HistoryStep:
        """Extend the hypotheses by one token, and record which of them end and which sentences are done."""

    @abstractmethod
    def order(self, ended: EndedHypotheses) -> Ints:
        """The places of the hypotheses to be returned among all that have ended, those of each sentence in order."""

    def select(self, sentences: Ints) -> None:
        """Keep the sentences (B',)."""
        for name in ("mask", "sentences", "tokens", "parents", "done"):
            setattr(self, name, getattr(self, name)[sentences])
        self.constraints.select(sentences)
        self.history.select(sentences)
        self.decoding.select(sentences)

    def run(self) -> list[list[Hypothesis]]:
        """The hypotheses of each sentence."""
        while (num_done := np.count_nonzero(self.done)) < len(self.done):
            if num_done and num_done >= MIN_DONE_SHARE * len(self.done):
                self.select(np.flatnonzero(~self.done))
            self._step()
        ended = self.history.all_ended()
        ended = ended.select(self.order(ended))
        return of_each_sentence(ended, self.history.hypotheses(ended, self.sizes, self.ids), len(self.sizes))

    def _step(self) -> None:
        """Step the models, and extend the hypotheses."""
        batch, width = self.tokens.shape
        forced = self.constraints.forced()
        step = self.decoding.step(
            self.tokens if self.ids is None else self.ids[self.tokens],
            self.parents,
            self.forbidden(width),
            self.count,
            self.reads_log_probs or forced is not None,
            self.reads_weights,
        )
        if forced is not None:
            step = force(step, forced)
        if self.attention and step.weights is not None:
            self.history.weights.append(step.weights.reshape(batch * width, -1).copy())
        added = self.advance(step)
        self.history.steps.append(added)
        self.tokens, self.parents = added.token, added.parent - width * np.arange(batch)[:, None]
        self.constraints.extend(self.tokens, self.parents)


def source_mask(source: Ints, source_end: bool) -> NDArray[np.bool_]:
    """source (B, S) ids -> (B, S), True on what a model reads, as EncoderDecoder.source_mask in torch.

    Without `source_end` that is not EOS, unless it is alone."""
    mask = source != PAD
    if not source_end:
        mask[:, 1:] &= source[:, 1:] != EOS
    return mask


def force(step: Step, forced: Ints) -> Step:
    """The step with the id `forced` (B,) as the only one of each sentence that has one, which is not FREE."""
    rows = np.flatnonzero(forced != FREE)
    ids, log_probs = forced[rows], step.log_probs
    assert log_probs is not None
    kept = log_probs[rows, :, ids]  # (B', W)
    scores, numbers, log_probs = step.scores.copy(), step.ids.copy(), log_probs.copy()
    scores[rows], log_probs[rows] = -np.inf, -np.inf
    scores[rows, :, 0], numbers[rows, :, 0], log_probs[rows, :, ids] = kept, ids[:, None], kept
    return Step(scores, numbers, log_probs, step.weights)
