"""How does a batch of sentences go on step by step, and leave when done?

Shapes: B sentences still in the batch, W hypotheses of each, t tokens so far, V ids (V + S with a head that copies).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from seq2seq.errors import ConfigError
from seq2seq.ids import BOS
from seq2seq.nn.interface import Memory, Model
from seq2seq.nn.ops import devices
from seq2seq.search.constraints import Rule, combine
from seq2seq.search.ensemble import Ensemble
from seq2seq.search.hypothesis import Ends, Hypothesis, SearchStep, trace

Lengths = int | Sequence[int] | Tensor  # tokens without EOS: one for all sentences, or one of each (B,)

LOOK = 4  # steps between looks at who is done, where looking waits for the device
LEAVING = 0.25  # share of the batch that leaves together


def per_sentence(lengths: Lengths, memory: Memory) -> Tensor:
    """(B,) ids' kind, on the memory's device."""
    return torch.as_tensor(lengths, device=memory.mask.device).long().expand(len(memory.mask)).contiguous()


class Search(ABC):
    """What is known of a batch between two steps. All tensors have the sentences first."""

    def __init__(
        self,
        memory: Memory,
        *,
        rules: Sequence[Rule],
        min_length: Lengths,
        max_length: Lengths,
        prefix: Sequence[Sequence[int]] | None,
        attention: bool,
    ) -> None:
        least, self.limits = per_sentence(min_length, memory), per_sentence(max_length, memory)
        if (wrong := (least > self.limits) | (self.limits < 0)).any():
            number = int(wrong.int().argmax())
            raise ConfigError(
                f"sentence {number} cannot have min_length={int(least[number])} and max_length={int(self.limits[number])}"
            )
        self.rules = combine(rules, least, self.limits, prefix)
        self.mask, self.attention = memory.mask, attention
        self.tokens = self.limits.new_empty(len(self.limits), 1, 0)  # (B, W, t)
        self.done = torch.zeros_like(self.limits, dtype=torch.bool)  # (B,) found hypotheses change no more
        self.steps: list[SearchStep] = []
        self.ends: Ends

    @property
    def needs_attention(self) -> bool:
        return self.attention

    def last(self) -> Tensor:
        """(B, W) the tokens to be fed next."""
        return self.tokens[..., -1] if self.steps else self.tokens.new_full(self.tokens.shape[:2], BOS)

    @abstractmethod
    def advance(self, log_probs: Tensor, weights: Tensor | None) -> Tensor | None:
        """Take log-probabilities (B, W, V), to be overwritten if need be, and attention (B, W, S);
        return the new hypotheses' parents (B, W), None: their own."""

    def select(self, sentences: Tensor) -> None:
        """Keep the sentences (B',)."""
        self.rules, self.limits, self.mask = self.rules.select(sentences), self.limits[sentences], self.mask[sentences]
        self.tokens, self.done, self.ends = self.tokens[sentences], self.done[sentences], self.ends.select(sentences)
        self.steps = [step.select(sentences) for step in self.steps]

    def harvest(self, sentences: Tensor) -> list[list[Hypothesis]]:
        """What was found for the sentences (B',)."""
        steps = [step.select(sentences) for step in self.steps]
        if not self.attention:
            steps = [step._replace(weights=None) for step in steps]
        return trace(steps, self.ends.select(sentences), self.mask[sentences].sum(1).tolist())


def run(search: Search, models: Sequence[Model], memories: Sequence[Memory]) -> list[list[Hypothesis]]:
    """Step until all sentences are done; they leave the batch in groups."""
    steps = max(search.limits.tolist(), default=-1) + 1
    ensemble = Ensemble(models, memories, steps)
    index = torch.arange(len(search.limits), device=search.limits.device)  # which sentence each row is of
    found: dict[int, list[Hypothesis]] = {}
    look = LOOK if devices.asynchronous(index) else 1
    for step in range(1, steps + 1):
        width = search.tokens.shape[1]
        parents = search.advance(*ensemble.step(search.last(), search.needs_attention))
        staying = None
        if (step % look == 0 or step == steps) and len(gone := leaving(search.done)):
            found |= zip(index[gone].tolist(), search.harvest(gone), strict=True)
            staying = (~search.done).nonzero().flatten()
            index = index[staying]
        if not len(index):
            break
        reorder(search, ensemble, parents, staying, width)
    return [found[i] for i in range(len(found))]


def leaving(done: Tensor) -> Tensor:
    """The sentences (B',) to leave now: all that are done as soon as they are a quarter, since copying memory costs."""
    gone = done.nonzero().flatten()
    return gone if len(gone) >= LEAVING * len(done) else gone[:0]


def reorder(search: Search, ensemble: Ensemble, parents: Tensor | None, staying: Tensor | None, width: int) -> None:
    """One selection of the models' states for both: hypotheses follow their parents, sentences leave."""
    if parents is None and staying is None:
        return
    sentences = torch.arange(len(search.limits), device=search.limits.device)
    if parents is None:
        parents = torch.arange(width, device=sentences.device).expand(len(sentences), -1)
    if staying is not None:
        sentences, parents = staying, parents[staying]
        search.select(staying)
        ensemble.leave(staying)
    ensemble.select(sentences[:, None] * width + parents)
