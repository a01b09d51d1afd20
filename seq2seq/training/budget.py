"""Which size gives a model about so many parameters? One size moves, all other settings stay what they are."""

from collections.abc import Callable
from dataclasses import replace
from math import lcm

from seq2seq.config import ModelConfig
from seq2seq.errors import ConfigError
from seq2seq.nn.build import build_meta_model
from seq2seq.training.resources import parameters

TOLERANCE = 0.02  # share of the wanted number that is near enough


def sized(model: ModelConfig, source_size: int, target_size: int) -> ModelConfig:
    """`model` with the size of its family in SIZES chosen so that it comes nearest to model.parameters, if that is set.

    The size that was given makes no difference. ConfigError names the nearest number if that is further away than TOLERANCE."""
    wanted = model.parameters
    if not wanted:
        return model
    name, step = SIZES[model.name]
    step = lcm(step, model.attention.heads)

    def of(steps: int) -> ModelConfig:
        return replace(model, **{name: steps * step})  # type: ignore[arg-type]

    def count(steps: int) -> int:
        try:
            return parameters(build_meta_model(of(steps), source_size, target_size))
        except ConfigError as error:
            raise ConfigError(f"model.parameters chooses model.{name}, and with {steps * step}: {error}") from None

    low = largest(count, wanted)
    best = min((low, low + 1), key=lambda steps: abs(count(steps) - wanted))
    if abs(count(best) - wanted) > TOLERANCE * wanted:
        nearest = f"the nearest is {count(best):,} with model.{name}={best * step}"
        raise ConfigError(
            f"model.parameters={wanted:,} cannot be had by model.{name} alone: {nearest}; other settings have to change"
        )
    return of(best)


def largest(count: Callable[[int], int], wanted: int) -> int:
    """The largest n from 1 on whose count, which grows with n, is at most `wanted`; 1 if none is."""
    high = 2
    while count(high) <= wanted:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= wanted else (low, middle)
    return low


# model -> the size that moves, in steps of (and of the attention's heads): what else is set stays valid with it
SIZES = {"rnn": ("hidden", 2), "transformer": ("feedforward", 1)}
