"""Choosing one size of a model so that it has about model.parameters parameters; no other setting changes."""

from collections.abc import Callable
from dataclasses import fields, replace
from math import lcm

from seq2seq.config import ModelConfig
from seq2seq.errors import ConfigError
from seq2seq.nn.build import build_meta_model
from seq2seq.training.resources import count_parameters

TOLERANCE = 0.02  # share of model.parameters by which the result may differ from it

# model -> the size that is chosen, and its step: multiples of it, and of the attention's heads, suit all other settings
SIZES = {"rnn": ("hidden", 2), "transformer": ("feedforward", 1)}


def resize_to_budget(model: ModelConfig, source_size: int, target_size: int) -> ModelConfig:
    """`model` with its size in SIZES chosen to come nearest to model.parameters; unchanged if model.parameters is 0.

    source_size, target_size: of the vocabularies. The size that `model` has makes no difference.
    Raises ConfigError with the nearest number of parameters if that differs by more than TOLERANCE."""
    wanted = model.parameters
    if not wanted:
        return model
    name, step = SIZES[model.name]
    step = lcm(step, model.attention.heads)

    bounds = next(field.metadata["bounds"] for field in fields(model) if field.name == name)

    def resized(steps: int) -> ModelConfig:
        return replace(model, **{name: steps * step})  # type: ignore[arg-type]

    def count(steps: int) -> int:
        try:
            return count_parameters(build_meta_model(resized(steps), source_size, target_size))
        except ConfigError as error:
            raise ConfigError(f"model.parameters chooses model.{name}, and with {steps * step}: {error}") from None

    most = max(1, int(bounds.most) // step)
    low = largest_within(count, wanted, most)
    best = min((low, min(low + 1, most)), key=lambda steps: abs(count(steps) - wanted))
    if abs(count(best) - wanted) > TOLERANCE * wanted:
        raise ConfigError(
            f"model.parameters={wanted:,} cannot be reached by model.{name} alone: the nearest is {count(best):,} with "
            f"model.{name}={best * step}; change other sizes too"
        )
    return resized(best)


def largest_within(count: Callable[[int], int], limit: int, most: int) -> int:
    """The largest n from 1 to `most` with count(n) <= limit, by bisection, as count grows with n; 1 if none is."""
    low = 1
    while low < most and count(min(2 * low, most)) <= limit:
        low = min(2 * low, most)
    high = min(2 * low, most + 1)
    while high - low > 1:
        middle = (low + high) // 2
        if count(middle) <= limit:
            low = middle
        else:
            high = middle
    return low
