"""The base class of all errors that are raised on purpose, and the error sentence for an unknown name."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

T = TypeVar("T")


class Seq2SeqError(Exception):
    """Base class: `except Seq2SeqError` catches every error that the user can fix."""


class ConfigError(Seq2SeqError):
    """A setting that cannot work, would be ignored, or is misspelt."""


def choose(table: Mapping[str, T], name: str, setting: str) -> T:
    """Return table[name].

    Raises ConfigError with the setting, the value, the nearest name and the choices if the table lacks the name."""
    if name in table:
        return table[name]
    raise ConfigError(unknown(setting, name, table))


def unknown(setting: str, value: str, choices: Iterable[str]) -> str:
    """The error sentence for a value that is none of the choices; it names the nearest one."""
    choices = list(choices)
    near = get_close_matches(value, choices, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{setting}={value!r} is unknown{hint}; choose one of: {', '.join(choices)}"
