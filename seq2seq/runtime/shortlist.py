"""Vocabulary shortlists in NumPy: the output of the models is restricted to likely translations of a batch's tokens.

As in the search with torch, the models compute logits for the union of a batch's shortlists, and each sentence is
restricted to its own, so that its hypotheses do not depend on the others.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .ids import BOS, EOS, PAD, UNK
from .interface import Floats, Ints

MULTIPLE = 16  # V' is a multiple of it: the columns that a matrix product computes together


class TranslationTable:
    """The likeliest translations of each source id: table (source V, K) of target ids, PAD where there are fewer."""

    def __init__(self, table: Ints, vocabulary: int) -> None:
        """vocabulary: V of the target."""
        self.table, self.vocabulary = np.array(table, np.int64), vocabulary
        self.table[PAD] = PAD  # the padding of a short source adds no candidates

    def candidates(self, source: Ints, copy: Ints, given: Sequence[Sequence[int]]) -> "BatchCandidates":
        """The candidates of a batch: translations of its tokens, copies of them, given ids and the special tokens.

        source (B, S) ids; copy (B, S) the target ids that copying them yields; given: target ids that the hypotheses of
        each sentence have to hold, of its prefix and its terms."""
        size = self.vocabulary
        allowed = np.zeros((len(source), size), bool)
        allowed[:, [PAD, UNK, BOS, EOS]] = True
        rows = np.arange(len(source))[:, None]
        allowed[rows, self.table[source].reshape(len(source), -1)] = True
        allowed[rows, np.where(copy < size, copy, PAD)] = True
        for b, ids in enumerate(given):
            allowed[b, [i for i in ids if i < size]] = True
        return BatchCandidates(allowed, source.shape[1])


class BatchCandidates:
    """The target ids that a batch may use, renumbered 0 .. V' - 1. Numbers >= V' are copied words, as ids >= V are."""

    def __init__(self, allowed: NDArray[np.bool_], copies: int) -> None:
        """allowed (B, V) bool: the ids that each sentence may use; copies: the number of ids of copied words."""
        self.vocabulary = allowed.shape[1]
        used = np.logical_or.reduce(allowed)
        missing = -np.count_nonzero(used) % MULTIPLE  # to the next multiple
        used[np.flatnonzero(~used)[:missing]] = True
        self.ids = np.flatnonzero(used)  # (V',) sorted, so PAD, UNK, BOS and EOS keep their numbers
        self.logit_mask: Floats = np.where(allowed[:, self.ids], np.float32(0), np.float32(-np.inf))  # (B, V')
        # (V' + copies,) the id of each number
        self.restored = np.concatenate((self.ids, self.vocabulary + np.arange(copies)))

    def renumber(self, ids: Ints) -> Ints:
        """The numbers of ids; PAD for those that are no candidates."""
        numbers = np.searchsorted(self.restored, ids).clip(max=len(self.restored) - 1)
        return np.where(self.restored[numbers] == ids, numbers, PAD)
