"""Vocabulary shortlists: search over likely translations of each sentence's tokens, from a table of the training text.

The models compute logits for the union of a batch's shortlists, and each sentence is restricted to its own, so that
its hypotheses do not depend on the others. To the search, the models have a small vocabulary (after Jean et al. 2015,
section 4.2).

Shapes: B sentences, S source positions, V ids of the target vocabulary, V' candidates.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.nn.interface import LOGIT_MASK, Memory, Model
from seq2seq.runtime.hypothesis import Hypothesis

SIZE_MULTIPLE = 128  # V' is a multiple of it, since fast matrix products are prepared once for each shape


class Candidates:
    """The target ids that a batch may use, renumbered 0 .. V' - 1. Numbers >= V' are copied words, as ids >= V are."""

    def __init__(self, allowed: Tensor) -> None:
        """allowed (B, V) bool: the ids that each sentence may use."""
        self.vocabulary_size = allowed.shape[1]
        used = allowed.any(0)
        missing = -int(used.sum()) % SIZE_MULTIPLE  # to the next multiple
        used[(~used).nonzero()[:missing]] = True
        self.ids = used.nonzero().squeeze(1)  # (V',) sorted, so PAD, UNK, BOS and EOS keep their numbers
        self.logit_mask = torch.zeros(len(allowed), len(self.ids), device=allowed.device).masked_fill_(
            ~allowed[:, self.ids], -torch.inf
        )

    def search(
        self,
        search: Callable[..., list[list[Hypothesis]]],
        models: Sequence[Model],
        memories: Sequence[Memory],
        prefix: Sequence[Sequence[int]],
        terms: Sequence[Sequence[Sequence[int]]] | None = None,
        continuing: Tensor | None = None,
    ) -> list[list[Hypothesis]]:
        """What `search`(models, memories, prefix=...) finds among the candidates, in ids of the vocabulary.

        With terms, and the ids continuing (V,) bool, it is also given these."""
        ids = self.ids.tolist()
        given: dict[str, Any] = {"prefix": [self._numbers(start) for start in prefix]}
        if terms is not None:
            given["terms"] = [[self._numbers(term) for term in each] for each in terms]
            given["continuing"] = None if continuing is None else continuing[self.ids]
        found = search(
            [model.restrict_vocabulary(self.ids) for model in models],
            [self.reduce(memory) for memory in memories],
            **given,
        )
        return [[self.restore(hypothesis, ids) for hypothesis in hypotheses] for hypotheses in found]

    def reduce(self, memory: Memory) -> Memory:
        """The memory for a model restricted to the candidates: copies renumbered, ids of other sentences masked."""
        return memory._replace(
            tokens=self.renumber(memory.tokens), cached=memory.cached | {LOGIT_MASK: self.logit_mask}
        )

    def _numbers(self, ids: Sequence[int]) -> list[int]:
        """`renumber` of a list."""
        found: list[int] = self.renumber(torch.tensor(ids, dtype=torch.long, device=self.ids.device)).tolist()
        return found

    def renumber(self, ids: Tensor) -> Tensor:
        """Numbers of target ids, which must be candidates, and of copies (ids >= V)."""
        size = self.vocabulary_size
        return torch.where(ids < size, torch.searchsorted(self.ids, ids), ids - size + len(self.ids))

    def restore(self, hypothesis: Hypothesis, ids: Sequence[int]) -> Hypothesis:
        """The hypothesis in ids of the whole vocabulary; `ids` is `self.ids` as a list."""
        copies = self.vocabulary_size - len(ids)
        return hypothesis._replace(tokens=[ids[n] if n < len(ids) else n + copies for n in hypothesis.tokens])


class Shortlist:
    """The likeliest translations of each source id: table (source V, K) of target ids, PAD where there are fewer."""

    def __init__(self, table: Tensor, vocabulary_size: int) -> None:
        """vocabulary_size: V of the target."""
        self.table, self.vocabulary_size = table.to(torch.long, copy=True), vocabulary_size
        self.table[PAD] = PAD  # the padding of a short source adds no candidates

    def candidates(self, source: Tensor, copy: Tensor, given: Sequence[Sequence[int]]) -> Candidates:
        """The candidates of a batch: translations of its tokens, copies of them, given ids and the special tokens.

        source (B, S) ids; copy (B, S) the target ids that copying them yields; given: target ids that the hypotheses of
        each sentence have to hold, of its prefix and its terms."""
        size = self.vocabulary_size
        allowed = torch.zeros(len(source), size, dtype=torch.bool, device=source.device)
        allowed[:, [PAD, UNK, BOS, EOS]] = True
        allowed.scatter_(1, self.table[source].flatten(1), True)
        allowed.scatter_(1, copy.where(copy < size, PAD), True)
        for row, ids in zip(allowed, given, strict=True):
            row[[i for i in ids if i < size]] = True
        return Candidates(allowed)
