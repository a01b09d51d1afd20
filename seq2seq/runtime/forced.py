"""Forced decoding without torch: log-probabilities and attention of given target sentences.

Shapes: B sentences still in the batch, S source positions.
"""

from collections.abc import Sequence

import numpy as np

from .ensemble import start_decoding
from .hypothesis import Hypothesis
from .ids import BOS, EOS, PAD
from .interface import ExportedModel, Ints
from .options import MIN_DONE_SHARE


def score_targets(
    models: Sequence[ExportedModel],
    source: Ints,
    copy: Ints,
    targets: Sequence[Sequence[int]],
    *,
    attention: bool = False,
) -> list[Hypothesis]:
    """`targets`, ids without BOS and EOS, as finished hypotheses; their score is their log-probability.

    source (B, S): ids of the sentences, EOS, then PAD; copy (B, S): the target ids that copying each position yields.
    Several models count with their mean probability. Raises ConfigError for a target that is too long for a model."""
    lengths = np.array([len(target) + 1 for target in targets])
    steps = int(lengths.max())
    index: Ints = np.arange(len(targets))  # (B,)
    outputs = np.full((len(targets), steps), PAD)
    for row, target in zip(outputs, targets, strict=True):
        row[: len(target) + 1] = [*target, EOS]
    decoding = start_decoding(models, source, copy, None, steps)
    log_probs: list[list[float]] = [[] for _ in targets]
    weights: list[list[Ints]] = [[] for _ in targets]
    tokens: Ints = np.full((len(targets), 1), BOS)
    for step in range(steps):
        done = lengths[index] <= step
        if np.count_nonzero(done) >= MIN_DONE_SHARE * len(index):
            decoding.select(np.flatnonzero(~done))
            index, tokens, done = index[~done], tokens[~done], done[~done]
        nothing = np.full((len(index), 1, 1), PAD)
        found = decoding.step(tokens, np.zeros_like(tokens), nothing, 1, True, attention)
        assert found.log_probs is not None
        tokens = outputs[index, step][:, None]
        values = np.take_along_axis(found.log_probs[:, 0], tokens, 1)[:, 0].tolist()
        for place, number in enumerate(index):
            if not done[place]:
                log_probs[number].append(values[place])
                if attention and found.weights is not None:
                    weights[number].append(found.weights[place, 0].copy())
    sizes = (source != PAD).sum(1)
    return [
        Hypothesis(list(target), sum(own), sum(own), own, True, np.stack(rows)[:, :size] if rows else None)
        for target, own, rows, size in zip(targets, log_probs, weights, sizes, strict=True)
    ]
