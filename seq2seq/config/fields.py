"""Declaring settings with default and help, and the base class of groups of settings, which checks their values."""

import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import field
from types import GenericAlias
from typing import Any

from seq2seq.errors import ConfigError, unknown


def setting(default: Any, help_text: str, choices: Sequence[str] = (), table: str = "") -> Any:
    """A dataclass field with its help and, if closed, its `choices` or the `table` in choices.CHOICES that has them."""
    metadata = {"help": help_text, "choices": tuple(choices), "table": table}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def subgroup(group: type[Any]) -> Any:
    """A dataclass field that holds a group of settings."""
    return field(default_factory=group)


def check_path_part(name: str, value: str) -> None:
    """Raise ConfigError if `value` of the setting `name`, part of a directory's name, could lead out of its folder."""
    if not re.fullmatch(r"[\w.,=+-]*", value):
        raise ConfigError(f"{name}={value!r} is part of a directory's name: letters, digits and . , = + - _ only")


class Group:
    """Base class of groups of settings. Checks closed choices; subclasses refuse combinations that cannot work."""

    path = ""  # dotted name of the group, for messages

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):  # type: ignore[arg-type]
            choices, value = f.metadata.get("choices"), getattr(self, f.name)
            if choices and value not in choices:
                raise ConfigError(unknown(f"{self.path}.{f.name}".lstrip("."), str(value), choices))

    def refuse_ignored(self, names: Sequence[str], why: str) -> None:
        """Raise ConfigError for the first of `names` that is not at its default, as it would have no effect: `why`."""
        fields = {f.name: f for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        for name in names:
            if (value := getattr(self, name)) != default_value(fields[name]):
                raise ConfigError(f"{self.path}.{name}={value} would be ignored: {why}")

    def check_at_least(self, least: float, *names: str) -> None:
        """Raise ConfigError for the first of `names` that is below `least`, infinite or nan."""
        for name in names:
            value = getattr(self, name)
            if not math.isfinite(value):
                raise ConfigError(f"{self.path}.{name}={value} is not a finite number")
            if value < least:
                raise ConfigError(f"{self.path}.{name}={value} is too small: at least {least}")

    def check_within(self, low: float, high: float, *names: str) -> None:
        """Raise ConfigError for the first of `names` outside [low, high)."""
        for name in names:
            value = getattr(self, name)
            if not low <= value < high:
                raise ConfigError(f"{self.path}.{name}={value} is out of range: at least {low} and below {high}")


def default_value(field: "dataclasses.Field[Any]") -> Any:
    """The default of a dataclass field, made by its factory if it has one."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def type_name(field: "dataclasses.Field[Any]") -> str:
    """`int`, `list[str]`: the type of a setting as it is written."""
    return str(field.type) if isinstance(field.type, GenericAlias) else getattr(field.type, "__name__", str(field.type))
