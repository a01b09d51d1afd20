"""Beam search without torch in which every hypothesis that ends holds required terms, by dynamic beam allocation.

The rules are those of the search with torch (Post & Vilar 2018, section 3; Hu et al. 2019). The candidates of a
sentence are those of `beam_search`, and the tokens with which each hypothesis could begin or continue a term that it
lacks (those that begin one, and that continue the longest begun). They are divided into banks by the number of tokens
of terms that they still lack, and taken in turns: the likeliest of each bank, from those that lack the fewest tokens,
then the second of each, and so on. EOS is no candidate before all terms are there, and neither is a token after which
those that are missing would not fit into max_length.

Which tokens are a term is what `place_terms` says, in Python for one hypothesis.

Shapes: B sentences still in the batch, N hypotheses of each (W live ones, or their candidates), T nodes of the largest
trie of terms, K next ids of each live hypothesis, S source positions, V' ids of the output.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .beam import BatchBeamSearch, beam_search
from .constraints import Constraints
from .history import HistoryStep
from .hypothesis import Hypothesis
from .ids import EOS, PAD
from .interface import ExportedModel, Floats, Ints, Step
from .penalties import NO_PENALTIES, Penalties
from .shortlist import TranslationTable
from .term_tries import TermTries
from .terms import TermIds, check_terms


class BatchTermProgress(NamedTuple):
    """How far hypotheses have come with the terms of their sentences."""

    left: Ints  # (B, N, T) how many terms each node of the sentence's trie is that are not there
    absent: Ints  # (B, N) the tokens of all of them
    node: Ints  # (B, N) the longest beginning of one that the last tokens are
    pending: Ints  # (B, N) the node of a term that is complete unless the next token continues a longer one or its
    # word; or -1

    def select(self, sentences: Ints) -> "BatchTermProgress":
        """Keep the sentences (B',)."""
        return BatchTermProgress(*(part[sentences] for part in self))


class TermMoves(NamedTuple):
    """What one more token each makes of hypotheses; as in BatchTermProgress."""

    absent: Ints  # (B, N)
    node: Ints  # (B, N)
    pending: Ints  # (B, N)
    met: Ints  # (B, N) the node of the term that the token before it was the last of; or -1


class TermArrays:
    """The terms of B sentences, as arrays."""

    def __init__(self, terms: Sequence[TermIds], continuing: NDArray[np.bool_]) -> None:
        """continuing (V',) bool: ids that continue the word before them."""
        self.tries, self.continuing = TermTries(terms), continuing
        self.roots = self.tries.root  # (B,) of the sentences that are left
        self.banks = 1 + int(self.tries.total.max())  # more than tokens can be missing

    def start(self) -> BatchTermProgress:
        """Of the empty hypothesis, N = 1."""
        root = self.roots[:, None]
        return BatchTermProgress(self.tries.left()[:, None], self.tries.total[:, None], root, np.full_like(root, -1))

    def moves(self, progress: BatchTermProgress, parents: Ints, tokens: Ints) -> TermMoves:
        """Of the hypotheses with the numbers parents (B, N') when each has one more token, tokens (B, N')."""
        tries, sums, rows = self.tries, *self._sums(progress)
        sentences = np.arange(len(parents))[:, None]
        rows, before, pending = (part[sentences, parents] for part in (rows, progress.node, progress.pending))
        roots = np.broadcast_to(self.roots[:, None], tokens.shape)
        grows = self._lacking(sums, rows, self._child(before, tokens), -1)
        begins = self._lacking(sums, rows, self._child(roots, tokens), -1)
        pending = np.where(self._continues_word(tokens) & ~begins, -1, pending)
        met = np.where(grows, -1, pending)
        meets = met >= 0
        # no term begins before the end of the one that is met
        room = np.where(meets, tries.depth[before] + 1 - tries.depth[met], tries.size)
        place, node, searching = before, roots, self._is_of_terms(roots, tokens)
        while searching.any():
            child = self._child(place, tokens)
            found = searching & (tries.depth[child] <= room) & self._lacking(sums, rows, child, met)
            node = np.where(found, child, node)
            searching = searching & ~found & (place != roots)
            place = tries.fail[place]
        complete = progress.left[sentences, parents, node - roots] > (meets & (node == met))
        absent = progress.absent[sentences, parents] - meets * tries.depth[met]
        return TermMoves(absent, node, np.where(complete, node, np.where(meets, -1, pending)), met)

    def extend(self, progress: BatchTermProgress, parents: Ints, tokens: Ints) -> BatchTermProgress:
        """Of the hypotheses with the numbers parents (B, N') when each has one more token, tokens (B, N')."""
        moves = self.moves(progress, parents, tokens)
        left = progress.left[np.arange(len(parents))[:, None], parents]
        sentences, rows = np.nonzero(moves.met >= 0)
        left[sentences, rows, moves.met[sentences, rows] - self.roots[sentences]] -= 1
        return BatchTermProgress(left, moves.absent, moves.node, moves.pending)

    def missing(self, progress: BatchTermProgress | TermMoves) -> Ints:
        """(B, N) the least number of tokens by which hypotheses hold all terms."""
        return progress.absent - self.tries.depth[progress.node]

    def next_ids(self, progress: BatchTermProgress) -> Ints:
        """(B, N, K) the ids that begin a missing term, or continue the longest begun, ascending, PAD for none."""
        tries, sums, rows = self.tries, *self._sums(progress)
        roots = np.broadcast_to(self.roots[:, None], progress.node.shape)
        child = np.concatenate((self._children(roots, tries.begins), self._children(progress.node, tries.continues)), 2)
        lacking = self._lacking(sums, rows[..., None], child, progress.pending[..., None])
        return np.sort(np.where(lacking, tries.token[child], PAD), axis=2)

    def select(self, sentences: Ints) -> None:
        """Keep the sentences (B',)."""
        self.roots = self.roots[sentences]

    def _sums(self, progress: BatchTermProgress) -> tuple[Ints, Ints]:
        """Sums of `left` over the nodes before each, flat, and where those of each hypothesis (B, N) begin, less the
        number of its root."""
        batch, width, size = progress.left.shape
        sums = np.pad(progress.left.cumsum(2), ((0, 0), (0, 0), (1, 0))).ravel()
        return sums, np.arange(batch * width).reshape(batch, width) * (size + 1) - self.roots[:, None]

    def _lacking(self, sums: Ints, rows: Ints, nodes: Ints, but: Ints | int) -> NDArray[np.bool_]:
        """Whether hypotheses lack a term that begins with the nodes, besides one that is the node `but`; False for
        node -1."""
        exists, end = nodes >= 0, self.tries.end[nodes]
        found = sums.take(np.where(exists, rows + end, 0)) - sums.take(np.where(exists, rows + nodes, 0))
        lacking: NDArray[np.bool_] = found > ((nodes <= but) & (but < end))
        return lacking

    def _child(self, nodes: Ints, tokens: Ints) -> Ints:
        """The nodes that continue nodes with tokens, -1 where there are none."""
        tries = self.tries
        keys = nodes * tries.base + tokens.clip(max=tries.base - 1)
        places = np.searchsorted(tries.keys, keys).clip(max=len(tries.keys) - 1)
        return np.where(tries.keys[places] == keys, tries.child[places], -1)

    def _children(self, nodes: Ints, most: int) -> Ints:
        """(B, N, most) the first nodes that continue each node (B, N), then -1."""
        tries = self.tries
        places = tries.first[nodes][..., None] + np.arange(most)
        within = places < tries.first[nodes + 1][..., None]
        return np.where(within, tries.child[places.clip(max=len(tries.child) - 1)], -1)

    def _is_of_terms(self, roots: Ints, tokens: Ints) -> Ints:
        """(B, N) whether any term of their sentences has the tokens."""
        tries = self.tries
        keys = roots * tries.base + tokens.clip(max=tries.base - 1)
        return tries.known[np.searchsorted(tries.known, keys).clip(max=len(tries.known) - 1)] == keys

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
            terms = [[self.candidates.renumber(np.array(ids)).tolist() for ids in each] for each in terms]
        self.terms = TermArrays(terms, continuing)
        self.progress = self.terms.start()

    def forbidden(self, width: int) -> Ints:
        """(B, W, F) without the ids of terms, and with EOS where terms are missing."""
        ids, required = super().forbidden(width), self.terms.next_ids(self.progress)
        ids = np.where((ids[..., None] == required[:, :, None]).any(3), PAD, ids)
        lacking = self.terms.missing(self.progress) > 0
        return np.concatenate((ids, np.where(lacking, EOS, PAD)[..., None]), 2)

    def candidates_of(self, step: Step) -> tuple[Floats, Ints]:
        scores, ids = super().candidates_of(step)
        required = self.terms.next_ids(self.progress)  # (B, W, K')
        assert step.log_probs is not None
        scores = np.concatenate((scores, np.take_along_axis(step.log_probs, required, 2)), 2)
        every = np.concatenate((ids, required), 2)
        allowed = np.where(scores > -np.inf, every, PAD)
        order = np.argsort(allowed, axis=2, kind="stable")
        ascending = np.take_along_axis(allowed, order, 2)
        known = np.zeros(every.shape, bool)
        np.put_along_axis(known, order[..., 1:], ascending[..., 1:] == ascending[..., :-1], 2)
        scores[..., ids.shape[2] :][known[..., ids.shape[2] :] | (required == PAD)] = -np.inf
        return scores, every

    def best(self, total: Floats, ids: Ints) -> Ints:
        batch, width, count = ids.shape
        parent = np.broadcast_to(np.repeat(np.arange(width), count), (batch, width * count))
        missing = self.terms.missing(self.terms.moves(self.progress, parent, ids.reshape(batch, -1)))
        room = (self.constraints.max_lengths - self.length - 1).clip(0)
        total[missing > room[:, None]] = -np.inf
        return allocate(total, missing, 2 * self.beam, self.terms.banks)

    def advance(self, step: Step) -> HistoryStep:
        width = self.tokens.shape[1]
        added = super().advance(step)
        self.progress = self.terms.extend(self.progress, added.parent % width, added.token)
        return added

    def select(self, sentences: Ints) -> None:
        super().select(sentences)
        self.terms.select(sentences)
        self.progress = self.progress.select(sentences)


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
