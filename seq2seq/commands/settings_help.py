"""Which settings and which named groups are there? The text of `seq2seq train --help`, made from the dataclasses and conf/."""

import dataclasses
import textwrap
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from seq2seq.config import MODELS, Config, ModelConfig
from seq2seq.config.choices import field_choices

WIDTH = 118


def settings_help(folders: Sequence[Path]) -> str:
    """Every group of files in `folders`, every setting with type, default, choices and reason."""
    groups = "\n".join(f"  {line}" for line in group_lines(folders))
    settings = "\n".join(line for title, lines in sections() for line in ("", title, *lines))
    return f"\nGroups, GROUP=NAME picks a file of conf/:\n{groups}\n\nSettings, NAME=VALUE:\n{settings}\n"


def group_lines(folders: Sequence[Path]) -> list[str]:
    """`group=name|name|...` for each folder of YAML files below `folders`."""
    found: dict[str, set[str]] = {}
    for folder in folders:
        for path in folder.rglob("*.yaml"):
            found.setdefault(path.parent.relative_to(folder).as_posix(), set()).add(path.stem)
    chosen = sorted(
        (group, names)
        for group, names in found.items()
        if group != "." and "_" not in {part[0] for part in group.split("/")}
    )
    lines = (f"{group}={'|'.join(sorted(names))}" for group, names in chosen)
    return [part for line in lines for part in textwrap.wrap(line.replace("|", " | "), WIDTH, subsequent_indent="    ")]


def sections() -> Iterator[tuple[str, list[str]]]:
    """Title and lines of each group of settings; what all models have comes once, then what each adds or changes."""
    yield "The run", rows(Config, "")
    for field in dataclasses.fields(Config):
        if field.type is ModelConfig:
            yield "model, of every kind", rows(ModelConfig, "model.")
            yield from (
                (f"model={name}: {_first_line(kind)}", rows(kind, "model.", ModelConfig))
                for name, kind in MODELS.items()
            )
            attention = next(f.type for f in dataclasses.fields(ModelConfig) if f.name == "attention")
            yield f"model.attention: {_first_line(attention)}", rows(attention, "model.attention.")
        elif dataclasses.is_dataclass(field.type):
            yield f"{field.name}: {_first_line(field.type)}", rows(field.type, f"{field.name}.")


def rows(group: Any, prefix: str, base: Any = None) -> list[str]:
    """The lines of a dataclass; of `base`'s fields only those whose default differs."""
    known = {f.name: f.default for f in dataclasses.fields(base)} if base else {}
    return [
        line
        for field in dataclasses.fields(group)
        if not dataclasses.is_dataclass(field.type) and (field.name not in known or known[field.name] != field.default)
        for line in row(field, prefix)
    ]


def row(field: "dataclasses.Field[Any]", prefix: str) -> list[str]:
    """`name=default  type  reason; choices` in as many lines as it takes."""
    default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    shown = (
        ""
        if default == MISSING
        else str(default).lower()
        if isinstance(default, bool)
        else str(default)
        if default != ""
        else "''"
    )
    kind = (
        str(field.type)
        if isinstance(field.type, types.GenericAlias)
        else getattr(field.type, "__name__", str(field.type))
    )
    names = field_choices(field)
    text = field.metadata.get("help", "which kind; chosen by the group") + (
        f"; one of: {', '.join(names)}" if names else ""
    )
    head = f"  {prefix}{field.name}={shown}"
    return textwrap.wrap(
        f"{head:<40} {kind:<5} {text}",
        WIDTH,
        subsequent_indent=" " * 47,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _first_line(kind: Any) -> str:
    return str(kind.__doc__).splitlines()[0].rstrip(".")
