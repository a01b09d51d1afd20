"""Which errors does this package raise on purpose, and how do they read?

Seq2SeqError         whatever the user can mend: the command line prints one line and exits with 2
├── ConfigError      a setting that cannot work, would be ignored, or is misspelt
├── DataError        text that cannot be read as what it should be; the message names file and line
│   └── MissingError text that is not on this machine
├── RunError         a run directory that is missing, half-written, of another version or does not fit
│   └── BusyError    one that another process trains in
└── TrainingError    training that cannot go on: a loss that is not finite, a disk that is full
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

T = TypeVar("T")


class Seq2SeqError(Exception):
    """Base class: `except Seq2SeqError` catches whatever the user can mend."""


class ConfigError(Seq2SeqError):
    """A setting that cannot work, would be ignored, or is misspelt."""


class DataError(Seq2SeqError):
    """Text that cannot be read as what it should be."""


class MissingError(DataError):
    """Text that is not on this machine; it may be on another."""


class RunError(Seq2SeqError):
    """A run directory that is missing, half-written, of another version, or does not fit."""


class BusyError(RunError):
    """A run directory that another process trains in."""


class TrainingError(Seq2SeqError):
    """Training that cannot go on."""


def choose(table: Mapping[str, T], name: str, setting: str) -> T:
    """Return table[name]; else raise ConfigError with the setting, the value, the nearest name and the choices."""
    if name in table:
        return table[name]
    raise ConfigError(unknown(setting, name, table))


def unknown(setting: str, value: str, choices: Iterable[str]) -> str:
    """The sentence for a value that is none of the choices."""
    choices = list(choices)
    near = get_close_matches(value, choices, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{setting}={value!r} is unknown{hint}; choose one of: {', '.join(choices)}"
