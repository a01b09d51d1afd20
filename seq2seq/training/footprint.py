"""The memory that a training takes at least, estimated from its settings before anything is built."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch

from seq2seq.config import Config, ModelConfig, TrainingConfig
from seq2seq.config.data import MAX_AUTO_SIZE
from seq2seq.data.prepare import Prepared
from seq2seq.errors import ConfigError
from seq2seq.nn.build import build_meta_model
from seq2seq.nn.ops.devices import free_memory
from seq2seq.runtime.fields import default_value
from seq2seq.training.resources import count_parameters
from seq2seq.utils.memory import available_memory, gib

FLOAT = 4  # bytes: weights, gradients and states are float32 in every precision of training
STATES = {"sgd": 0, "adam": 2, "adamw": 2, "adagrad": 1, "adadelta": 2, "adafactor": 0}  # floats for each parameter
SMALLEST = 8  # entries of the smallest vocabulary
SHARE = 0.1  # a setting is named if half of it takes at least this share less memory


class Footprint(NamedTuple):
    """The memory of a training, estimated, and what is there."""

    needed: int  # bytes, at least: see `estimate`
    free: int  # bytes, of the GPU if one is used
    parameters: int
    tokens: int  # padded, of the longer side in the largest batch; 1 if the text is not known


def estimate(config: Config, prepared: Prepared | None = None) -> Footprint:
    """The memory that a training takes at least: parameters, gradients, the optimizer's state, the moving average, and
    one float for each token and unit of a batch.

    prepared: the text, None for a lower bound by the settings alone."""
    parameters = count_parameters(build_meta_model(config.model, *vocabulary_sizes(prepared)))
    copies = 2 + STATES[config.training.optimizer] + (config.training.ema > 0)
    tokens = batch_tokens(config, prepared) if prepared else 1
    free = available_memory()
    on_gpu = config.trainer.accelerator != "cpu" and torch.cuda.is_available()
    if on_gpu and FLOAT * parameters <= free:  # it is initialized on the host
        free = free_memory(torch.device("cuda"))
    return Footprint(FLOAT * (copies * parameters + tokens * units(config.model)), free, parameters, tokens)


def vocabulary_sizes(prepared: Prepared | None) -> tuple[int, int]:
    """Entries of the vocabularies of source and target; of the smallest ones for None."""
    if prepared is None:
        return SMALLEST, SMALLEST
    return prepared.vocabularies.source.size, prepared.vocabularies.target.size


def check_memory(config: Config, prepared: Prepared | None = None) -> None:
    """Raises ConfigError, which names the settings that dominate, for a training that exceeds the free memory by its
    `estimate`."""
    needed, free, parameters, tokens = estimate(config, prepared)
    if needed > free:
        batches = f", in batches of {tokens:,} tokens" if prepared else ""
        raise ConfigError(
            f"this training takes at least {gib(needed)} for {parameters:,} parameters, their gradients and the state "
            f"of training.optimizer={config.training.optimizer}{batches}, and {gib(free)} of memory are free: lower "
            f"{' or '.join(dominating(config, vocabulary_sizes(prepared), tokens))}"
        )


def batch_tokens(config: Config, prepared: Prepared) -> int:
    """Padded tokens of the longer side in the largest batch: at most training.batch_tokens, and all of a small text."""
    text = prepared.train
    longest = np.maximum(text.source_lengths, text.target_lengths)
    return max(int(longest.max()), min(config.training.batch_tokens, int(longest.sum())))


def units(model: ModelConfig) -> int:
    """Activations of one token that the backward pass reads: one for each unit of each layer."""
    size: int = getattr(model, "size", 0) or model.hidden  # type: ignore[attr-defined]
    return size * (model.encoder_layers + model.decoder_layers)


def dominating(config: Config, sizes: tuple[int, ...], tokens: int) -> list[str]:
    """`model.hidden=65536`: up to three settings of which half would take much less memory, most important first.

    Of settings that are at or below their default only if there are no others."""

    def floats(model: ModelConfig, tokens: int = tokens, sizes: tuple[int, ...] = sizes) -> int:
        return count_parameters(build_meta_model(model, *sizes)) + tokens * units(model)

    whole, training = floats(config.model), config.training
    halved_sizes = tuple(max(n // 2, SMALLEST) for n in sizes)
    found = [
        (
            floats(config.model, tokens // 2),
            "training.batch_tokens",
            training.batch_tokens,
            TrainingConfig.batch_tokens,
        ),
        (floats(config.model, sizes=halved_sizes), "tokenizer.size", max(sizes), MAX_AUTO_SIZE),
    ]
    for name, value, default, halved in halves(config.model, "model"):
        with suppress(ConfigError):  # half of it does not fit the other settings
            found.append((floats(halved), name, value, default))
    named = sorted(entry for entry in found if entry[0] < (1 - SHARE) * whole)
    named = [entry for entry in named if entry[2] > entry[3]] or named
    return [f"{name}={value}" for _, name, value, _ in named[:3]] or ["the sizes of the model"]


def halves(group: Any, prefix: str) -> Iterator[tuple[str, int, int, Any]]:
    """Each integer above 1 of a group of settings: name, value, default, and the group with half of the value."""
    for field in fields(group):
        name, value = f"{prefix}.{field.name}", getattr(group, field.name)
        if is_dataclass(value):
            for inner, number, default, halved in halves(value, name):
                yield inner, number, default, replace(group, **{field.name: halved})
        elif isinstance(value, int) and not isinstance(value, bool) and value > 1:
            with suppress(ConfigError):
                yield name, value, default_value(field), replace(group, **{field.name: value // 2})
