"""The memory that a training takes at least, estimated from its settings before anything is built."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch

from seq2seq.config import Config, ModelConfig
from seq2seq.data.prepare import Prepared
from seq2seq.errors import ConfigError
from seq2seq.nn.build import build_meta_model
from seq2seq.nn.ops.devices import free_memory
from seq2seq.training.resources import count_parameters
from seq2seq.utils.memory import available_memory, gib

FLOAT = 4  # bytes: weights, gradients and states are float32 in every precision of training
STATES = {"sgd": 0, "adam": 2, "adamw": 2, "adagrad": 1, "adadelta": 2, "adafactor": 0}  # floats for each parameter
SMALLEST = 8  # entries of the smallest vocabulary
SHARE = 0.1  # a setting is named if half of it takes at least this share less memory


def check_memory(config: Config, prepared: Prepared | None = None) -> None:
    """Raises ConfigError, which names the settings that dominate, for a training that exceeds the free memory.

    prepared: the text, None for a lower bound by the settings alone. The estimate is a lower bound as well: parameters,
    gradients, the optimizer's state, the moving average, and one float for each token and unit of a batch."""
    sizes = (prepared.vocabularies.source.size, prepared.vocabularies.target.size) if prepared else (SMALLEST,) * 2
    parameters = count_parameters(build_meta_model(config.model, *sizes))
    copies = 2 + STATES[config.training.optimizer] + (config.training.ema > 0)
    tokens = batch_tokens(config, prepared) if prepared else 1
    needed = FLOAT * (copies * parameters + tokens * units(config.model))
    free = available_memory()
    on_gpu = config.trainer.accelerator != "cpu" and torch.cuda.is_available()
    if on_gpu and FLOAT * parameters <= free:  # it is initialized on the host
        free = free_memory(torch.device("cuda"))
    if needed > free:
        raise ConfigError(
            f"this training takes at least {gib(needed)} for {parameters:,} parameters, their gradients and the state "
            f"of training.optimizer={config.training.optimizer}, in batches of {tokens:,} tokens, and {gib(free)} of "
            f"memory are free: lower {' or '.join(dominating(config, sizes, tokens))}"
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
    """`model.hidden=65536`: the settings, most important first, of which half would take much less memory."""

    def floats(model: ModelConfig, tokens: int = tokens, sizes: tuple[int, ...] = sizes) -> int:
        return count_parameters(build_meta_model(model, *sizes)) + tokens * units(model)

    whole = floats(config.model)
    found = {f"training.batch_tokens={config.training.batch_tokens}": floats(config.model, tokens // 2)}
    if max(sizes) > SMALLEST:
        found[f"tokenizer.size={config.tokenizer.size}"] = floats(config.model, sizes=tuple(n // 2 for n in sizes))
    for name, value, halved in halves(config.model, "model"):
        try:
            found[f"{name}={value}"] = floats(halved)
        except ConfigError:  # half of it does not fit the other settings
            continue
    named = sorted((rest, words) for words, rest in found.items() if rest < (1 - SHARE) * whole)
    return [words for _, words in named[:3]] or ["the sizes of the model"]


def halves(group: Any, prefix: str) -> Iterator[tuple[str, int, Any]]:
    """Each integer above 1 of a group of settings: its name, its value, and the group with half of it."""
    for field in fields(group):
        name, value = f"{prefix}.{field.name}", getattr(group, field.name)
        if is_dataclass(value):
            for inner, number, halved in halves(value, name):
                yield inner, number, replace(group, **{field.name: halved})
        elif isinstance(value, int) and not isinstance(value, bool) and value > 1:
            try:
                halved = replace(group, **{field.name: value // 2})
            except ConfigError:
                continue
            yield name, value, halved
