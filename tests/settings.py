"""Settings for tests that do not test how settings are composed, which takes a tenth of a second each time."""

import dataclasses
from pathlib import Path
from typing import Any

import yaml

from seq2seq.config import Config
from seq2seq.runs.directory import Run


def changed(config: Config, *settings: str) -> Config:
    """`config` with settings such as training.keep=2, checked as always; a later one replaces an earlier one."""
    nested: dict[str, Any] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        *groups, last = name.split(".")
        place = nested
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = text
    return _replaced(config, nested)  # type: ignore[no-any-return]


def _replaced(group: Any, values: dict[str, Any]) -> Any:
    """A copy of a dataclass with other values: dicts for groups, else text, which is read as the type it had before."""
    new: dict[str, Any] = {}
    for name, value in values.items():
        old = getattr(group, name)
        if isinstance(value, dict):
            new[name] = _replaced(old, value)
        else:
            new[name] = yaml.safe_load(value) if isinstance(old, bool | list) else type(old)(value)
    return dataclasses.replace(group, **new)


def to_resume(run: Path, *settings: str) -> Config:
    """What `resume=RUN` and these settings give: those of the run, changed."""
    return changed(Run.open(run).config, f"resume={run}", *settings)
