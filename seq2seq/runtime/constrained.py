"""Beam search without torch in which every hypothesis that ends holds required terms, by dynamic beam allocation.

The rules are those of the search with torch (Post & Vilar 2018, section 3; Hu et al. 2019). The candidates of a
sentence are those of `beam_search`, and the tokens with which each hypothesis could begin or continue a term that it
lacks. They are divided into banks by the number of tokens of terms that they still lack, and taken in turns: the
likeliest of each bank, from those that lack the fewest tokens, then the second of each, and so on. EOS is no candidate
before all terms are there, and neither is a token after which those that are missing would not fit into max_length.

Which tokens are a term is what `place_terms` says, in Python for one hypothesis.

Shapes: B sentences still in the batch, N hypotheses of each (W live ones, or their candidates), C terms of each, L
tokens of the longest, K next ids of each live hypothesis, S source positions, V' ids of the output.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .beam import BatchBeamSearch, beam_search
from .constraints import FREE, Constraints
from .history import HistoryStep
from .hypothesis import Hypothesis
from .ids import EOS, PAD
from .interface import ExportedModel, Floats, Ints, Step
from .penalties import NO_PENALTIES, Penalties
from .shortlist import TranslationTable
from .terms import TermIds, check_terms


class BatchTermProgress(NamedTuple):
    """How far hypotheses have come with the terms of their sentences."""

    met: Ints  # (B, N, C) bool: the term is there
    position: Ints  # (B, N, C) how many of its first tokens are the last ones; 0 if met
    pending: Ints  # (B, N) the term that is complete unless the next token continues a longer one or its word; or -1

    def of(self, parents: Ints) -> "BatchTermProgress":
        """Of the hypotheses with the numbers parents (B, N')."""
        return BatchTermProgress(*(part[np.arange(len(parents))[:, None], parents] for part in self))

    def select(self, sentences: Ints) -> "BatchTermProgress":
        """Keep the sentences (B',)."""
        return BatchTermProgress(*(part[sentences] for part in self))

    def begun(self) -> Ints:
        """(B, N) tokens that are the beginning of a term."""
        return self.position.max(2)


class TermArrays:
    """The terms of B sentences, as arrays."""

    def __init__(self, ids: Ints, continuing: NDArray[np.bool_]) -> None:
        """ids (B, C, L): FREE after the end of each term; continuing (V',) bool: ids that continue the word before."""
        self.ids, self.continuing = ids, continuing
        self.lengths = (ids != FREE).sum(2)  # (B, C), 0: no term
        self.borders = self._borders()
        self.banks = 1 + int(self.lengths.sum(1).max())  # more than tokens can be missing

    def _borders(self) -> Ints:
        """(B, C, L + 1, L) whether the first q tokens of a term are the last of its first p, and not all of it."""
        batch, count, longest = self.ids.shape
        equal = self.ids[..., :, None] == self.ids[..., None, :]
        borders = np.zeros((batch, count, longest + 1, longest), bool)
        borders[..., 0] = True
        for p in range(1, longest + 1):
            borders[..., p, 1:] = borders[..., p - 1, :-1] & equal[..., p - 1, :-1]
        return borders & (np.arange(longest) < self.lengths[..., None])[..., None, :]

    def start(self) -> BatchTermProgress:
        """Of the empty hypothesis, N = 1."""
        position = np.zeros_like(self.lengths)[:, None]
        return BatchTermProgress(position > 0, position, np.full(position.shape[:2], -1))

    def extend(self, progress: BatchTermProgress, tokens: Ints) -> BatchTermProgress:
        """Of the hypotheses with one more token each, tokens (B, N)."""
        met, position, pending = progress
        same = (self.ids[:, None] == tokens[..., None, None]) & ~met[..., None]  # (B, N, C, L)
        fits = same & self.borders[(*self._rows(), position)]
        lengths = fits * np.arange(1, fits.shape[3] + 1)  # of beginnings of terms
        before = position.max(2)
        grows = lengths.max((2, 3)) > before
        pending = np.where(self._continues_word(tokens) & ~same[..., 0].any(2), -1, pending)
        meets = (pending >= 0) & ~grows
        met = met | (meets[..., None] & self._is(pending))
        # no term begins before the end of the one that is met
        room = np.where(meets, before + 1 - self._length_of(pending), self.ids.shape[2])
        position = np.where((lengths > room[..., None, None]) | met[..., None], 0, lengths).max(3)
        complete = (position > 0) & (position == self.lengths[:, None]) & (position == position.max(2, keepdims=True))
        pending = np.where(complete.any(2), complete.argmax(2), np.where(meets, -1, pending))
        return BatchTermProgress(met, position, pending)

    def missing(self, progress: BatchTermProgress) -> Ints:
        """(B, N) the least number of tokens by which hypotheses hold all terms."""
        found: Ints = (self.lengths[:, None] * ~progress.met).sum(2) - progress.begun()
        return found

    def next_ids(self, progress: BatchTermProgress) -> Ints:
        """(B, N, 2 C) the ids that begin or continue a missing term, ascending, PAD where there is none."""
        met, position, pending = progress
        absent = met | self._is(pending) | (self.lengths == 0)[:, None]
        following = self.ids[(*self._rows(), position.clip(max=self.ids.shape[2] - 1))]
        whole = position >= self.lengths[:, None]
        first = np.where(absent, PAD, self.ids[:, None, :, 0])
        return np.sort(np.concatenate((first, np.where(absent | whole, PAD, following)), 2), axis=2)

    def select(self, sentences: Ints) -> None:
        """Keep the sentences (B',)."""
        for name in ("ids", "lengths", "borders"):
            setattr(self, name, getattr(self, name)[sentences])

    def _rows(self) -> tuple[Ints, Ints]:
        """The indices of the terms, which fit positions (B, N, C)."""
        sentences, terms = (np.arange(size) for size in self.lengths.shape)
        return sentences[:, None, None], terms

    def _is(self, term: Ints) -> Ints:
        """(B, N, C) one-hot of the numbers of terms (B, N), nothing for -1."""
        return term[..., None] == np.arange(self.ids.shape[1])

    def _length_of(self, term: Ints) -> Ints:
        """(B, N) the lengths of the terms with these numbers; of any term for -1."""
        return np.take_along_axis(self.lengths, term.clip(0), 1)

    def _continues_word(self, tokens: Ints) -> Ints:
        """(B, N) whether the tokens continue a word; copied words begin one."""
        size = len(self.continuing)
        return self.continuing[tokens.clip(max=size - 1)] & (tokens < size)


class BatchConstrainedBeamSearch(BatchBeamSearch):
    """A beam search whose hypotheses end with all terms of their sentence."""

    def __init__(
        self,
        models: Sequence[ExportedModel],
        source: Ints,
        constraints: Sequence[Constraints],
        *,
        terms: Sequence[TermIds],
        continuing: NDArray[np.bool_] | None,
        **options: Any,
    ) -> None:
        needed = [[*chain(*each)] for each in terms]
        super().__init__(models, source, constraints, needed=needed, reads_log_probs=True, **options)
        continuing = np.zeros(1, bool) if continuing is None else continuing
        if self.candidates is not None:
            continuing = continuing[self.candidates.ids.clip(max=len(continuing) - 1)]
        ids = padded_terms(terms)
        ids = ids if self.candidates is None else np.where(ids == FREE, FREE, self.candidates.renumber(ids.clip(0)))
        self.terms = TermArrays(ids, continuing)
        self.progress = self.terms.start()

    def forbidden(self, width: int) -> Ints:
        """(B, W, F) without the ids of terms, and with EOS where terms are missing."""
        ids, required = super().forbidden(width), self.terms.next_ids(self.progress)
        ids = np.where((ids[..., None] == required[:, :, None]).any(3), PAD, ids)
        lacking = self.terms.missing(self.progress) > 0
        return np.concatenate((ids, np.where(lacking, EOS, PAD)[..., None]), 2)

    def candidates_of(self, step: Step) -> tuple[Floats, Ints]:
        scores, ids = super().candidates_of(step)
        required = self.terms.next_ids(self.progress)  # (B, W, 2 C)
        assert step.log_probs is not None
        scores = np.concatenate((scores, np.take_along_axis(step.log_probs, required, 2)), 2)
        every = np.concatenate((ids, required), 2)
        earlier = np.tri(every.shape[2], k=-1, dtype=bool)[ids.shape[2] :]
        known = earlier & (required[..., None] == every[:, :, None]) & (scores > -np.inf)[:, :, None]
        scores[..., ids.shape[2] :][known.any(3) | (required == PAD)] = -np.inf
        return scores, every

    def best(self, total: Floats, ids: Ints) -> Ints:
        batch, width, count = ids.shape
        parent = np.broadcast_to(np.repeat(np.arange(width), count), (batch, width * count))
        missing = self.terms.missing(self.terms.extend(self.progress.of(parent), ids.reshape(batch, -1)))
        room = (self.constraints.max_lengths - self.length - 1).clip(0)
        total[missing > room[:, None]] = -np.inf
        return allocate(total, missing, 2 * self.beam, self.terms.banks)

    def advance(self, step: Step) -> HistoryStep:
        width = self.tokens.shape[1]
        added = super().advance(step)
        self.progress = self.terms.extend(self.progress.of(added.parent % width), added.token)
        return added

    def select(self, sentences: Ints) -> None:
        super().select(sentences)
        self.terms.select(sentences)
        self.progress = self.progress.select(sentences)


def padded_terms(terms: Sequence[TermIds]) -> Ints:
    """The terms of B sentences as one int64 array (B, C, L) with FREE after the end of each."""
    longest = max((len(ids) for each in terms for ids in each), default=0)
    found = np.full((len(terms), max(map(len, terms), default=0), longest), FREE, np.int64)
    for b, each in enumerate(terms):
        for c, ids in enumerate(each):
            found[b, c, : len(ids)] = ids
    return found


def allocate(scores: Floats, banks: Ints, count: int, last: int) -> Ints:
    """The first `count` of candidates by dynamic beam allocation: the best of each bank, from the lowest number on,
    then the second of each, and so on; indices (B, count).

    scores (B, N): -inf where a candidate is not allowed, ties in the order of the indices
    banks (B, N): from 0 to `last` - 1"""
    size = scores.shape[1]
    banks = np.where(scores == -np.inf, last, banks)
    order = np.argsort(-scores, axis=1, kind="stable")
    order = np.take_along_axis(order, np.argsort(np.take_along_axis(banks, order, 1), axis=1, kind="stable"), 1)
    grouped = np.take_along_axis(banks, order, 1)
    begins = np.diff(grouped, axis=1, prepend=-1) > 0
    turn = np.arange(size) - np.maximum.accumulate(np.where(begins, np.arange(size), 0), axis=1)
    turn = np.where(grouped == last, size, turn)
    return np.take_along_axis(order, np.argsort(turn * (last + 1) + grouped, axis=1, kind="stable")[:, :count], 1)


def constrained_beam_search(
    models: Sequence[ExportedModel],
    source: Ints,
    constraints: Sequence[Constraints],
    *,
    terms: Sequence[TermIds],
    continuing: NDArray[np.bool_] | None = None,
    copy: Ints | None = None,
    shortlist: TranslationTable | None = None,
    beam: int = 5,
    n_best: int = 1,
    penalties: Penalties = NO_PENALTIES,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """As `beam_search`, and every hypothesis that ends holds the terms of its sentence, each at tokens of its own.

    terms: of each sentence, which may have none; each a sequence of ids, which the constraints do not forbid
    continuing (V,) bool: ids that continue the word before them, so that a term before them is none

    A term that is given twice is there twice; a prefix may hold terms. Raises ConfigError for terms that are longer
    together than max_length leaves after the prefix."""
    check_terms(terms, [one.max_length - len(one.prefix) for one in constraints])
    options: dict[str, Any] = {"copy": copy, "shortlist": shortlist, "attention": attention}
    options |= {"beam": beam, "n_best": n_best, "penalties": penalties}
    if not any(terms):
        return beam_search(models, source, constraints, **options)
    return BatchConstrainedBeamSearch(models, source, constraints, terms=terms, continuing=continuing, **options).run()
