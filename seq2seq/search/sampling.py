"""Batched ancestral sampling, with temperature, top-k and top-p; the same seeds draw the same samples in any batch.

Every random number is a function of (seed of the sentence, step, number of the sample), so nothing depends on the order
of draws. A token is drawn by inverting the cumulative distribution over the ids in their order.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seq2seq.errors import ConfigError, counted
from seq2seq.ids import EOS, PAD
from seq2seq.nn.interface import Memory, Searchable
from seq2seq.runtime.hypothesis import Hypothesis
from seq2seq.runtime.options import check_sampling
from seq2seq.search.backtrace import Endings, SearchStep
from seq2seq.search.base import Lengths, Search, run_search
from seq2seq.search.constraints import Constraint
from seq2seq.search.ensemble import check_models
from seq2seq.search.topk import stable_topk

GAMMA = 0x9E3779B97F4A7C15  # the increment of SplitMix64: 2^64 divided by the golden ratio, odd


def to_int64(word: int) -> int:
    """The int64 whose bits are the lowest 64 of `word`."""
    return (word + (1 << 63)) % (1 << 64) - (1 << 63)


def splitmix64(x: Tensor) -> Tensor:
    """The output function of SplitMix64 (Steele et al. 2014), elementwise; int64 with wraparound stands for uint64."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        x = (x ^ logical_shift(x, shift)) * to_int64(factor)
    return x


def logical_shift(x: Tensor, places: int) -> Tensor:
    """x >> places of int64 with zeros shifted in, the sign bit being a bit like any other."""
    return (x >> places) & ((1 << (64 - places)) - 1)


def uniform_numbers(seeds: Tensor, step: int, samples: int) -> Tensor:
    """Random numbers (B, samples) in [0, 1) for seeds (B,) int64; float64.

    They are multiples of 2^-48, so that u * total < total for every total."""
    counter = (step << 32) + 1 + torch.arange(samples, device=seeds.device)
    bits = splitmix64(splitmix64(seeds[:, None] + to_int64(GAMMA)) + counter * to_int64(GAMMA))
    return logical_shift(bits, 16).double() * 2.0**-48


def truncate_distribution(scores: Tensor, top_k: int, top_p: float) -> Tensor:
    """Logits (R, V) with -inf outside the `top_k` likeliest ids (0: all) and, of these, outside the nucleus.

    The nucleus is the smallest set of ids with probability `top_p` together (Holtzman et al. 2020, eq. 2). Of equal
    ids the lower counts as likelier."""
    if 0 < top_k < scores.shape[1]:
        values, index = stable_topk(scores, top_k)
        scores = torch.full_like(scores, -torch.inf).scatter(1, index, values)
    if top_p < 1:
        values, index = scores.sort(dim=1, descending=True, stable=True)
        probabilities = values.double().softmax(1)
        values = values.masked_fill(probabilities.cumsum(1) - probabilities >= top_p, -torch.inf)
        scores = torch.empty_like(scores).scatter(1, index, values)
    return scores


def draw_tokens(scores: Tensor, numbers: Tensor) -> Tensor:
    """For each row of logits (R, V) the first id with a cumulative probability above its number (R,), from [0, 1)."""
    highest = scores.amax(1, keepdim=True).clamp(min=torch.finfo(scores.dtype).min)
    cumulative = (scores - highest).double().exp().cumsum(1)
    ids = torch.searchsorted(cumulative, numbers[:, None] * cumulative[:, -1:], right=True).flatten()
    return ids.clamp(max=scores.shape[1] - 1)


class Sampling(Search):
    """The samples of a batch: W of each sentence, each of which continues itself alone."""

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
        check_sampling(samples, temperature, top_k, top_p)
        super().__init__(memory, width=samples, **options)
        if len(seeds) != len(self.max_lengths):
            raise ConfigError(
                f"{counted(len(seeds), 'seed')} for {counted(len(self.max_lengths), 'sentence')}: each needs one"
            )
        device = self.max_lengths.device
        self.seeds = torch.tensor([to_int64(seed) for seed in seeds], dtype=torch.long, device=device)
        self.samples, self.temperature, self.top_k, self.top_p = samples, temperature, top_k, top_p
        self.log_prob = torch.zeros(len(seeds), samples, device=device)  # (B, W)
        self.endings = Endings.empty(self.log_prob)

    def advance(self, log_probs: Tensor, weights: Tensor | None) -> Tensor | None:
        first, length = not self.steps, self.tokens.shape[2]
        slots = torch.arange(self.samples, device=log_probs.device).expand(len(log_probs), -1)
        if first:  # all samples of a sentence begin as one row
            self.tokens = self.tokens.expand(-1, self.samples, -1)
            log_probs = log_probs.expand(-1, self.samples, -1)
            weights = None if weights is None else weights.expand(-1, self.samples, -1)
        scores = log_probs / self.temperature
        self.constraint(scores, self.tokens)
        numbers = uniform_numbers(self.seeds, length, self.samples)
        truncated = truncate_distribution(scores.flatten(0, 1), self.top_k, self.top_p)
        token = draw_tokens(truncated, numbers.flatten()).view_as(slots)
        stopped = (self.max_lengths == length)[:, None] & (token != EOS) | (scores == -torch.inf).all(2)
        token_log_prob = log_probs.gather(2, token[..., None])[..., 0]
        self._end(stopped=stopped, by_eos=token == EOS, token_log_prob=token_log_prob, slots=slots)
        self.steps.append(SearchStep(token, slots, token_log_prob, log_probs[..., EOS], weights))
        self.tokens = torch.cat([self.tokens, token.masked_fill(self._ended(), PAD)[..., None]], 2)
        return torch.zeros_like(slots) if first else None

    def _ended(self) -> Tensor:
        """(B, W) which samples have ended."""
        return self.endings.score != -torch.inf

    def _end(self, *, stopped: Tensor, by_eos: Tensor, token_log_prob: Tensor, slots: Tensor) -> None:
        """Add token_log_prob (B, W) to the samples that continue or end by EOS, and record those that end at this step.

        stopped (B, W) are those that end without EOS: at the maximum length, or because no token is allowed."""
        before = self._ended()
        self.log_prob = torch.where(before | stopped, self.log_prob, self.log_prob + token_log_prob)
        length = torch.full_like(slots, self.tokens.shape[2])
        endings = Endings(self.log_prob, self.log_prob, length, slots, by_eos & ~stopped)
        ends_here = (stopped | by_eos) & ~before
        pairs = zip(endings, self.endings, strict=True)
        self.endings = Endings(*(torch.where(ends_here, new, old) for new, old in pairs))
        self.done = self._ended().all(1)

    def select(self, sentences: Tensor) -> None:
        super().select(sentences)
        self.seeds, self.log_prob = self.seeds[sentences], self.log_prob[sentences]


@torch.inference_mode()
def sample(
    models: Sequence[Searchable],
    memories: Sequence[Memory],
    *,
    seeds: Sequence[int],
    max_length: Lengths,
    min_length: Lengths = 0,
    samples: int = 1,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    constraints: Sequence[Constraint] = (),
    prefix: Sequence[Sequence[int]] | None = None,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """`samples` hypotheses of each sentence, in the order of their numbers; those of a sentence depend on its seed
    alone.

    The log-probabilities are divided by `temperature`, then truncated to the `top_k` likeliest ids (0: all), then to
    those that make up `top_p`. The score of a hypothesis is its log-probability under the models, before any of this.
    The other arguments are those of `beam_search`. Raises ConfigError on options out of range and on limits that cannot
    be met."""
    check_models(models, memories)
    search = Sampling(
        memories[0],
        seeds=seeds,
        samples=samples,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        constraints=constraints,
        min_length=min_length,
        max_length=max_length,
        prefix=prefix,
        attention=attention,
    )
    return run_search(search, models, memories)
