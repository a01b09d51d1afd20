"""Batched beam search over any `Model`, or an ensemble; finished sentences leave the batch.

At each step the candidates of a sentence are all continuations of its W live hypotheses, ranked by log-probability;
ties are broken by the lower hypothesis, then the lower id. Of the best 2 W candidates

* EOS among the first W ends its hypothesis, which is kept with its score if it is among the n_best so far;
* the first W others are the next live hypotheses. Live hypotheses are never ranked by score: all have the same length.

A sentence is done when W hypotheses have ended, when its live ones have max_length tokens (one more step has shown
whether EOS is among the first W), or when no token is allowed. Hypotheses that have not ended by then rank after all
that have. It is also done when no live hypothesis can reach the n_best any more, which saves time and changes no
result. All of this is decided within a sentence, so that its hypotheses do not depend on the other sentences of the
batch.

Shapes: B sentences still in the batch, W live hypotheses of each (1 at the first step), t tokens so far, S source
positions, V ids (V + S with a head that copies).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seq2seq.ids import EOS
from seq2seq.nn.interface import Memory, Searchable
from seq2seq.runtime.hypothesis import Hypothesis
from seq2seq.runtime.options import check_beam
from seq2seq.runtime.penalties import NO_PENALTIES, Penalties
from seq2seq.search.backtrace import Endings, SearchStep
from seq2seq.search.base import Lengths, Search, run_search
from seq2seq.search.constraints import Constraint
from seq2seq.search.ensemble import check_models
from seq2seq.search.topk import topk_continuations


class BeamSearch(Search):
    """The live hypotheses of a batch, and the best that have ended."""

    def __init__(self, memory: Memory, *, beam: int, n_best: int, penalties: Penalties, **options: Any) -> None:
        check_beam(beam, n_best)
        super().__init__(memory, width=beam, **options)
        self.beam, self.penalties = beam, penalties
        batch, device = len(self.max_lengths), self.max_lengths.device
        self.log_prob = torch.zeros(batch, 1, device=device)  # (B, W); -inf: not alive
        self.covered = (  # (B, W, S) attention summed over the steps
            torch.zeros(batch, 1, memory.mask.shape[1], device=device) if penalties.coverage else None
        )
        self.endings = Endings.empty(self.log_prob.new_empty(batch, n_best))
        self.num_ended = torch.zeros_like(self.max_lengths)  # (B,) hypotheses that have ended by EOS

    @property
    def needs_attention(self) -> bool:
        return self.attention or self.covered is not None

    def advance(self, log_probs: Tensor, weights: Tensor | None) -> Tensor | None:
        eos_log_prob = log_probs[..., EOS].clone()  # before any constraint
        vocabulary_size = log_probs.shape[-1]
        log_prob, index = self.best_continuations(log_probs)  # (B, 2 W)
        parent, token = index // vocabulary_size, index % vocabulary_size
        covered = None if self.covered is None or weights is None else self.covered + weights
        ends = ((token == EOS) & (log_prob != -torch.inf))[:, : self.beam, None] & (
            parent[:, : self.beam, None] == self._slots()
        )
        live = (token == EOS).int().argsort(dim=1, stable=True)[:, : self.beam]  # (B, W) the first that are not EOS
        log_prob, index, parent, token = (part.gather(1, live) for part in (log_prob, index, parent, token))
        self._end(
            by_eos=ends.any(1),
            eos_log_prob=self.log_prob + log_probs[..., EOS],
            covered=covered,
            next_log_prob=log_prob,
        )
        token_log_prob = log_probs.flatten(1).gather(1, index)
        self.steps.append(SearchStep(token, parent, token_log_prob, eos_log_prob, weights if self.attention else None))
        self.log_prob = log_prob
        self.tokens = torch.cat(
            [self.tokens.gather(1, parent[..., None].expand(-1, -1, self.tokens.shape[2])), token[..., None]], 2
        )
        if covered is not None:
            self.covered = covered.gather(1, parent[..., None].expand(-1, -1, covered.shape[2]))
        return parent if self.beam > 1 else None

    def best_continuations(self, log_probs: Tensor) -> tuple[Tensor, Tensor]:
        """Constrain log_probs (B, W, V) in place; the best 2 W candidates of each sentence, in the order in which they
        are taken: their log-probabilities, and flat indices w V + id."""
        self.constraint(log_probs, self.tokens)
        return topk_continuations(log_probs, self.log_prob, 2 * self.beam)

    def _slots(self) -> Tensor:
        """(W,) the numbers of the live hypotheses."""
        return torch.arange(self.log_prob.shape[1], device=self.log_prob.device)

    def _end(self, *, by_eos: Tensor, eos_log_prob: Tensor, covered: Tensor | None, next_log_prob: Tensor) -> None:
        """Keep the hypotheses that end at this step, and mark the sentences that are done.

        by_eos (B, W) marks those that end by EOS, with log-probabilities eos_log_prob (B, W) and coverage covered (B,
        W, S), EOS included in both; next_log_prob (B, W) are the log-probabilities of the next live hypotheses."""
        length = self.tokens.shape[2]
        mask = None if covered is None else self.mask[:, None]
        stops = (self.max_lengths == length) | (next_log_prob == -torch.inf).all(1)  # (B,)
        score_by_eos = self.penalties.score(eos_log_prob, length + 1, covered, mask)
        score_without = self.penalties.score(self.log_prob, length, self.covered, mask)
        ends = (by_eos | stops[:, None]) & (self.log_prob != -torch.inf) & ~self.done[:, None]
        score = torch.where(by_eos, score_by_eos, score_without).masked_fill(~ends, -torch.inf)
        log_prob = torch.where(by_eos, eos_log_prob, self.log_prob)
        slots = self._slots().expand_as(by_eos)
        ended = Endings(score, log_prob, torch.full_like(slots, length), slots, by_eos & ends)
        self.endings = self.endings.merge(ended)
        self.num_ended = self.num_ended + by_eos.sum(1)
        best_possible = self.penalties.upper_bound(next_log_prob.amax(1), self.max_lengths + 1)
        settled = self.endings.finished[:, -1] & (best_possible <= self.endings.score[:, -1])
        self.done = self.done | stops | (self.num_ended >= self.beam) | settled

    def select(self, sentences: Tensor) -> None:
        super().select(sentences)
        self.log_prob, self.num_ended = self.log_prob[sentences], self.num_ended[sentences]
        self.covered = None if self.covered is None else self.covered[sentences]


@torch.inference_mode()
def beam_search(
    models: Sequence[Searchable],
    memories: Sequence[Memory],
    *,
    max_length: Lengths,
    min_length: Lengths = 0,
    beam: int = 5,
    n_best: int = 1,
    penalties: Penalties = NO_PENALTIES,
    constraints: Sequence[Constraint] = (),
    prefix: Sequence[Sequence[int]] | None = None,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """The `n_best` hypotheses of each sentence found with `beam` live ones, best first; a beam of 1 is greedy search.

    Several `models` decode together by their mean probability; `memories` hold each model's encoding of the same B
    sentences. Lengths count tokens without EOS, the prefix included, and are hard limits: one for all or one for each
    sentence (B,). `prefix` holds the first tokens of each sentence, which count in the scores like all others.
    `attention` asks for the attention of each hypothesis. Each sentence has at least one hypothesis, and fewer than
    `n_best` only where fewer are possible. Raises ConfigError on limits that cannot be met."""
    check_models(models, memories)
    search = BeamSearch(
        memories[0],
        beam=beam,
        n_best=n_best,
        penalties=penalties,
        constraints=constraints,
        min_length=min_length,
        max_length=max_length,
        prefix=prefix,
        attention=attention,
    )
    return run_search(search, models, memories)
