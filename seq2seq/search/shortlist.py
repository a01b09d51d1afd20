"""Which target ids are looked at? For a sentence, the translations of its tokens: a table, made once from the training text.

A batch knows the ids that any of its sentences may use, and each sentence is kept to its own, so that its hypotheses do not
depend on the others. As far as the search sees, it has a model with a small vocabulary (after Jean et al. 2015, section 4.2).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.nn.interface import LOGIT_MASK, Memory, Model
from seq2seq.search.hypothesis import Hypothesis

STEP = 128  # ids; a multiple of it is looked at, since fast products are made ready for each shape once


class Candidates:
    """The target ids of a batch, by numbers below V'. From V' on they are words that are copied, as from V on before."""

    def __init__(self, allowed: Tensor) -> None:
        """allowed (B, V) bool: what is for each sentence."""
        self.size = allowed.shape[1]
        used = allowed.any(0)
        used[(~used).nonzero()[: -int(used.sum()) % STEP]] = True
        self.ids = used.nonzero().squeeze(1)  # (V',) sorted; PAD, UNK, BOS and EOS stay where they were
        self.barred = torch.zeros(len(allowed), len(self.ids), device=allowed.device).masked_fill_(
            ~allowed[:, self.ids], -torch.inf
        )

    def run(
        self,
        search: Callable[..., list[list[Hypothesis]]],
        models: Sequence[Model],
        memories: Sequence[Memory],
        prefix: Sequence[Sequence[int]],
    ) -> list[list[Hypothesis]]:
        """What `search` finds with these ids alone, in ids of the whole vocabulary."""
        ids = self.ids.tolist()
        starts = [
            self.numbers(torch.tensor(start, dtype=torch.long, device=self.ids.device)).tolist() for start in prefix
        ]
        found = search(
            [model.restrict_vocabulary(self.ids) for model in models],
            [self.memory(memory) for memory in memories],
            prefix=starts,
        )
        return [[self.whole(hypothesis, ids) for hypothesis in some] for some in found]

    def memory(self, memory: Memory) -> Memory:
        """What the decoder sees of the source, for a model of these ids alone."""
        return memory._replace(tokens=self.numbers(memory.tokens), cached=memory.cached | {LOGIT_MASK: self.barred})

    def numbers(self, ids: Tensor) -> Tensor:
        """Of target ids and copies; the ids are among the candidates."""
        return torch.where(ids < self.size, torch.searchsorted(self.ids, ids), ids - self.size + len(self.ids))

    def whole(self, found: Hypothesis, ids: Sequence[int]) -> Hypothesis:
        """With target ids in place of numbers; `ids` are those of this, as a list."""
        return found._replace(tokens=[ids[n] if n < len(ids) else n - len(ids) + self.size for n in found.tokens])


class Shortlist:
    """table (V of the source, K): the likeliest translations of each source id, PAD where there are fewer."""

    def __init__(self, table: Tensor, size: int) -> None:
        """size: V of the target."""
        self.table, self.size = table.to(torch.long, copy=True), size
        self.table[PAD] = PAD  # behind a short source, which it tells nothing of

    def __call__(self, source: Tensor, copy: Tensor, prefix: Sequence[Sequence[int]]) -> Candidates:
        """source (B, S) ids, copy (B, S) what copying them yields, prefix: what each of the B targets begins with."""
        allowed = torch.zeros(len(source), self.size, dtype=torch.bool, device=source.device)
        allowed[:, [PAD, UNK, BOS, EOS]] = True
        allowed.scatter_(1, self.table[source].flatten(1), True)
        allowed.scatter_(1, copy.where(copy < self.size, PAD), True)
        for row, ids in zip(allowed, prefix, strict=True):
            row[[i for i in ids if i < self.size]] = True
        return Candidates(allowed)
