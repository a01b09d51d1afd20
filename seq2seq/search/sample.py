"""How are target sentences drawn at random, the same ones in any batch?

Every number drawn is a function of (seed of the sentence, step, number of the sample), so nothing is left to the
order of draws; a token is found by inverting the distribution function over the ids in their order.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seq2seq.errors import ConfigError
from seq2seq.ids import EOS, PAD
from seq2seq.nn.interface import Memory, Model
from seq2seq.search.base import Lengths, Search, run
from seq2seq.search.constraints import Rule
from seq2seq.search.hypothesis import Ends, Hypothesis, SearchStep
from seq2seq.search.topk import largest

GAMMA = 0x9E3779B97F4A7C15


def signed(word: int) -> int:
    """The int64 whose bits are the lowest 64 of `word`."""
    return (word + (1 << 63)) % (1 << 64) - (1 << 63)


def mix(x: Tensor) -> Tensor:
    """The finaliser of SplitMix64 (Steele et al. 2014); int64 that wraps around stands for uint64."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        x = (x ^ logical_shift(x, shift)) * signed(factor)
    return x


def logical_shift(x: Tensor, places: int) -> Tensor:
    """x >> places with zeros moving in, the sign being a bit like others."""
    return (x >> places) & ((1 << (64 - places)) - 1)


def uniform(seeds: Tensor, step: int, samples: int) -> Tensor:
    """seeds (B,) int64 -> (B, samples) float64 in [0, 1): multiples of 2^-48, so that u * total < total always."""
    counter = (step << 32) + 1 + torch.arange(samples, device=seeds.device)
    return logical_shift(mix(mix(seeds[:, None] + signed(GAMMA)) + counter * signed(GAMMA)), 16).double() * 2.0**-48


def truncate(scores: Tensor, top_k: int, top_p: float) -> Tensor:
    """scores (R, V) with -inf wherever an id is not among the `top_k` likeliest (0: all) or, of these, not in the smallest set
    whose probability reaches `top_p` (Holtzman et al. 2020, eq. 2); of equal ids the lower is the likelier."""
    if 0 < top_k < scores.shape[1]:
        values, index = largest(scores, top_k)
        scores = torch.full_like(scores, -torch.inf).scatter(1, index, values)
    if top_p < 1:
        values, index = scores.sort(dim=1, descending=True, stable=True)
        chances = values.double().softmax(1)
        values = values.masked_fill(chances.cumsum(1) - chances >= top_p, -torch.inf)
        scores = torch.empty_like(scores).scatter(1, index, values)
    return scores


def draw(scores: Tensor, numbers: Tensor) -> Tensor:
    """scores (R, V), logits, and numbers (R,) in [0, 1) -> ids (R,): the first whose distribution function is above the number."""
    highest = scores.amax(1, keepdim=True).clamp(min=torch.finfo(scores.dtype).min)
    reached = (scores - highest).double().exp().cumsum(1)
    return (
        torch.searchsorted(reached, numbers[:, None] * reached[:, -1:], right=True)
        .flatten()
        .clamp(max=scores.shape[1] - 1)
    )


class Sampler(Search):
    """The samples of a batch: W of each sentence, which never mix."""

    def __init__(
        self,
        memory: Memory,
        *,
        seeds: Sequence[int],
        samples: int,
        temperature: float,
        top_k: int,
        top_p: float,
        **options: Any,
    ) -> None:
        super().__init__(memory, **options)
        if samples < 1 or temperature <= 0 or top_k < 0 or not 0 < top_p <= 1:
            values = f"samples={samples}, temperature={temperature}, top_k={top_k}, top_p={top_p}"
            raise ConfigError(f"{values}: samples >= 1, temperature > 0, top_k >= 0 and 0 < top_p <= 1 must hold")
        if len(seeds) != len(self.limits):
            raise ConfigError(f"{len(seeds)} seeds for {len(self.limits)} sentences: one of each is needed")
        self.seeds = torch.tensor([signed(seed) for seed in seeds], dtype=torch.long, device=self.limits.device)
        self.samples, self.temperature, self.top_k, self.top_p = samples, temperature, top_k, top_p
        self.log_prob = torch.zeros(len(seeds), samples, device=self.limits.device)
        self.ends = Ends.empty(self.log_prob)

    def advance(self, log_probs: Tensor, weights: Tensor | None) -> Tensor | None:
        first, length = not self.steps, self.tokens.shape[2]
        slots = torch.arange(self.samples, device=log_probs.device).expand(len(log_probs), -1)
        if first:  # all samples of a sentence begin as one row
            self.tokens = self.tokens.expand(-1, self.samples, -1)
            log_probs = log_probs.expand(-1, self.samples, -1)
            weights = None if weights is None else weights.expand(-1, self.samples, -1)
        scores = log_probs / self.temperature
        self.rules(scores, self.tokens)
        numbers = uniform(self.seeds, length, self.samples)
        token = draw(truncate(scores.flatten(0, 1), self.top_k, self.top_p), numbers.flatten()).view_as(slots)
        stopped = (self.limits == length)[:, None] & (token != EOS) | (scores == -torch.inf).all(2)
        taken = log_probs.gather(2, token[..., None])[..., 0]
        self.close(stopped, token == EOS, taken, slots)
        self.steps.append(SearchStep(token, slots, taken, log_probs[..., EOS], weights))
        self.tokens = torch.cat([self.tokens, token.masked_fill(self.over(), PAD)[..., None]], 2)
        return torch.zeros_like(slots) if first else None

    def over(self) -> Tensor:
        """(B, W) which samples have ended."""
        return self.ends.score != -torch.inf

    def close(self, stopped: Tensor, by_eos: Tensor, taken: Tensor, slots: Tensor) -> None:
        """Add `taken` (B, W) to the samples that go on or end by EOS, and note where samples end."""
        before = self.over()
        self.log_prob = torch.where(before | stopped, self.log_prob, self.log_prob + taken)
        length = torch.full_like(slots, self.tokens.shape[2])
        fresh = Ends(self.log_prob, self.log_prob, length, slots, by_eos & ~stopped)
        now = (stopped | by_eos) & ~before
        self.ends = Ends(*(torch.where(now, new, old) for new, old in zip(fresh, self.ends, strict=True)))
        self.done = self.over().all(1)

    def select(self, sentences: Tensor) -> None:
        super().select(sentences)
        self.seeds, self.log_prob = self.seeds[sentences], self.log_prob[sentences]


@torch.inference_mode()
def sample(
    models: Sequence[Model],
    memories: Sequence[Memory],
    *,
    seeds: Sequence[int],
    max_length: Lengths,
    min_length: Lengths = 0,
    samples: int = 1,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    rules: Sequence[Rule] = (),
    prefix: Sequence[Sequence[int]] | None = None,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """`samples` hypotheses of each sentence, in the order of their numbers; a sentence's depend on its seed alone.

    The log-probabilities are divided by `temperature`, then truncated to the `top_k` likeliest ids, then to those that make up
    `top_p`. A hypothesis' score is its log-probability under the models, before any of this. The rest is as in beam_search.
    Raises ConfigError on settings out of range and on limits that cannot be met."""
    options: dict[str, Any] = {
        "rules": rules,
        "min_length": min_length,
        "max_length": max_length,
        "prefix": prefix,
        "attention": attention,
    }
    drawing: dict[str, Any] = {"samples": samples, "temperature": temperature, "top_k": top_k, "top_p": top_p}
    return run(Sampler(memories[0], seeds=seeds, **drawing, **options), models, memories)
