"""Errors that are raised on purpose, and how their sentences show values and unknown names."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from types import UnionType
from typing import Any, TypeVar

T = TypeVar("T")

SHOWN = 80  # characters of a value that a message repeats
LONGEST = 4000  # characters of a message; the names of all settings are about 2,500


class Seq2SeqError(Exception):
    """Base class: `except Seq2SeqError` catches every error that the user can fix.

    Its message is one line that a terminal can print, and not endless: names and values in it may come from files that
    someone else wrote."""

    def __str__(self) -> str:
        return shortened(" ".join(super().__str__().split()), LONGEST)


class ConfigError(Seq2SeqError):
    """A setting that cannot work, would be ignored, or is misspelt."""


class DataError(Seq2SeqError):
    """Text that cannot be read as what it should be."""


class RunError(Seq2SeqError):
    """A run directory or bundle that is missing, incomplete, of another version, or does not fit."""


def choose(table: Mapping[str, T], name: object, setting: str) -> T:
    """Return table[name].

    Raises ConfigError with the setting, the value, the nearest name and the choices if the table lacks the name."""
    if isinstance(name, str) and name in table:
        return table[name]
    raise ConfigError(unknown(setting, name, table))


def check_type(name: str, value: object, kind: Any) -> None:
    """Raise ConfigError unless the argument `name` is an instance of `kind`, a type or a union of types."""
    if not isinstance(value, kind):
        wanted = str(kind) if isinstance(kind, UnionType) else kind.__name__
        raise ConfigError(f"{name}={quoted(value)} is of type {type(value).__name__}, not {wanted}")


def check_path(name: str, path: object) -> None:
    """Raise ConfigError unless the argument `name` is a path, and not the empty one, which is the current folder."""
    check_type(name, path, str | os.PathLike)
    if path == "":
        raise ConfigError(f"{name}='' is empty: it has to name a file or folder")


@contextmanager
def os_errors_named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name `path`, which is written, in an OSError that names no file, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def nearest_hint(wrong: str, choices: Iterable[str], show: Callable[[str], object] = repr, cutoff: float = 0.6) -> str:
    """` (did you mean ...?)` with the nearest of the choices, as `show` writes it; '' if none is near."""
    near = get_close_matches(wrong[:SHOWN], list(choices), n=1, cutoff=cutoff)
    return f" (did you mean {show(near[0])}?)" if near else ""


def unknown(setting: str, value: object, choices: Iterable[str]) -> str:
    """The error sentence for a value that is none of the choices; it names the nearest one."""
    choices = list(choices)
    if not isinstance(value, str):  # of a caller in Python, where 32 is not "32"
        kind = type(value).__name__
        return f"{setting}={quoted(value)} is of type {kind}, not a string; choose one of: {', '.join(choices)}"
    return f"{setting}={quoted(value)} is unknown{nearest_hint(value, choices)}; choose one of: {', '.join(choices)}"


def quoted(value: object) -> str:
    """`value` between quotes, for a message: on one line, escaped and shortened."""
    return f"'{shortened(value)}'"


def shortened(value: object, most: int = SHOWN) -> str:
    """The first `most` characters of `value`, escaped; if there are more, their number as well."""
    try:
        text = str(value)
    except ValueError:  # Python writes no integer of more than some thousand digits
        text = "a very large integer"
    if len(text) <= most:
        return escaped(text)
    return f"{escaped(text[:most])}... ({len(text):,} characters)"


def counted(number: int, noun: str) -> str:
    """`1 line`, `2,000 lines`. noun: in the singular, with a regular plural."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def escaped(text: str) -> str:
    r"""`text` with what a terminal would not print as a character, such as controls and lone surrogates, as \x1b."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def is_utf8(text: str) -> bool:
    """Whether `text` can be written as UTF-8: it holds no lone surrogate, as bytes that are not UTF-8 are read as."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
