"""Declaring settings with default, help and bounds; the base class of groups of settings, which checks their values."""

import dataclasses
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import field
from types import GenericAlias
from typing import Any, NamedTuple

from .bounds import Bounds
from .errors import ConfigError, shortened, unknown


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


def help_text(field: "dataclasses.Field[Any]") -> str:
    """The help of a setting, without its choices, and the bounds of a number."""
    text = str(field.metadata.get("help", "family of the model, chosen by model=rnn or model=transformer"))
    bounds = field.metadata.get("bounds")
    return f"{text} [{bounds}]" if bounds else text


def type_name(field: "dataclasses.Field[Any]") -> str:
    """`int`, `list[str]`: the type of a setting as it is written."""
    if given := field.metadata.get("type"):
        return str(given)
    return str(field.type) if isinstance(field.type, GenericAlias) else getattr(field.type, "__name__", str(field.type))


class Ignored(NamedTuple):
    """A setting, and when a value of it that is not the default has no effect."""

    setting: str  # dotted name
    when: Callable[[Any], bool]  # its group, or for a condition on other groups the whole config -> it has no effect
    why: str  # completes "SETTING=VALUE would be ignored: ..."
    whole: bool = False  # whether `when` takes the whole config


def refuse_given(rules: Sequence[Ignored], group: Any, given: Collection[str], prefix: str = "") -> None:
    """Raise ConfigError for the first of the settings `given` by the user that has no effect by one of the rules.

    group: the config; or the group called `prefix`, as in "search", which all `rules` are about.
    given: dotted names. A value that is the default passes."""
    for setting, when, why, whole in rules:
        path, _, name = setting.rpartition(".")
        if setting not in given:
            continue
        own = group if prefix else getattr(group, path)
        defaults = {field.name: default_value(field) for field in dataclasses.fields(own)}
        value = getattr(own, name, None)
        if value != defaults.get(name) and when(group if whole else own):
            raise ConfigError(f"{setting}={shown(value)} would be ignored: {why}")


def shown(value: Any) -> str:
    """A value as it is written on the command line."""
    return shortened(str(value).lower() if isinstance(value, bool) else value)
