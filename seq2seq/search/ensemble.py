"""Several models that decode together by their mean probability."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from seq2seq.errors import ConfigError
from seq2seq.nn.interface import Memory, Searchable


def log_mean_probability(log_probs: Sequence[Tensor]) -> Tensor:
    """Logarithm of the models' mean probability, in float32 or wider: each (..., V) -> (..., V)."""
    wide = [part.to(torch.promote_types(part.dtype, torch.float32)) for part in log_probs]
    return wide[0] if len(wide) == 1 else torch.stack(wide).logsumexp(0) - math.log(len(wide))


def mean_attention(weights: Sequence[Tensor | None]) -> Tensor:
    """Mean attention of the models that return weights: each (..., S) -> (..., S)."""
    present = [part for part in weights if part is not None]
    return present[0] if len(present) == 1 else torch.stack(present).mean(0)


def check_models(models: Sequence[Searchable], memories: Sequence[Memory]) -> None:
    """Raise ConfigError unless they are as many memories as models, of at least one, each in a list or tuple."""
    if not isinstance(models, list | tuple) or not isinstance(memories, list | tuple) or isinstance(memories, Memory):
        raise ConfigError("models and memories are lists, also for a single model: write [model], [memory]")
    if not models or len(models) != len(memories):
        raise ConfigError(
            f"each model needs its own memory, but {len(models)} models and {len(memories)} memories are given"
        )


class Ensemble:
    """Models that step together, each with the Memory of the same B sentences; one model is an ensemble of one.

    Memories have B rows; states have B rows at first and B * W after `select_rows`.
    Raises ConfigError if `capacity` steps are more than a model can take."""

    def __init__(self, models: Sequence[Searchable], memories: Sequence[Memory], capacity: int) -> None:
        for model in models:
            if model.max_target is not None and capacity > model.max_target:
                raise ConfigError(
                    f"max_length={capacity - 1} is too long: with EOS the model can take {model.max_target} steps"
                )
        self.models, self.memories = list(models), list(memories)
        self.states = [model.start(memory, capacity) for model, memory in zip(models, memories, strict=True)]

    def step(self, tokens: Tensor, attention: bool) -> tuple[Tensor, Tensor | None]:
        """tokens (B, W) -> log-probabilities (B, W, V) and, if `attention`, attention weights (B, W, S), else None."""
        outputs = []
        for i, (model, memory) in enumerate(zip(self.models, self.memories, strict=True)):
            output, self.states[i] = model.step(tokens.flatten(), self.states[i], memory, attention)
            outputs.append(output)
        parts = zip(self.models, outputs, self.memories, strict=True)
        log_probs = log_mean_probability([model.head.log_probs(output, memory) for model, output, memory in parts])
        weights = mean_attention([output.weights for output in outputs]) if attention else None
        return log_probs.unflatten(0, tokens.shape), None if weights is None else weights.unflatten(0, tokens.shape)

    def select_rows(self, rows: Tensor) -> None:
        """Keep, repeat or reorder hypotheses in the states: rows (B', W') index the B * W rows, as in
        `Searchable.select`."""
        self.states = [model.select(rows, state) for model, state in zip(self.models, self.states, strict=True)]

    def select_sentences(self, sentences: Tensor) -> None:
        """Keep the sentences (B',) in the memories; `select_rows` does so in the states."""
        self.memories = [memory.select(sentences) for memory in self.memories]
