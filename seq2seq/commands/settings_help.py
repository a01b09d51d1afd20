"""The groups and settings in `seq2seq train --help`, generated from conf/ and the dataclasses of `config`."""

import dataclasses
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from seq2seq.config import MODELS, Config, ModelConfig
from seq2seq.config.choices import field_choices
from seq2seq.config.fields import default_value, type_name

WIDTH, INDENT = 118, 47


def settings_help(folders: Sequence[Path]) -> str:
    """Every group of YAML files in `folders`, and every setting with its default, type, help and choices."""
    groups = "\n".join(f"  {line}" for line in _group_lines(folders))
    settings = "\n".join(line for title, lines in _sections() for line in ("", title, *lines))
    return (
        f"\nGroups; GROUP=NAME reads the file conf/GROUP/NAME.yaml:\n{groups}\n"
        f"\nSettings; SETTING=VALUE overrides a default or a group:\n{settings}\n"
    )


def _group_lines(folders: Sequence[Path]) -> list[str]:
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


def _sections() -> Iterator[tuple[str, list[str]]]:
    """Title and lines of each group of settings: first what all models have, then what each adds or changes."""
    yield "The run", _group_help(Config, "")
    for field in dataclasses.fields(Config):
        if field.type is ModelConfig:
            yield "model: Settings of every model", _group_help(ModelConfig, "model.")
            for name, model in MODELS.items():
                yield f"model={name}: {_first_line(model)}", _group_help(model, "model.", ModelConfig)
            attention = next(f.type for f in dataclasses.fields(ModelConfig) if f.name == "attention")
            yield f"model.attention: {_first_line(attention)}", _group_help(attention, "model.attention.")
        elif dataclasses.is_dataclass(field.type):
            yield f"{field.name}: {_first_line(field.type)}", _group_help(field.type, f"{field.name}.")


def _group_help(group: Any, prefix: str, base: Any = None) -> list[str]:
    """The lines of a dataclass; of the fields that `base` has as well only those with another default."""
    known = {f.name: f.default for f in dataclasses.fields(base)} if base else {}
    lines: list[str] = []
    for field in dataclasses.fields(group):
        same = field.name in known and known[field.name] == field.default
        if not same and not dataclasses.is_dataclass(field.type):
            lines += _setting_help(field, prefix)
    return lines


def _setting_help(field: "dataclasses.Field[Any]", prefix: str) -> list[str]:
    """`name=default  type  help; choices`, wrapped."""
    names = field_choices(field)
    text = field.metadata.get("help", "family of the model, chosen by model=rnn or model=transformer")
    text += f"; one of: {', '.join(names)}" if names else ""
    return textwrap.wrap(
        f"{f'  {prefix}{field.name}={_shown_default(field)}':<40} {type_name(field):<5} {text}",
        WIDTH,
        subsequent_indent=" " * INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _shown_default(field: "dataclasses.Field[Any]") -> str:
    """The default as it is written on a command line."""
    default = default_value(field)
    if default == MISSING:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return "''" if default == "" else str(default)


def _first_line(group: Any) -> str:
    return str(group.__doc__).splitlines()[0].rstrip(".")
