"""What a search records at each step, and how hypotheses are read from it by following back-pointers."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.runtime.hypothesis import Hypothesis


class SearchStep(NamedTuple):
    """What one step added: W hypotheses, each the continuation of one of W' parents (W' is 1 or W)."""

    token: Tensor  # (B, W)
    parent: Tensor  # (B, W) in 0..W'-1
    log_prob: Tensor  # (B, W) of token
    eos_log_prob: Tensor  # (B, W') log-probability that the parent ends here
    weights: Tensor | None  # (B, W', S) attention

    def select(self, sentences: Tensor) -> "SearchStep":
        """Keep the sentences (B',)."""
        weights = None if self.weights is None else self.weights[sentences]
        token, parent, log_prob, eos_log_prob = (part[sentences] for part in self[:4])
        return SearchStep(token, parent, log_prob, eos_log_prob, weights)


class Endings(NamedTuple):
    """Where n hypotheses of each sentence ended: all (B, n)."""

    score: Tensor  # -inf: no hypothesis yet
    log_prob: Tensor
    length: Tensor  # tokens without EOS
    slot: Tensor  # its number among the W hypotheses of that length
    finished: Tensor  # bool: by EOS

    @classmethod
    def empty(cls, like: Tensor) -> "Endings":
        """No hypotheses yet; `like` (B, n) gives shape, device and dtype of the scores."""
        zeros = torch.zeros_like(like, dtype=torch.long)
        return cls(torch.full_like(like, -torch.inf), torch.full_like(like, -torch.inf), zeros, zeros, zeros.bool())

    def select(self, sentences: Tensor) -> "Endings":
        """Keep the sentences (B',)."""
        return Endings(*(part[sentences] for part in self))

    def merge(self, new: "Endings") -> "Endings":
        """The n best of these and of `new`: finished ones first, then by score, then the earlier."""
        parts = [torch.cat(pair, 1) for pair in zip(self, new, strict=True)]
        order = parts[0].argsort(dim=1, descending=True, stable=True)
        order = order.gather(1, parts[4].gather(1, order).int().argsort(dim=1, descending=True, stable=True))
        return Endings(*(part.gather(1, order[:, : self.score.shape[1]]) for part in parts))


def backtrace(steps: Sequence[SearchStep], endings: Endings, sizes: Sequence[int]) -> list[list[Hypothesis]]:
    """The hypotheses of each sentence, followed from `endings` (B, n) back to the first step.

    `sizes` (B,) are the numbers of source positions, which attention is cut to."""
    slot, tokens, log_probs, weights = endings.slot, [], [], []
    for i, step in reversed(list(enumerate(steps))):
        inside = i < endings.length
        parent = torch.where(inside, step.parent.gather(1, slot), slot)  # after the last token: the hypothesis itself
        tokens.append(step.token.gather(1, slot))
        log_probs.append(torch.where(inside, step.log_prob.gather(1, slot), step.eos_log_prob.gather(1, parent)))
        if step.weights is not None:
            weights.append(step.weights.gather(1, parent[..., None].expand(-1, -1, step.weights.shape[2])).cpu())
        slot = parent
    token_table, log_prob_table = (torch.stack(part[::-1], 2).tolist() for part in (tokens, log_probs))  # (B, n, t)
    maps = torch.stack(weights[::-1], 2) if weights else None  # (B, n, t, S)
    fields = [part.tolist() for part in endings]
    found: list[list[Hypothesis]] = [[] for _ in sizes]
    for b, size in enumerate(sizes):
        for j, (score, log_prob, length, _, finished) in enumerate(zip(*(field[b] for field in fields), strict=True)):
            if score == -torch.inf:
                continue
            stop = length + finished
            attention = None if maps is None else maps[b, j, :stop, :size].clone()
            tokens_of, log_probs_of = token_table[b][j][:length], log_prob_table[b][j][:stop]
            found[b].append(Hypothesis(tokens_of, score, log_prob, log_probs_of, finished, attention))
    return found
