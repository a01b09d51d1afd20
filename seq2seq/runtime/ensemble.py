"""Several models that decode together by their mean probability, as one model."""

import math
from collections.abc import Sequence
from functools import reduce

import numpy as np

from .errors import ConfigError
from .interface import Decoding, ExportedModel, Floats, Ints, Step
from .shortlist import BatchCandidates
from .topk import stable_topk

BLOCK = 2**16  # log-probabilities that are averaged together, so that they stay in the CPU's caches


def log_mean_probability(log_probs: Sequence[Floats]) -> Floats:
    """Logarithm of the models' mean probability: each (..., V) -> (..., V)."""
    parts = [part.reshape(-1, part.shape[-1]) for part in log_probs]
    mean = np.empty_like(parts[0])
    rows = max(1, BLOCK // mean.shape[1])
    for start in range(0, len(mean), rows):
        block = slice(start, start + rows)
        mean[block] = _log_mean([part[block] for part in parts])
    return mean.reshape(log_probs[0].shape)


def _log_mean(log_probs: Sequence[Floats]) -> Floats:
    """log_mean_probability of arrays that the CPU's caches hold."""
    highest = reduce(np.maximum, log_probs).clip(np.finfo(log_probs[0].dtype).min)
    total = sum(np.exp(part - highest) for part in log_probs)
    with np.errstate(divide="ignore"):
        return np.log(total) + highest - math.log(len(log_probs))


def mean_attention(weights: Sequence[Floats | None]) -> Floats | None:
    """Mean attention of the models that return weights: each (..., S) -> (..., S); None if none does."""
    present = [part for part in weights if part is not None]
    return np.mean(present, 0) if present else None


class DecodingEnsemble:
    """The decodings of several models as one."""

    def __init__(self, members: Sequence[Decoding]) -> None:
        self.members = members

    def step(
        self,
        tokens: Ints,
        parents: Ints,
        forbidden: Ints,
        count: int,
        log_probs: bool = False,
        attention: bool = False,
    ) -> Step:
        """The `count` likeliest ids by the mean probability, and the mean attention."""
        steps = [member.step(tokens, parents, forbidden, 1, True, attention) for member in self.members]
        mean = log_mean_probability([step.log_probs for step in steps if step.log_probs is not None])
        return Step(*stable_topk(mean, count), mean, mean_attention([step.weights for step in steps]))

    def select(self, sentences: Ints) -> None:
        """Keep the sentences (B',)."""
        for member in self.members:
            member.select(sentences)


def start_decoding(
    models: Sequence[ExportedModel], source: Ints, copy: Ints, candidates: BatchCandidates | None, steps: int
) -> Decoding:
    """The decoding of source (B, S), of which copy (B, S) holds the target ids, with one model or an ensemble.

    Raises ConfigError if `steps` are more than a model can take."""
    if not models:
        raise ConfigError("no model is given: there is nothing to decode with")
    for model in models:
        if model.max_target is not None and steps > model.max_target:
            raise ConfigError(
                f"max_length={steps - 1} is too long: with EOS the model can take {model.max_target} steps"
            )
    ids = mask = None
    if candidates is not None:
        ids, mask, copy = candidates.ids, candidates.logit_mask, candidates.renumber(copy)
    members = [model.encode(source, copy if model.copies else None, ids, mask) for model in models]
    return members[0] if len(members) == 1 else DecodingEnsemble(members)
