"""Which target sentences are the likeliest? Beam search over any Model of nn.interface, or an ensemble of them.

In every step the candidates of a sentence are the continuations of its W live hypotheses, ranked by log-probability;
of equal ones the lower hypothesis, then the lower id comes first. Of the best 2 W

* EOS among the first W ends its hypothesis, which is kept with its score if it is among the n_best so far;
* the first W others are the next live hypotheses. They are never ranked by score: all have the same length.

A sentence is done when W hypotheses have ended, when its live ones have max_length tokens (one more step has shown
whether EOS is among the first W), or when no token is allowed. What then has not ended ranks behind all that have.
It is also done when no live hypothesis can reach the n_best any more, which changes nothing but the time.
All of this looks at one sentence alone, so that its hypotheses do not depend on the others in the batch.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seq2seq.errors import ConfigError
from seq2seq.ids import EOS
from seq2seq.nn.interface import Memory, Model
from seq2seq.search.base import Lengths, Search, run
from seq2seq.search.constraints import Rule
from seq2seq.search.hypothesis import Ends, Hypothesis, SearchStep
from seq2seq.search.penalties import NO_PENALTY, Penalty
from seq2seq.search.topk import continuations


class Beam(Search):
    """The live hypotheses of a batch and the best that have ended."""

    def __init__(self, memory: Memory, *, width: int, n_best: int, penalty: Penalty, **options: Any) -> None:
        super().__init__(memory, **options)
        if not 1 <= n_best <= width:
            raise ConfigError(f"n_best={n_best} does not fit beam={width}: at least 1 and at most the beam")
        self.width, self.penalty = width, penalty
        batch, device = len(self.limits), self.limits.device
        self.log_prob = torch.zeros(batch, 1, device=device)  # (B, W); -inf: not alive
        self.covered = (
            torch.zeros(batch, 1, memory.mask.shape[1], device=device) if penalty.coverage else None
        )  # (B, W, S)
        self.ends = Ends.empty(self.log_prob.new_empty(batch, n_best))
        self.ended = torch.zeros_like(self.limits)  # (B,) how many have

    @property
    def needs_attention(self) -> bool:
        return self.attention or self.covered is not None

    def advance(self, log_probs: Tensor, weights: Tensor | None) -> Tensor | None:
        eos = log_probs[..., EOS].clone()  # before any rule
        self.rules(log_probs, self.tokens)
        ids = log_probs.shape[-1]
        score, place = continuations(log_probs, self.log_prob, 2 * self.width)  # (B, 2 W)
        parent, token = place // ids, place % ids
        covered = None if self.covered is None or weights is None else self.covered + weights
        onward = (token == EOS).int().argsort(dim=1, stable=True)[:, : self.width]  # (B, W)
        ended = ((token == EOS) & (score != -torch.inf))[:, : self.width, None] & (
            parent[:, : self.width, None] == self.slots()
        )
        score, place, parent, token = (part.gather(1, onward) for part in (score, place, parent, token))
        self.close(ended.any(1), self.log_prob + log_probs[..., EOS], covered, score)
        taken = log_probs.flatten(1).gather(1, place)
        self.steps.append(SearchStep(token, parent, taken, eos, weights if self.attention else None))
        self.log_prob = score
        self.tokens = torch.cat(
            [self.tokens.gather(1, parent[..., None].expand(-1, -1, self.tokens.shape[2])), token[..., None]], 2
        )
        if covered is not None:
            self.covered = covered.gather(1, parent[..., None].expand(-1, -1, covered.shape[2]))
        return parent if self.width > 1 else None

    def slots(self) -> Tensor:
        """0..W-1."""
        return torch.arange(self.log_prob.shape[1], device=self.log_prob.device)

    def close(self, ended: Tensor, log_prob: Tensor, covered: Tensor | None, onward: Tensor) -> None:
        """Keep what ends in this step, and say which sentences are done.

        ended (B, W) which hypotheses do by EOS, log_prob (B, W) and covered (B, W, S) with it; onward (B, W) the next live ones."""
        length = self.tokens.shape[2]
        last = (self.limits == length) | (onward == -torch.inf).all(1)
        by_eos = self.penalty(log_prob, length + 1, covered, self.mask)
        by_force = self.penalty(self.log_prob, length, self.covered, self.mask)
        real = (ended | last[:, None]) & (self.log_prob != -torch.inf) & ~self.done[:, None]
        score = torch.where(ended, by_eos, by_force).masked_fill(~real, -torch.inf)
        places = self.slots().expand_as(ended)
        more = Ends(
            score, torch.where(ended, log_prob, self.log_prob), torch.full_like(places, length), places, ended & real
        )
        self.ends = self.ends.best(more)
        self.ended = self.ended + ended.sum(1)
        hope = self.penalty.bound(onward.amax(1), self.limits + 1)
        settled = self.ends.finished[:, -1] & (hope <= self.ends.score[:, -1])
        self.done = self.done | last | (self.ended >= self.width) | settled

    def select(self, sentences: Tensor) -> None:
        super().select(sentences)
        self.log_prob, self.ended = self.log_prob[sentences], self.ended[sentences]
        self.covered = None if self.covered is None else self.covered[sentences]


@torch.inference_mode()
def beam_search(
    models: Sequence[Model],
    memories: Sequence[Memory],
    *,
    max_length: Lengths,
    min_length: Lengths = 0,
    beam: int = 5,
    n_best: int = 1,
    penalty: Penalty = NO_PENALTY,
    rules: Sequence[Rule] = (),
    prefix: Sequence[Sequence[int]] | None = None,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """The `n_best` hypotheses of each sentence that `beam` live ones lead to, best first; a beam of 1 is greedy search.

    `models` speak as one by their mean probability; `memories` are what each of them encoded of the same B sentences.
    Lengths count tokens without EOS, the prefix included, and are hard limits: one for all or one of each sentence (B,).
    `prefix` holds the first tokens of each sentence, which count in the scores as all others do.
    Never empty, but maybe fewer than `n_best` where fewer are possible. Raises ConfigError on limits that cannot be met."""
    options: dict[str, Any] = {
        "rules": rules,
        "min_length": min_length,
        "max_length": max_length,
        "prefix": prefix,
        "attention": attention,
    }
    return run(Beam(memories[0], width=beam, n_best=n_best, penalty=penalty, **options), models, memories)
