"""Declaring settings with default, help and bounds; the base class of groups of settings, which checks their values."""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import field
from types import GenericAlias
from typing import Any

from seq2seq.errors import ConfigError, shortened, unknown
from seq2seq.runtime.bounds import Bounds


def setting(
    default: Any,
    help_text: str,
    choices: Sequence[str] = (),
    table: str = "",
    bounds: Bounds | None = None,
    type_name: str = "",
) -> Any:
    """A dataclass field with its help.

    choices, table: if closed, its choices or the table in choices.CHOICES that has them; bounds: of a number, or of
    each number in a list; type_name: its type as it is written, if not that of the annotation. A test fails for a
    number without bounds."""
    metadata = {"help": help_text, "choices": tuple(choices), "table": table, "bounds": bounds, "type": type_name}
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


def name_list(name: str, value: Any) -> list[str]:
    """The list of names in `value` of the setting `name`; a single name is a list of one.

    Raises ConfigError for anything else."""
    if value is None:
        raise ConfigError(f"{name} cannot be null; leave it out for the default")
    names = list(value) if isinstance(value, list | tuple) else [value] if value != "" else []
    if any(isinstance(one, bool) or not isinstance(one, str | int | float) for one in names):
        raise ConfigError(f"{name}={shortened(value)} is not a list of names")
    return [str(one) for one in names]


class Group:
    """Base class of groups of settings.

    Checks closed choices and bounds; subclasses refuse combinations that cannot work."""

    path = ""  # dotted name of the group, for messages

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):  # type: ignore[arg-type]
            choices, value, name = f.metadata.get("choices"), getattr(self, f.name), f"{self.path}.{f.name}".lstrip(".")
            if choices and value not in choices:
                raise ConfigError(unknown(name, str(value), choices))
            if bounds := f.metadata.get("bounds"):
                for number in value if isinstance(value, list) else [value]:
                    if not isinstance(number, str) or "str" not in type_name(f):  # it may also be a word such as auto
                        bounds.check(name, number)

    def refuse_ignored(self, names: Sequence[str], why: str) -> None:
        """Raise ConfigError for the first of `names` that is not at its default, as it would have no effect: `why`."""
        fields = {f.name: f for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        for name in names:
            if (value := getattr(self, name)) != default_value(fields[name]):
                raise ConfigError(f"{self.path}.{name}={shortened(value)} would be ignored: {why}")


def default_value(field: "dataclasses.Field[Any]") -> Any:
    """The default of a dataclass field, made by its factory if it has one."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def type_name(field: "dataclasses.Field[Any]") -> str:
    """`int`, `list[str]`: the type of a setting as it is written."""
    if given := field.metadata.get("type"):
        return str(given)
    return str(field.type) if isinstance(field.type, GenericAlias) else getattr(field.type, "__name__", str(field.type))
