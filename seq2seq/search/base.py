"""Base class of the batched searches, and the loop that steps the models; finished sentences leave the batch.

Shapes: B sentences still in the batch, W hypotheses of each, t tokens so far, S source positions, V ids (V + S with a
head that copies).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from seq2seq.errors import ConfigError, quoted
from seq2seq.ids import BOS
from seq2seq.nn.interface import Memory, Searchable
from seq2seq.nn.ops import devices
from seq2seq.runtime.bounds import SEARCH_BOUNDS
from seq2seq.runtime.hypothesis import Hypothesis
from seq2seq.runtime.options import MIN_DONE_SHARE
from seq2seq.search.backtrace import Endings, SearchStep, backtrace
from seq2seq.search.constraints import Constraint, combine_constraints
from seq2seq.search.ensemble import Ensemble
from seq2seq.utils.memory import gib

Lengths = int | Sequence[int] | Tensor  # tokens without EOS: one for all sentences, or one for each (B,)

CHECK_EVERY = 4  # steps between checks for finished sentences on a GPU, where each check waits for the device
SMALL = 1 << 28  # bytes of a step: more than this is compared with the free memory


class Search(ABC):
    """The state of a search between two steps. All tensors have the sentences first; subclasses set `endings`.

    width: hypotheses of each sentence from the second step on, W
    Raises ConfigError on lengths that cannot be met, and for the prefix as `combine_constraints` does."""

    def __init__(
        self,
        memory: Memory,
        *,
        width: int,
        constraints: Sequence[Constraint],
        min_length: Lengths,
        max_length: Lengths,
        prefix: Sequence[Sequence[int]] | None,
        attention: bool,
    ) -> None:
        min_lengths = per_sentence("min_length", min_length, memory)
        self.max_lengths = per_sentence("max_length", max_length, memory)
        wrong = (min_lengths > self.max_lengths) | (self.max_lengths < 0)
        if wrong.any():
            b = int(wrong.int().argmax())
            raise ConfigError(
                f"sentence {b} cannot have min_length={int(min_lengths[b])} and max_length={int(self.max_lengths[b])}"
            )
        self.constraint = combine_constraints(constraints, min_lengths, self.max_lengths, prefix)
        self.mask, self.sizes = memory.mask, memory.lengths
        self.attention, self.width = attention, width
        self.tokens = self.max_lengths.new_empty(len(self.max_lengths), 1, 0)  # (B, W, t)
        self.done = torch.zeros_like(self.max_lengths, dtype=torch.bool)  # (B,) the endings are final
        self.steps: list[SearchStep] = []
        self.endings: Endings

    @property
    def needs_attention(self) -> bool:
        """Whether `advance` needs attention weights; here, whether the hypotheses return them."""
        return self.attention

    def last_tokens(self) -> Tensor:
        """(B, W) the tokens to be fed to the models next; BOS before the first step."""
        return self.tokens[..., -1] if self.steps else self.tokens.new_full(self.tokens.shape[:2], BOS)

    @abstractmethod
    def advance(self, log_probs: Tensor, weights: Tensor | None) -> Tensor | None:
        """Extend the hypotheses by one token, given log_probs (B, W, V), which it may overwrite, and weights (B, W, S).

        Returns for each new hypothesis the one of the last step that it continues (B, W), its parent; None if each
        hypothesis continues itself."""

    def select(self, sentences: Tensor) -> None:
        """Keep the sentences (B',)."""
        self.constraint = self.constraint.select(sentences)
        self.mask, self.sizes = self.mask[sentences], self.sizes[sentences]
        self.tokens, self.max_lengths = self.tokens[sentences], self.max_lengths[sentences]
        self.done, self.endings = self.done[sentences], self.endings.select(sentences)
        self.steps = [step.select(sentences) for step in self.steps]

    def hypotheses(self, sentences: Tensor) -> list[list[Hypothesis]]:
        """The hypotheses found so far for the sentences (B',)."""
        steps = [step.select(sentences) for step in self.steps]
        if not self.attention:
            steps = [step._replace(weights=None) for step in steps]
        return backtrace(steps, self.endings.select(sentences), self.sizes[sentences].tolist())


def per_sentence(name: str, lengths: Lengths, memory: Memory) -> Tensor:
    """The lengths called `name` as int64 (B,) on the memory's device.

    Raises ConfigError unless they are integers, one or B of them, that do not exceed the bound of search.max_length."""
    bounds = SEARCH_BOUNDS["max_length"]
    try:
        found = torch.as_tensor(lengths, device=memory.mask.device)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise ConfigError(f"{name}={quoted(lengths)} is not an integer for each sentence") from None
    if found.is_floating_point() or found.dtype == torch.bool or found.shape not in ((), (len(memory.mask),)):
        raise ConfigError(f"{name}={quoted(lengths)} is not an integer for each of {len(memory.mask)} sentences")
    if found.numel() and (longest := int(found.max())) > bounds.most:
        bounds.check(name, longest)
    return found.long().expand(len(memory.mask)).contiguous()


def run_search(search: Search, models: Sequence[Searchable], memories: Sequence[Memory]) -> list[list[Hypothesis]]:
    """Step `models` until all B sentences are done; the hypotheses of each sentence, in the order of the sentences."""
    max_steps = max(search.max_lengths.tolist(), default=-1) + 1
    ensemble = Ensemble(models, memories, max_steps)
    index = torch.arange(len(search.max_lengths), device=search.max_lengths.device)  # sentences still in the batch
    found: dict[int, list[Hypothesis]] = {}
    check_every = CHECK_EVERY if devices.asynchronous(index) else 1
    for step in range(1, max_steps + 1):
        width = search.tokens.shape[1]
        outputs = ensemble.step(search.last_tokens(), search.needs_attention)
        if step == 1:
            check_memory(outputs[0], search.width)
        parents = search.advance(*outputs)
        staying = None
        if step % check_every == 0 or step == max_steps:
            done = search.done.nonzero().flatten()
            if len(done) and len(done) >= MIN_DONE_SHARE * len(search.done):
                found |= zip(index[done].tolist(), search.hypotheses(done), strict=True)
                staying = (~search.done).nonzero().flatten()
                index = index[staying]
        if not len(index):
            break
        reorder(search, ensemble, parents, staying, width)
    return [found[i] for i in range(len(found))]


def check_memory(log_probs: Tensor, width: int) -> None:
    """Raise ConfigError if `width` hypotheses of each sentence cannot be in memory: log_probs (B, 1, V) is their start.

    A step holds their log-probabilities, and a copy to which those of the hypotheses are added."""
    size = 2 * width * log_probs.numel() * log_probs.element_size()
    if size > SMALL and size > (free := devices.free_memory(log_probs.device)):
        sentences, _, vocabulary = log_probs.shape
        raise ConfigError(
            f"a search with {width} hypotheses for each of {sentences} sentences and a vocabulary of {vocabulary:,} "
            f"takes {gib(size)}, and {gib(free)} of memory are free: lower search.beam or n_best, or search.batch"
        )


def reorder(search: Search, ensemble: Ensemble, parents: Tensor | None, staying: Tensor | None, width: int) -> None:
    """Reorder the models' states: hypotheses follow their parents (B, W), and only the sentences `staying` (B',) stay.

    `width` is W before the step. Both reasons share one selection, since it copies the states."""
    if parents is None and staying is None:
        return
    sentences = torch.arange(len(search.max_lengths), device=search.max_lengths.device)
    if parents is None:
        parents = torch.arange(width, device=sentences.device).expand(len(sentences), -1)
    if staying is not None:
        sentences, parents = staying, parents[staying]
        search.select(staying)
        ensemble.select_sentences(staying)
    ensemble.select_rows(sentences[:, None] * width + parents)
