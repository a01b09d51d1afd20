"""Settings that have no effect beside others, and are refused if the user has given them.

The groups refuse others themselves, whoever set them. Those in this table may come from a preset, such as the hidden
size that model.parameters replaces, or stand in saved runs, and are then left as they are."""

import dataclasses
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from seq2seq.config.data import BREAKS
from seq2seq.config.fields import default_value
from seq2seq.errors import ConfigError, shortened


class Ignored(NamedTuple):
    """A setting, and when a value of it that is not the default has no effect."""

    setting: str  # dotted name
    when: Callable[[Any], bool]  # its group, or for a condition on other groups the whole config -> it has no effect
    why: str  # completes "SETTING=VALUE would be ignored: ..."
    whole: bool = False  # whether `when` takes the whole config


IGNORED = (
    Ignored(
        "search.coverage_penalty_kind",
        lambda search: not search.coverage_penalty,
        "search.coverage_penalty=0 charges nothing",
    ),
    Ignored(
        "search.no_repeat",
        lambda search: search.no_repeat > search.max_length,
        "no output is longer than search.max_length",
    ),
    Ignored(
        "training.average",
        lambda training: training.average == "best" and training.keep == 1,
        "the mean of training.keep=1 checkpoint is that checkpoint",
    ),
    Ignored(
        "data.keep_breaks",
        lambda data: data.format not in BREAKS,
        f"only texts of data.format={', '.join(BREAKS)} contain line breaks",
    ),
    Ignored("model.hidden", lambda model: model.name == "rnn" and model.parameters, "model.parameters chooses it"),
    Ignored(
        "model.feedforward",
        lambda model: model.name == "transformer" and model.parameters,
        "model.parameters chooses it",
    ),
    Ignored(
        "search.replace_unknown",
        lambda config: config.model.attention.window == "last",
        "model.attention.window=last always attends to the end of the source",
        whole=True,
    ),
    Ignored(
        "search.replace_unknown",
        lambda config: config.model.attention.scorer == "uniform",
        "model.attention.scorer=uniform attends to all words alike",
        whole=True,
    ),
)


def check_given(group: Any, given: Collection[str], prefix: str = "") -> None:
    """Raise ConfigError for the first of the settings `given` by the user that has no effect.

    group: the config; or with `prefix` its name, as in "search", one group of it, and only rules that need no other.
    given: dotted names. A value that is the default passes."""
    for setting, when, why, whole in IGNORED:
        path, _, name = setting.rpartition(".")
        if setting not in given or (prefix and (whole or path != prefix)):
            continue
        own = group if prefix else getattr(group, path)
        defaults = {field.name: default_value(field) for field in dataclasses.fields(own)}
        value = getattr(own, name, None)
        if value != defaults.get(name) and when(group if whole else own):
            raise ConfigError(f"{setting}={shown(value)} would be ignored: {why}")


def shown(value: Any) -> str:
    """A value as it is written on the command line."""
    return shortened(str(value).lower() if isinstance(value, bool) else value)
