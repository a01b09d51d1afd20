"""Which names can a setting take? Those of the package's own tables, read without importing what is behind them."""

import ast
import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

from seq2seq.config import Config
from seq2seq.errors import ConfigError, unknown


@cache
def names(table: str) -> tuple[str, ...]:
    """The keys of the dict literal `table`, wherever in the package it stands; importing it would import torch."""
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if f"\n{table}" in text:
            for node in ast.parse(text).body:
                if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict) and _target(node) == table:
                    return tuple(ast.literal_eval(key) for key in node.value.keys if key)
    raise LookupError(f"no table {table} in {Path(__file__).parents[1]}")


def _target(node: ast.Assign | ast.AnnAssign) -> str:
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return target.id if isinstance(target, ast.Name) else ""


def choices(field: "dataclasses.Field[Any]") -> tuple[str, ...]:
    """All values that the setting can take; () for a setting that is not chosen from a list."""
    table = field.metadata.get("table", "")
    return names(table) if table else tuple(field.metadata.get("choices", ()))


def check_names(config: Config) -> None:
    """Refuse a setting that names no row of its table: ConfigError with the nearest name and the choices."""
    _check(config, "")


def _check(group: Any, prefix: str) -> None:
    for field in dataclasses.fields(group):
        value, allowed = getattr(group, field.name), choices(field)
        if dataclasses.is_dataclass(value):
            _check(value, f"{prefix}{field.name}.")
        elif allowed and value not in allowed:
            raise ConfigError(unknown(prefix + field.name, str(value), allowed))
