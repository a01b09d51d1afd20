"""Batched ancestral sampling without torch, with temperature, top-k and top-p; the same seeds draw the same samples in
any batch.

Every random number is a function of (seed of the sentence, step, number of the sample), so nothing depends on the order
of draws. A token is drawn by inverting the cumulative distribution over the ids in their order.

Shapes: B sentences still in the batch, W samples of each (1 before the first step), K ids that can be drawn: the top-k,
or the whole output.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .batch_search import BatchSearch
from .constraints import Constraints
from .errors import ConfigError, counted
from .history import EndedHypotheses, HistoryStep
from .hypothesis import Hypothesis
from .ids import EOS, PAD
from .interface import ExportedModel, Floats, Ints, Step
from .options import check_sampling
from .random_numbers import UINT64_MAX, uniform_number
from .shortlist import TranslationTable
from .topk import stable_topk

FEW = 100  # ids that are tried first as those that make up top_p


class BatchSampling(BatchSearch):
    """The samples of a batch: W of each sentence, each of which continues itself alone."""

    def __init__(
        self,
        *inputs: Any,
        seeds: Sequence[int],
        samples: int,
        temperature: float,
        top_k: int,
        top_p: float,
        **options: Any,
    ) -> None:
        check_sampling(samples, temperature, top_k, top_p)
        super().__init__(*inputs, count=max(1, top_k), reads_log_probs=not top_k, **options)
        batch = len(self.sentences)
        if len(seeds) != batch:
            raise ConfigError(f"{counted(len(seeds), 'seed')} for {counted(batch, 'sentence')}: each needs one")
        self.seeds = np.array([seed & UINT64_MAX for seed in seeds], np.uint64)[:, None]
        self.samples, self.temperature, self.top_k, self.top_p = samples, temperature, top_k, top_p
        self.log_prob: Floats = np.zeros((batch, samples), np.float32)
        self.ended = np.zeros((batch, samples), bool)

    def advance(self, step: Step) -> HistoryStep:
        log_probs, logits, ids = self._candidates(step)  # (B, 1 or W, K)
        batch, width, count = logits.shape
        parent = np.broadcast_to(np.arange(batch * width).reshape(batch, width), self.ended.shape)
        numbers = uniform_number(self.seeds, self.length, np.arange(self.samples, dtype=np.uint64))
        if ids is None:
            token = place = draw_ids(logits, numbers)  # (B, W)
        else:
            order = np.argsort(ids, axis=2)
            drawn = draw_ids(np.take_along_axis(logits, order, 2), numbers)
            place = order.reshape(-1, count)[parent, drawn]
            token = ids.reshape(-1, count)[parent, place]
        token_log_prob = log_probs.reshape(-1, count)[parent, place]
        at_end = (self.constraints.max_lengths == self.length)[:, None]
        stopped = (at_end & (token != EOS)) | (logits == -np.inf).all(2)
        log_prob = np.where(stopped, self.log_prob, self.log_prob + token_log_prob)
        by_eos = (token == EOS) & ~stopped & ~self.ended
        self._end(by_eos, parent, log_prob, token_log_prob)
        self._end(stopped & ~self.ended, parent, log_prob, None)
        self.log_prob = log_prob
        self.done = np.all(self.ended, 1)
        return HistoryStep(np.where(self.ended, PAD, token), parent, token_log_prob)

    def _candidates(self, step: Step) -> tuple[Floats, Floats, Ints | None]:
        """Log-probabilities and logits (B, W, K) of the ids that can be drawn, and the ids; None if they are all."""
        if self.top_k:
            logits = step.scores / self.temperature
            return step.scores, cut_nucleus(logits, self.top_p) if self.top_p < 1 else logits, step.ids
        assert step.log_probs is not None
        logits = step.log_probs / self.temperature
        if self.top_p >= 1:
            return step.log_probs, logits, None
        logits, ids = nucleus(logits, self.top_p)
        return np.take_along_axis(step.log_probs, ids, 2), logits, ids

    def _end(self, ends: Ints, parent: Ints, log_prob: Floats, eos_log_prob: Floats | None) -> None:
        """End the samples `ends` (B, W), with log-probabilities (B, W); eos_log_prob is None if they have no EOS."""
        rows, samples = np.nonzero(ends)
        if not len(rows):
            return
        score = log_prob[rows, samples]
        eos = None if eos_log_prob is None else eos_log_prob[rows, samples]
        number = parent[rows, samples]
        self.history.end(self.sentences[rows], samples, number, score=score, log_prob=score, eos_log_prob=eos)
        self.ended = self.ended | ends

    def order(self, ended: EndedHypotheses) -> Ints:
        """All samples, by their numbers."""
        return np.lexsort((ended.slot, ended.sentence))

    def select(self, sentences: Ints) -> None:
        super().select(sentences)
        for name in ("seeds", "log_prob", "ended"):
            setattr(self, name, getattr(self, name)[sentences])


def nucleus(logits: Floats, top_p: float) -> tuple[Floats, Ints]:
    """The smallest set of ids of logits (..., V) with probability `top_p` together (Holtzman et al. 2020, eq. 2):
    logits, ids (..., K), best first, -inf where the set has fewer.

    Of equal ids the lower counts as likelier."""
    rows = logits.reshape(-1, logits.shape[-1])
    values, ids = _nucleus_of(rows, top_p, FEW)
    large = np.flatnonzero(values[:, -1] > -np.inf)  # rows whose nucleus may have more
    if len(large) and values.shape[1] < rows.shape[1]:
        more_values, more_ids = _nucleus_of(rows[large], top_p, rows.shape[1])
        width = int((more_values > -np.inf).sum(1).max())
        padding = (0, 0), (0, max(0, width - FEW))
        values, ids = np.pad(values, padding, constant_values=-np.inf), np.pad(ids, padding)
        values[large, :width], ids[large, :width] = more_values[:, :width], more_ids[:, :width]
    shape = (*logits.shape[:-1], -1)
    return values.reshape(shape), ids.reshape(shape)


def _nucleus_of(rows: Floats, top_p: float, most: int) -> tuple[Floats, Ints]:
    """The nucleus of rows (R, V) among their `most` likeliest ids: logits, ids (R, K)."""
    values, ids = stable_topk(rows, most)
    return cut_nucleus(values, top_p, exp_below(rows, values[:, :1]).sum(1, keepdims=True)), ids


def cut_nucleus(logits: Floats, top_p: float, total: Floats | None = None) -> Floats:
    """Logits (..., K), best first, with -inf after those that have the probability `top_p` together.

    total (..., 1): the sum of exp(logits - highest) over all ids; None: they are these K"""
    shares = exp_below(logits, logits[..., :1])
    total = shares.sum(-1, keepdims=True) if total is None else total
    shares /= total.clip(np.finfo(np.float64).tiny)
    return np.where(np.cumsum(shares, -1) - shares >= top_p, -np.inf, logits)


def draw_ids(logits: Floats, numbers: Floats) -> Ints:
    """For logits (B, 1 or W, K) the first index with a cumulative probability above each number (B, W), from [0, 1)."""
    cumulative = np.cumsum(exp_below(logits, logits.max(-1, keepdims=True)), -1)
    below = cumulative <= numbers[..., None] * cumulative[..., -1:]
    return below.sum(-1).clip(max=logits.shape[-1] - 1)


def exp_below(logits: Floats, highest: Floats) -> Floats:
    """exp(logits - highest) in float64, 0 where all logits are -inf."""
    return np.exp((logits - highest.clip(np.finfo(logits.dtype).min)).astype(np.float64))


def sample(
    models: Sequence[ExportedModel],
    source: Ints,
    constraints: Sequence[Constraints],
    *,
    seeds: Sequence[int],
    copy: Ints | None = None,
    shortlist: TranslationTable | None = None,
    samples: int = 1,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """`samples` hypotheses of each sentence, in the order of their numbers; those of a sentence depend on its seed
    alone.

    The log-probabilities are divided by `temperature`, then truncated to the `top_k` likeliest ids (0: all), then to
    those that make up `top_p`. The score of a hypothesis is its log-probability under the models, before any of this.
    The other arguments are those of `beam_search`. Raises ConfigError on options out of range and on limits that cannot
    be met."""
    if not len(source):
        return []
    search = BatchSampling(
        models,
        source,
        constraints,
        copy=copy,
        shortlist=shortlist,
        attention=attention,
        seeds=seeds,
        samples=samples,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
    )
    return search.run()
