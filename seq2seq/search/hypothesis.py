"""What does a search find, and how is it read back from the steps?"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Hypothesis(NamedTuple):
    """One target sentence."""

    tokens: list[int]  # without BOS and EOS; ids >= V are copies
    score: float  # what it is ranked by
    log_prob: float  # sum over the tokens, EOS included if finished
    token_log_probs: list[float]  # the same one by one
    finished: bool  # False: stopped at the greatest length, or because no token was allowed
    attention: Tensor | None = None  # (steps, S) over the sentence's own S positions; the step of EOS included


class SearchStep(NamedTuple):
    """What one step added to W hypotheses, each grown from one of W' parents (W' is 1 or W)."""

    token: Tensor  # (B, W)
    parent: Tensor  # (B, W) in 0..W'-1
    log_prob: Tensor  # (B, W) of token
    end: Tensor  # (B, W') log-probability that the parent ends here
    weights: Tensor | None  # (B, W', S) attention

    def select(self, sentences: Tensor) -> "SearchStep":
        """Keep the sentences (B',)."""
        weights = None if self.weights is None else self.weights[sentences]
        token, parent, log_prob, end = (part[sentences] for part in self[:4])
        return SearchStep(token, parent, log_prob, end, weights)


class Ends(NamedTuple):
    """Where n hypotheses of each sentence ended: all (B, n)."""

    score: Tensor  # -inf: there is none here
    log_prob: Tensor
    length: Tensor  # tokens without EOS
    slot: Tensor  # place among the W hypotheses of that length
    finished: Tensor  # bool

    @classmethod
    def empty(cls, like: Tensor) -> "Ends":
        """None yet; `like` (B, n) gives shape, device and kind of the scores."""
        place = torch.zeros_like(like, dtype=torch.long)
        return cls(torch.full_like(like, -torch.inf), torch.full_like(like, -torch.inf), place, place, place.bool())

    def select(self, sentences: Tensor) -> "Ends":
        """Keep the sentences (B',)."""
        return Ends(*(part[sentences] for part in self))

    def best(self, more: "Ends") -> "Ends":
        """The n best of these and of `more`: the finished first, then by score, then the earlier."""
        parts = [torch.cat(pair, 1) for pair in zip(self, more, strict=True)]
        order = parts[0].argsort(dim=1, descending=True, stable=True)
        order = order.gather(1, parts[4].gather(1, order).int().argsort(dim=1, descending=True, stable=True))
        return Ends(*(part.gather(1, order[:, : self.score.shape[1]]) for part in parts))


def trace(steps: Sequence[SearchStep], ends: Ends, sizes: Sequence[int]) -> list[list[Hypothesis]]:
    """Walk back from `ends` (B, n) to the first step. `sizes` (B,) source positions of each sentence."""
    slot, tokens, log_probs, weights = ends.slot, [], [], []
    for place, step in reversed(list(enumerate(steps))):
        inside = place < ends.length
        parent = torch.where(inside, step.parent.gather(1, slot), slot)  # behind the last token: the one that ends
        tokens.append(step.token.gather(1, slot))
        log_probs.append(torch.where(inside, step.log_prob.gather(1, slot), step.end.gather(1, parent)))
        if step.weights is not None:
            weights.append(step.weights.gather(1, parent[..., None].expand(-1, -1, step.weights.shape[2])).cpu())
        slot = parent
    columns = [torch.stack(part[::-1], 2).tolist() for part in (tokens, log_probs)]
    maps = torch.stack(weights[::-1], 2) if weights else None  # (B, n, t, S)
    fields = [part.tolist() for part in ends]
    found: list[list[Hypothesis]] = [[] for _ in sizes]
    for b, size in enumerate(sizes):
        for j, (score, log_prob, length, _, finished) in enumerate(zip(*(field[b] for field in fields), strict=True)):
            if score != -torch.inf:
                stop = length + finished
                attention = None if maps is None else maps[b, j, :stop, :size].clone()
                found[b].append(
                    Hypothesis(columns[0][b][j][:length], score, log_prob, columns[1][b][j][:stop], finished, attention)
                )
    return found
