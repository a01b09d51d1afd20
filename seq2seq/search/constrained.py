"""Beam search in which every hypothesis that ends holds required terms, by dynamic beam allocation.

After Post & Vilar 2018, "Fast Lexically Constrained Decoding with Dynamic Beam Allocation for Neural Machine
Translation", section 3, in arrays as by Hu et al. 2019, "Improved Lexically Constrained Decoding for Translation and
Monolingual Rewriting". The candidates of a sentence are the 2 W likeliest continuations of each live hypothesis, and
the tokens with which it could begin or continue a term that it lacks. They are divided into banks by the number of
tokens of terms that they still lack, and taken in turns: the likeliest of each bank, from those that lack the fewest
tokens, then the second of each, and so on. So a hypothesis is compared with those that have paid for as much of the
terms. EOS is no candidate before all terms are there, and neither is a token after which those that are missing would
not fit into max_length. All else is as in `beam_search`.

Which tokens are a term is what `seq2seq.runtime.terms.place_terms` says, in Python for one hypothesis. Sentences
without terms are searched as by `beam_search`.

Shapes: B sentences still in the batch, N hypotheses of each (W live ones, or their candidates), C terms of each, L
tokens of the longest, V ids.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seq2seq.ids import EOS, PAD
from seq2seq.nn.interface import Memory, Searchable
from seq2seq.runtime.hypothesis import Hypothesis
from seq2seq.runtime.penalties import NO_PENALTIES, Penalties
from seq2seq.runtime.terms import FREE, TermIds, check_terms
from seq2seq.search.base import Lengths, run_search
from seq2seq.search.beam import BeamSearch
from seq2seq.search.constraints import Constraint
from seq2seq.search.ensemble import check_models
from seq2seq.search.topk import stable_topk


class TermProgress(NamedTuple):
    """How far hypotheses have come with the terms of their sentences."""

    met: Tensor  # (B, N, C) bool: the term is there
    position: Tensor  # (B, N, C) how many of its first tokens are the last ones; 0 if met
    pending: Tensor  # (B, N) the term that is complete unless the next token continues a longer one or its word; or -1

    def of(self, parents: Tensor) -> "TermProgress":
        """Of the hypotheses with the numbers parents (B, N')."""
        sentences = torch.arange(len(parents), device=parents.device)[:, None]
        return TermProgress(*(part[sentences, parents] for part in self))

    def select(self, sentences: Tensor) -> "TermProgress":
        """Keep the sentences (B',)."""
        return TermProgress(*(part[sentences] for part in self))

    def begun(self) -> Tensor:
        """(B, N) tokens that are the beginning of a term."""
        return self.position.amax(2)


class TermTensors:
    """The terms of B sentences, as tensors."""

    def __init__(self, terms: Sequence[TermIds], continuing: Tensor | None, device: torch.device) -> None:
        """continuing (V,) bool: ids that continue the word before them; None: there are none."""
        count = max(map(len, terms), default=0)
        longest = max((len(ids) for each in terms for ids in each), default=0)
        rows = [[[*ids, *[FREE] * (longest - len(ids))] for ids in each] for each in terms]
        rows = [[*row, *[[FREE] * longest] * (count - len(row))] for row in rows]
        self.ids = torch.tensor(rows, dtype=torch.long, device=device).view(len(terms), count, longest)
        self.lengths = (self.ids != FREE).sum(2)  # (B, C), 0: no term
        self.continuing = torch.zeros(1, dtype=torch.bool, device=device) if continuing is None else continuing
        self.borders = self._borders()
        self.banks = 1 + max((sum(map(len, each)) for each in terms), default=0)  # more than tokens can be missing

    def _borders(self) -> Tensor:
        """(B, C, L + 1, L) whether the first q tokens of a term are the last of its first p, and not all of it."""
        batch, count, longest = self.ids.shape
        equal = self.ids[..., :, None] == self.ids[..., None, :]
        borders = equal.new_zeros(batch, count, longest + 1, longest)
        borders[..., 0] = True
        for p in range(1, longest + 1):
            borders[..., p, 1:] = borders[..., p - 1, :-1] & equal[..., p - 1, :-1]
        return borders & (torch.arange(longest, device=equal.device) < self.lengths[..., None])[..., None, :]

    def start(self) -> TermProgress:
        """Of the empty hypothesis, N = 1."""
        position = torch.zeros_like(self.lengths)[:, None]
        return TermProgress(position > 0, position, torch.full_like(position[..., 0], -1))

    def extend(self, progress: TermProgress, tokens: Tensor) -> TermProgress:
        """Of the hypotheses with one more token each, tokens (B, N)."""
        met, position, pending = progress
        same = (self.ids[:, None] == tokens[..., None, None]) & ~met[..., None]  # (B, N, C, L)
        fits = same & self.borders[(*self._rows(position), position)]
        lengths = fits * torch.arange(1, fits.shape[3] + 1, device=fits.device)  # of beginnings of terms
        before = position.amax(2)
        grows = lengths.amax((2, 3)) > before
        pending = pending.masked_fill(self._continues_word(tokens) & ~same[..., 0].any(2), -1)
        meets = (pending >= 0) & ~grows
        met = met | (meets[..., None] & self._is(pending))
        # no term begins before the end of the one that is met
        room = torch.where(meets, before + 1 - self._length_of(pending), self.ids.shape[2])
        lengths = lengths.masked_fill((lengths > room[..., None, None]) | met[..., None], 0)
        position = lengths.amax(3)
        complete = (position > 0) & (position == self.lengths[:, None]) & (position == position.amax(2, keepdim=True))
        pending = torch.where(complete.any(2), complete.int().argmax(2), pending.masked_fill(meets, -1))
        return TermProgress(met, position, pending)

    def missing(self, progress: TermProgress) -> Tensor:
        """(B, N) the least number of tokens by which hypotheses hold all terms."""
        return (self.lengths[:, None] * ~progress.met).sum(2) - progress.begun()

    def next_ids(self, progress: TermProgress) -> Tensor:
        """(B, N, 2 C) the ids that begin or continue a missing term, PAD where there is none."""
        met, position, pending = progress
        absent = met | self._is(pending) | (self.lengths == 0)[:, None]
        following = self.ids[(*self._rows(position), position.clamp(max=self.ids.shape[2] - 1))]
        whole = position >= self.lengths[:, None]
        first = self.ids[:, None, :, 0].expand_as(following)
        return torch.cat((first.masked_fill(absent, PAD), following.masked_fill(absent | whole, PAD)), 2)

    def select(self, sentences: Tensor) -> None:
        """Keep the sentences (B',)."""
        for name in ("ids", "lengths", "borders"):
            setattr(self, name, getattr(self, name)[sentences])

    def _rows(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """The indices of the terms to which position (B, N, C) belongs."""
        sentences, terms = (torch.arange(size, device=position.device) for size in self.lengths.shape)
        return sentences[:, None, None], terms

    def _is(self, term: Tensor) -> Tensor:
        """(B, N, C) one-hot of the numbers of terms (B, N), nothing for -1."""
        return term[..., None] == torch.arange(self.ids.shape[1], device=term.device)

    def _length_of(self, term: Tensor) -> Tensor:
        """(B, N) the lengths of the terms with these numbers; of any term for -1."""
        return self.lengths.gather(1, term.clamp(min=0))

    def _continues_word(self, tokens: Tensor) -> Tensor:
        """(B, N) whether the tokens continue a word; copied words begin one."""
        size = len(self.continuing)
        return self.continuing[tokens.clamp(max=size - 1)] & (tokens < size)


class ConstrainedBeamSearch(BeamSearch):
    """A beam search whose hypotheses end with all terms of their sentence."""

    def __init__(self, memory: Memory, *, terms: Sequence[TermIds], continuing: Tensor | None, **options: Any) -> None:
        super().__init__(memory, **options)
        most, starts = self.max_lengths.tolist(), options["prefix"] or [()] * len(self.max_lengths)
        check_terms(terms, [longest - len(start) for longest, start in zip(most, starts, strict=True)])
        self.terms = TermTensors(terms, continuing, self.max_lengths.device)
        self.progress = self.terms.start()

    def advance(self, log_probs: Tensor, weights: Tensor | None) -> Tensor | None:
        parents = super().advance(log_probs, weights)
        added = self.steps[-1]
        self.progress = self.terms.extend(self.progress.of(added.parent), added.token)
        return parents

    def best_continuations(self, log_probs: Tensor) -> tuple[Tensor, Tensor]:
        progress, (batch, width, size) = self.progress, log_probs.shape
        required = self.terms.next_ids(progress)  # (B, W, 2 C)
        kept = log_probs.gather(2, required)
        free = ~self.constraint.forced(self.tokens.shape[2])[:, None, None] & (required != PAD)
        self.constraint(log_probs, self.tokens)
        log_probs.scatter_(2, required, torch.where(free, kept, log_probs.gather(2, required)))
        log_probs[..., EOS].masked_fill_(self.terms.missing(progress) > 0, -torch.inf)

        likeliest = stable_topk(log_probs.flatten(0, 1), 2 * self.beam)[1].view(batch, width, -1)
        token = torch.cat((likeliest, required), 2).sort(2).values  # (B, W, K)
        score = log_probs.gather(2, token)
        score[..., 1:].masked_fill_(token[..., 1:] == token[..., :-1], -torch.inf)
        parent = torch.arange(width, device=token.device).repeat_interleave(token.shape[2]).expand(batch, -1)
        token = token.flatten(1)  # (B, N), in the order of hypotheses, then of ids
        total = score.flatten(1) + self.log_prob.gather(1, parent)
        missing = self.terms.missing(self.terms.extend(progress.of(parent), token))
        room = (self.max_lengths - self.tokens.shape[2] - 1).clamp(min=0)
        total = total.masked_fill(missing > room[:, None], -torch.inf)
        best = allocate(total, missing, 2 * self.beam, self.terms.banks)
        return total.gather(1, best), (parent * size + token).gather(1, best)

    def select(self, sentences: Tensor) -> None:
        super().select(sentences)
        self.terms.select(sentences)
        self.progress = self.progress.select(sentences)


def allocate(scores: Tensor, banks: Tensor, count: int, last: int) -> Tensor:
    """The first `count` of candidates by dynamic beam allocation: the best of each bank, from the lowest number on,
    then the second of each, and so on; indices (B, count).

    scores (B, N): -inf where a candidate is not allowed, ties in the order of the indices
    banks (B, N): from 0 to `last` - 1"""
    size = scores.shape[1]
    banks = banks.masked_fill(scores == -torch.inf, last)
    order = scores.argsort(dim=1, descending=True, stable=True)
    grouped, index = banks.gather(1, order).sort(dim=1, stable=True)
    columns = torch.arange(size, device=scores.device)
    begins = torch.nn.functional.pad(grouped[:, 1:] != grouped[:, :-1], (1, 0), value=True)
    turn = columns - torch.where(begins, columns, 0).cummax(1).values
    turn = turn.masked_fill(grouped == last, size)
    chosen = (turn * (last + 1) + grouped).argsort(dim=1, stable=True)[:, :count]
    return order.gather(1, index.gather(1, chosen))


@torch.inference_mode()
def constrained_beam_search(
    models: Sequence[Searchable],
    memories: Sequence[Memory],
    *,
    terms: Sequence[TermIds],
    continuing: Tensor | None = None,
    max_length: Lengths,
    min_length: Lengths = 0,
    beam: int = 5,
    n_best: int = 1,
    penalties: Penalties = NO_PENALTIES,
    constraints: Sequence[Constraint] = (),
    prefix: Sequence[Sequence[int]] | None = None,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """As `beam_search`, and every hypothesis that ends holds the terms of its sentence, each at tokens of its own.

    terms: of each sentence, which may have none; each a sequence of ids, which `constraints` do not forbid
    continuing (V,) bool: ids that continue the word before them, so that a term before them is none

    A term that is given twice is there twice; `prefix` may hold terms. Raises ConfigError for terms that are longer
    together than max_length leaves after the prefix."""
    check_models(models, memories)
    options: dict[str, Any] = {"beam": beam, "n_best": n_best, "penalties": penalties, "constraints": constraints}
    options |= {"min_length": min_length, "max_length": max_length, "prefix": prefix, "attention": attention}
    if not any(terms):
        return run_search(BeamSearch(memories[0], **options), models, memories)
    search = ConstrainedBeamSearch(memories[0], terms=terms, continuing=continuing, **options)
    return run_search(search, models, memories)
