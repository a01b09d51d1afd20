"""Batched beam search without torch over any ExportedModel, or an ensemble; finished sentences leave the batch.

The rules are those of the search with torch. At each step the candidates of a sentence are the 2 W likeliest
continuations of each of its W live hypotheses, which hold the best 2 W of all continuations. They are ranked by
log-probability, ties by the lower hypothesis, then the likelier id (two sums may be equal only by rounding), then the
lower one. Of the best 2 W candidates

* EOS among the first W ends its hypothesis;
* the first W others are the next live hypotheses.

A sentence is done when W hypotheses have ended, when its live ones have max_length tokens (one more step has shown
whether EOS is among the first W), or when no token is allowed. Hypotheses that have not ended by then rank after all
that have. It is also done when no live hypothesis can reach the n_best any more.

Shapes: B sentences still in the batch, W live hypotheses of each (1 before the first step), K next ids of each, S
source positions, E hypotheses that end at a step.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .batch_search import BatchSearch
from .constraints import Constraints
from .history import EndedHypotheses, HistoryStep
from .hypothesis import Hypothesis
from .ids import EOS, PAD
from .interface import ExportedModel, Floats, Ints, Step
from .options import check_beam
from .penalties import NO_PENALTIES, Penalties
from .shortlist import TranslationTable


class BatchBeamSearch(BatchSearch):
    """The live hypotheses of a batch, and those that have ended."""

    def __init__(self, *inputs: Any, beam: int, n_best: int, penalties: Penalties, **options: Any) -> None:
        check_beam(beam, n_best)
        super().__init__(*inputs, count=2 * beam, reads_weights=penalties.coverage > 0, **options)
        self.beam, self.n_best, self.penalties = beam, n_best, penalties
        batch = len(self.sentences)
        self.log_prob: Floats = np.zeros((batch, 1), np.float32)  # (B, W), -inf: not alive
        self.covered: Floats | None = None  # (B, W, S) attention summed over the steps, if it counts
        self.num_ended = np.zeros(batch, np.int64)  # (B,) hypotheses that have ended by EOS
        self.best_ended = np.full((batch, n_best), -np.inf)  # (B, n_best) the highest of their scores, ascending

    def advance(self, step: Step) -> HistoryStep:
        scores, ids = self.candidates_of(step)
        batch, width, count = scores.shape
        total = (scores + self.log_prob[..., None]).reshape(batch, width * count)
        if np.isnan(total.sum()):  # without probabilities, which must not look like no allowed token
            total[np.isnan(total).any(1)] = np.nan
        best = self.best(total, ids)
        best = best + np.arange(batch)[:, None] * (width * count)  # numbers among all B * W * K candidates
        is_eos = ids.take(best) == EOS
        ending = best[:, : self.beam][is_eos[:, : self.beam]]
        ending = ending[total.take(ending) != -np.inf]
        if is_eos.any():  # the first W others
            best = np.take_along_axis(best, np.argsort(is_eos, axis=1, kind="stable"), 1)
        best = best[:, : self.beam]
        log_prob, parent = total.take(best), best // count
        covered = self._covered_with(step.weights)
        if len(ending):
            self._end(ending // count, total.take(ending), scores.take(ending), covered)
        self._finish_sentences(ending // count, log_prob.max(1))
        log_prob[self.done] = -np.inf
        self.log_prob = log_prob
        self.covered = None if covered is None else covered[parent]
        return HistoryStep(ids.take(best), parent, scores.take(best))

    def candidates_of(self, step: Step) -> tuple[Floats, Ints]:
        """Log-probabilities and ids (B, W, K) of the continuations, the likeliest of each hypothesis first."""
        return padded_step(step, 2 * self.beam)

    def best(self, total: Floats, ids: Ints) -> Ints:
        """The places (B, 2 W) of the best among total (B, W K), of ids (B, W, K), in the order in which they are
        taken."""
        return np.argsort(-total, axis=1, kind="stable")[:, : 2 * self.beam]

    def _covered_with(self, weights: Floats | None) -> Floats | None:
        """(B * W, S) the attention to each source position, that of this step included; None if it does not count."""
        if weights is None or not self.penalties.coverage:
            return None
        return (weights if self.covered is None else self.covered + weights).reshape(-1, weights.shape[2])

    def _end(self, numbers: Ints, log_prob: Floats, eos_log_prob: Floats | None, covered: Floats | None) -> None:
        """The hypotheses `numbers` (E,) of all B * W end, with log-probabilities (E,) and attention covered (B * W, S).

        eos_log_prob (E,) is None if they do so without EOS; otherwise it is included in the others."""
        batch, width = self.log_prob.shape
        rows, slots = np.divmod(numbers, width)
        length = self.length + (eos_log_prob is not None)
        covering = (None, None) if covered is None else (covered[numbers], self.mask[rows])
        score = self.penalties.score(log_prob, length, *covering)
        sentences = self.sentences[rows]
        self.history.end(sentences, slots, numbers, score=score, log_prob=log_prob, eos_log_prob=eos_log_prob)
        if eos_log_prob is not None:
            self.num_ended += np.bincount(rows, minlength=batch)
            new = np.full(batch * width, -np.inf)
            new[numbers] = score
            best = np.concatenate((self.best_ended, new.reshape(batch, width)), 1)
            self.best_ended = np.sort(best, axis=1)[:, -self.n_best :]

    def _finish_sentences(self, ended: Ints, best_log_prob: Floats) -> None:
        """Mark the sentences that are done, and end the hypotheses that are left of those that cannot go on.

        ended (E,): the hypotheses that end at this step by EOS; best_log_prob (B,) of the next live ones."""
        stops = (self.constraints.max_lengths == self.length) | (best_log_prob == -np.inf)
        if stops.any():
            left = (stops[:, None] & (self.log_prob != -np.inf)).ravel()
            left[ended] = False
            numbers = np.flatnonzero(left)
            covered = None if self.covered is None else self.covered.reshape(left.size, -1)
            self._end(numbers, self.log_prob.take(numbers), None, covered)
        reachable = self.penalties.upper_bound(best_log_prob, self.constraints.max_lengths + 1)
        self.done |= stops | (self.num_ended >= self.beam) | (reachable <= self.best_ended[:, 0])

    def order(self, ended: EndedHypotheses) -> Ints:
        """The n_best of each sentence: finished ones first, then by score, then the earlier."""
        order = np.lexsort((ended.slot, ended.length, -ended.score, ~ended.finished, ended.sentence))
        sentence = ended.sentence[order]
        rank = np.arange(len(order)) - np.searchsorted(sentence, sentence)
        return order[rank < self.n_best]

    def select(self, sentences: Ints) -> None:
        super().select(sentences)
        for name in ("log_prob", "num_ended", "best_ended"):
            setattr(self, name, getattr(self, name)[sentences])
        self.covered = None if self.covered is None else self.covered[sentences]


def padded_step(step: Step, least: int) -> tuple[Floats, Ints]:
    """Scores and ids of a step (B, W, K), with as many of -inf that a sentence has `least` candidates."""
    scores, ids = step.scores, step.ids
    missing = -(-least // scores.shape[1]) - scores.shape[2]
    if missing > 0:
        widths = (0, 0), (0, 0), (0, missing)
        scores, ids = np.pad(scores, widths, constant_values=-np.inf), np.pad(ids, widths, constant_values=PAD)
    return scores, ids


def beam_search(
    models: Sequence[ExportedModel],
    source: Ints,
    constraints: Sequence[Constraints],
    *,
    copy: Ints | None = None,
    shortlist: TranslationTable | None = None,
    beam: int = 5,
    n_best: int = 1,
    penalties: Penalties = NO_PENALTIES,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """The `n_best` hypotheses of each sentence found with `beam` live ones, best first; a beam of 1 is greedy search.

    models: several decode together by their mean probability
    source (B, S): ids of the sentences, EOS, then PAD
    constraints: of each sentence, such as its lengths and prefix, whose tokens count in the scores like all others
    copy (B, S): the target ids that copying each position yields, V + k for the k-th unknown word; None: the same ids
    shortlist: restricts each sentence to likely translations of its tokens
    attention: asks for the attention of each hypothesis

    Each sentence has at least one hypothesis, and fewer than `n_best` only where fewer are possible. Raises ConfigError
    on options and limits that cannot be met."""
    if not len(source):
        return []
    search = BatchBeamSearch(
        models,
        source,
        constraints,
        copy=copy,
        shortlist=shortlist,
        beam=beam,
        n_best=n_best,
        penalties=penalties,
        attention=attention,
    )
    return search.run()
