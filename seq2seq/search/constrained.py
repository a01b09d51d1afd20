"""Beam search in which every hypothesis that ends holds required terms, by dynamic beam allocation.

After Post & Vilar 2018, "Fast Lexically Constrained Decoding with Dynamic Beam Allocation for Neural Machine
Translation", section 3, in arrays as by Hu et al. 2019, "Improved Lexically Constrained Decoding for Translation and
Monolingual Rewriting". The candidates of a sentence are the 2 W likeliest continuations of each live hypothesis, and
the tokens with which it could begin a term that it lacks, or continue the longest that it has begun. They are divided
into banks by the number of tokens of terms that they still lack, and taken in turns: the likeliest of each bank, from
those that lack the fewest tokens, then the second of each, and so on. So a hypothesis is compared with those that have
paid for as much of the terms. EOS is no candidate before all terms are there, and neither is a token after which those
that are missing would not fit into max_length. All else is as in `beam_search`.

Which tokens are a term is what `seq2seq.runtime.terms.place_terms` says, in Python for one hypothesis. Sentences
without terms are searched as by `beam_search`.

Shapes: B sentences still in the batch, N hypotheses of each (W live ones, or their candidates), T nodes of the largest
trie of terms, K next ids of each live hypothesis, V ids.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seq2seq.ids import EOS, PAD
from seq2seq.nn.interface import Memory, Searchable
from seq2seq.runtime.hypothesis import Hypothesis
from seq2seq.runtime.penalties import NO_PENALTIES, Penalties
from seq2seq.runtime.term_tries import TermTries
from seq2seq.runtime.terms import TermIds, check_terms
from seq2seq.search.base import Lengths, run_search
from seq2seq.search.beam import BeamSearch
from seq2seq.search.constraints import Constraint
from seq2seq.search.ensemble import check_models
from seq2seq.search.topk import stable_topk


class TermProgress(NamedTuple):
    """How far hypotheses have come with the terms of their sentences."""

    left: Tensor  # (B, N, T) how many terms each node of the sentence's trie is that are not there
    absent: Tensor  # (B, N) the tokens of all of them
    node: Tensor  # (B, N) the longest beginning of one that the last tokens are
    pending: Tensor  # (B, N) the node of a term that is complete unless the next token continues a longer one or its
    # word; or -1

    def select(self, sentences: Tensor) -> "TermProgress":
        """Keep the sentences (B',)."""
        return TermProgress(*(part[sentences] for part in self))


class TermMoves(NamedTuple):
    """What one more token each makes of hypotheses; as in TermProgress."""

    absent: Tensor  # (B, N)
    node: Tensor  # (B, N)
    pending: Tensor  # (B, N)
    met: Tensor  # (B, N) the node of the term that the token before it was the last of; or -1


class TermTensors:
    """The terms of B sentences, as tensors."""

    def __init__(self, terms: Sequence[TermIds], continuing: Tensor | None, device: torch.device) -> None:
        """continuing (V,) bool: ids that continue the word before them; None: there are none."""
        tries = TermTries(terms)
        self.root, self.token, self.depth, self.end, self.fail, self.keys, self.child, self.first, self.known = (
            torch.from_numpy(part).to(device)
            for part in (
                tries.root,  # of the sentences that are left
                tries.token,
                tries.depth,
                tries.end,
                tries.fail,
                tries.keys,
                tries.child,
                tries.first,
                tries.known,
            )
        )
        self.base, self.size, self.begins, self.continues = tries.base, tries.size, tries.begins, tries.continues
        self.left, self.total = (torch.from_numpy(part).to(device) for part in (tries.left(), tries.total))
        self.continuing = torch.zeros(1, dtype=torch.bool, device=device) if continuing is None else continuing
        self.banks = 1 + int(tries.total.max())  # more than tokens can be missing

    def start(self) -> TermProgress:
        """Of the empty hypothesis, N = 1."""
        root = self.root[:, None]
        return TermProgress(self.left[:, None], self.total[:, None], root, torch.full_like(root, -1))

    def moves(self, progress: TermProgress, parents: Tensor, tokens: Tensor) -> TermMoves:
        """Of the hypotheses with the numbers parents (B, N') when each has one more token, tokens (B, N')."""
        sums, rows = self._sums(progress)
        rows, before, pending, absent = (
            part.gather(1, parents) for part in (rows, progress.node, progress.pending, progress.absent)
        )
        root = self.root[:, None].expand_as(tokens)
        grows = self._lacking(sums, rows, self._child(before, tokens), None)
        begins = self._lacking(sums, rows, self._child(root, tokens), None)
        pending = pending.masked_fill(self._continues_word(tokens) & ~begins, -1)
        met = pending.masked_fill(grows, -1)
        meets = met >= 0
        # no term begins before the end of the one that is met
        room = torch.where(meets, self.depth[before] + 1 - self.depth[met], self.size)
        place, node, searching = before, root, self._is_of_terms(root, tokens)
        while searching.any():
            child = self._child(place, tokens)
            found = searching & (self.depth[child] <= room) & self._lacking(sums, rows, child, met)
            node = torch.where(found, child, node)
            searching = searching & ~found & (place != root)
            place = self.fail[place]
        sentences = torch.arange(len(parents), device=parents.device)[:, None]
        complete = progress.left[sentences, parents, node - root] > (meets & (node == met)).long()
        pending = torch.where(complete, node, pending.masked_fill(meets, -1))
        return TermMoves(absent - meets * self.depth[met], node, pending, met)

    def extend(self, progress: TermProgress, parents: Tensor, tokens: Tensor) -> TermProgress:
        """Of the hypotheses with the numbers parents (B, N') when each has one more token, tokens (B, N')."""
        moves = self.moves(progress, parents, tokens)
        left = progress.left[torch.arange(len(parents), device=parents.device)[:, None], parents]
        met = (moves.met - self.root[:, None]).clamp(min=0)[..., None]
        left = left.scatter_add(2, met, -(moves.met >= 0).long()[..., None])
        return TermProgress(left, moves.absent, moves.node, moves.pending)

    def missing(self, progress: TermProgress | TermMoves) -> Tensor:
        """(B, N) the least number of tokens by which hypotheses hold all terms."""
        return progress.absent - self.depth[progress.node]

    def next_ids(self, progress: TermProgress) -> Tensor:
        """(B, N, K) the ids that begin a missing term, or continue the longest begun, PAD where there is none."""
        sums, rows = self._sums(progress)
        root = self.root[:, None].expand_as(progress.node)
        child = torch.cat((self._children(root, self.begins), self._children(progress.node, self.continues)), 2)
        lacking = self._lacking(sums, rows[..., None], child, progress.pending[..., None])
        return torch.where(lacking, self.token[child], PAD)

    def select(self, sentences: Tensor) -> None:
        """Keep the sentences (B',)."""
        self.root = self.root[sentences]

    def _sums(self, progress: TermProgress) -> tuple[Tensor, Tensor]:
        """Sums of `left` over the nodes before each, flat, and where those of each hypothesis (B, N) begin, less the
        number of its root."""
        batch, width, size = progress.left.shape
        sums = torch.nn.functional.pad(progress.left.cumsum(2), (1, 0)).flatten()
        rows = torch.arange(batch * width, device=sums.device).view(batch, width) * (size + 1)
        return sums, rows - self.root[:, None]

    def _lacking(self, sums: Tensor, rows: Tensor, nodes: Tensor, but: Tensor | None) -> Tensor:
        """Whether hypotheses lack a term that begins with the nodes, besides one that is the node `but`; False for
        node -1."""
        exists, end = nodes >= 0, self.end[nodes]
        found = sums[torch.where(exists, rows + end, 0)] - sums[torch.where(exists, rows + nodes, 0)]
        return found > (0 if but is None else ((nodes <= but) & (but < end)).long())

    def _child(self, nodes: Tensor, tokens: Tensor) -> Tensor:
        """The nodes that continue nodes with tokens, -1 where there are none."""
        keys = nodes * self.base + tokens.clamp(max=self.base - 1)
        places = torch.searchsorted(self.keys, keys).clamp(max=len(self.keys) - 1)
        return torch.where(self.keys[places] == keys, self.child[places], -1)

    def _children(self, nodes: Tensor, most: int) -> Tensor:
        """(B, N, most) the first nodes that continue each node (B, N), then -1."""
        places = self.first[nodes][..., None] + torch.arange(most, device=nodes.device)
        within = places < self.first[nodes + 1][..., None]
        return torch.where(within, self.child[places.clamp(max=len(self.child) - 1)], -1)

    def _is_of_terms(self, root: Tensor, tokens: Tensor) -> Tensor:
        """(B, N) whether any term of their sentences has the tokens."""
        keys = root * self.base + tokens.clamp(max=self.base - 1)
        return self.known[torch.searchsorted(self.known, keys).clamp(max=len(self.known) - 1)] == keys

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
        self.progress = self.terms.extend(self.progress, added.parent, added.token)
        return parents

    def best_continuations(self, log_probs: Tensor) -> tuple[Tensor, Tensor]:
        progress, (batch, width, size) = self.progress, log_probs.shape
        required = self.terms.next_ids(progress)  # (B, W, K')
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
        missing = self.terms.missing(self.terms.moves(progress, parent, token))
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
