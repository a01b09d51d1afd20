"""The groups and settings in `seq2seq train --help`, generated from conf/ and the dataclasses of `config`."""

import dataclasses
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import MISSING

from seq2seq.config import MODELS, AttentionConfig, Config, ModelConfig
from seq2seq.config.choices import field_choices
from seq2seq.runtime.fields import default_value, help_text, type_name

WIDTH, INDENT = 118, 47


def settings_help(folders: Sequence[Path]) -> str:
    """Every group of YAML files in `folders`, and every setting with its default, type, help and choices."""
    groups = "\n".join(f"  {line}" for line in group_lines(folders))
    settings = "\n".join(line for group in setting_groups() for line in ("", *_group_help(group)))
    return (
        f"\nGroups; GROUP=NAME reads the file conf/GROUP/NAME.yaml:\n{groups}\n"
        f"\nSettings; SETTING=VALUE overrides a default or a group; [0..<1] is from 0 to less than 1:\n{settings}\n"
    )


def group_lines(folders: Sequence[Path]) -> list[str]:
    """`group=name | name | ...` for each folder of YAML files in `folders`; those that begin with _ are not shown."""
    found: dict[str, set[str]] = {}
    for folder in folders:
        for path in folder.rglob("*.yaml"):
            found.setdefault(path.parent.relative_to(folder).as_posix(), set()).add(path.stem)
    lines: list[str] = []
    for group, names in sorted(found.items()):
        if group != "." and not any(part.startswith("_") for part in group.split("/")):
            lines += textwrap.wrap(f"{group}={' | '.join(sorted(names))}", WIDTH, subsequent_indent="    ")
    return lines


class SettingGroup(NamedTuple):
    """The settings of a dataclass; of a model family those that it adds to ModelConfig, or whose default it changes."""

    name: str
    summary: str  # the first line of the docstring
    prefix: str  # of the settings' names, such as "model."
    fields: "list[dataclasses.Field[Any]]"


def setting_groups() -> Iterator[SettingGroup]:
    """All settings: of the run, then of each group, where each model family and the attention follow `model`."""
    yield SettingGroup("The run", "", "", _settings(Config))
    for field in dataclasses.fields(Config):
        if field.type is ModelConfig:
            yield SettingGroup("model", "Settings of every model", "model.", _settings(ModelConfig))
            for name, model in MODELS.items():
                yield SettingGroup(f"model={name}", _first_line(model), "model.", _settings(model, ModelConfig))
            attention = AttentionConfig
            yield SettingGroup("model.attention", _first_line(attention), "model.attention.", _settings(attention))
        elif dataclasses.is_dataclass(field.type):
            yield SettingGroup(field.name, _first_line(field.type), f"{field.name}.", _settings(field.type))


def _settings(group: Any, base: Any = None) -> "list[dataclasses.Field[Any]]":
    """The fields of a dataclass that are no groups; of those that `base` has as well only with another default."""
    known = {f.name: f.default for f in dataclasses.fields(base)} if base else {}
    found = [field for field in dataclasses.fields(group) if not dataclasses.is_dataclass(field.type)]
    return [field for field in found if field.name not in known or known[field.name] != field.default]


def _group_help(group: SettingGroup) -> Iterator[str]:
    """The lines of a group of settings."""
    yield f"{group.name}: {group.summary}" if group.summary else group.name
    for field in group.fields:
        yield from _setting_help(field, group.prefix)


def _setting_help(field: "dataclasses.Field[Any]", prefix: str) -> list[str]:
    """`name=default  type  help; choices`, wrapped."""
    names = field_choices(field)
    text = help_text(field)
    text += f"; one of: {', '.join(names)}" if names else ""
    return textwrap.wrap(
        f"{f'  {prefix}{field.name}={shown_default(field)}':<40} {type_name(field):<5} {text}",
        WIDTH,
        subsequent_indent=" " * INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def shown_default(field: "dataclasses.Field[Any]") -> str:
    """The default as it is written on a command line."""
    default = default_value(field)
    if default == MISSING:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return "''" if default == "" else str(default)


def _first_line(group: Any) -> str:
    return str(group.__doc__).splitlines()[0].rstrip(".")
