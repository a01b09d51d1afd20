"""What is a setting, and how does a group of settings check itself?"""

import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import field
from typing import Any

from seq2seq.errors import ConfigError, unknown


def setting(default: Any, why: str, choices: Sequence[str] = (), table: str = "") -> Any:
    """A dataclass field with its help. `table` names the table of the package that holds the choices."""
    metadata = {"help": why, "choices": tuple(choices), "table": table}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def part(kind: type[Any]) -> Any:
    """A field that holds a group of settings."""
    return field(default_factory=kind)


def check_name(name: str, value: str) -> None:
    """ConfigError for a value of the setting `name` that may lead out of the folder whose name it is part of."""
    if not re.fullmatch(r"[\w.,=+-]*", value):
        raise ConfigError(f"{name}={value!r} is part of a directory's name: letters, digits and . , = + - _ only")


class Group:
    """Base of every group of settings: checks the closed choices; subclasses refuse what cannot work together."""

    path = ""  # where the group stands in the whole, for messages

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):  # type: ignore[arg-type]
            choices, value = f.metadata.get("choices"), getattr(self, f.name)
            if choices and value not in choices:
                raise ConfigError(unknown(f"{self.path}.{f.name}".lstrip("."), str(value), choices))

    def ignored(self, names: Sequence[str], why: str) -> None:
        """Refuse each of `names` that differs from its default: it would do nothing, `why`."""
        made = {f.name: f.default_factory for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        defaults = {f.name: f.default for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        defaults |= {name: make() for name, make in made.items() if make is not dataclasses.MISSING}
        for name in names:
            if (value := getattr(self, name)) != defaults[name]:
                raise ConfigError(f"{self.path}.{name}={value} would be ignored: {why}")

    def at_least(self, least: float, *names: str) -> None:
        """Refuse each of `names` that is below `least`, endless, or no number."""
        for name in names:
            value = getattr(self, name)
            if not math.isfinite(value):
                raise ConfigError(f"{self.path}.{name}={value} is not a number to work with")
            if value < least:
                raise ConfigError(f"{self.path}.{name}={value} is too small: at least {least}")

    def within(self, low: float, high: float, *names: str) -> None:
        """Refuse each of `names` outside [low, high)."""
        for name in names:
            if not low <= (value := getattr(self, name)) < high:
                raise ConfigError(f"{self.path}.{name}={value} is out of range: at least {low} and below {high}")
