"""Faults of the YAML files in a user's own folder of settings that Hydra reports without the place, or not at all."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from seq2seq.config import Config
from seq2seq.config.io import check_shapes
from seq2seq.errors import ConfigError, quoted
from seq2seq.runtime.untrusted import read_text

LARGEST = 1 << 20  # bytes of a file
DEEPEST = 20  # levels of nesting; settings have 3
MOST_DIGITS = 300  # of a number: more do not fit a float, and Python reads no integer of more than 4,300
TOO_MANY_DIGITS = re.compile(rf"[\d_]{{{MOST_DIGITS + 1}}}")


def first_fault(folder: Path) -> str:
    """The first fault of the files in `folder`, by name, as a sentence that names the file; '' without one."""
    for path in sorted(folder.rglob("*.yaml")):
        try:
            text = read_text(path, LARGEST, error=ConfigError)
            check_events(text)
            check_content(yaml.safe_load(text), text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            place = f": line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            return f"{path} is not valid YAML{place}"
        except (ValueError, KeyError):  # of a tag such as !!int x or !!bool x
            return f"{path} has a value that is not of the type of its tag"
        except ConfigError as error:
            return str(error) if str(path) in str(error) else f"{path}: {error}"
    return ""


def check_events(text: str) -> None:
    """Raise ConfigError for an alias, nesting that is too deep for a reader, and a number that is too long for one."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ConfigError(f"line {line} is nested too deeply for settings")
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"line {line} has an alias, *{event.anchor}: write the value itself")
        if isinstance(event, yaml.ScalarEvent) and TOO_MANY_DIGITS.search(event.value):
            raise ConfigError(f"line {line} has a number of more than {MOST_DIGITS} digits: {quoted(event.value)}")


def check_content(content: Any, text: str) -> None:
    """Raise ConfigError for what is no mapping of names, a wrong list of defaults, or a value in place of a group."""
    if content is None:
        return
    if not isinstance(content, Mapping):
        raise ConfigError(f"it holds {quoted(content)} where settings belong, one NAME: VALUE a line")
    for key in keys(content):
        if not isinstance(key, str):
            raise ConfigError(f"the key {quoted(key)} is not the name of a setting")
    first = text.partition("\n")[0]
    if "@package" in first and len(first.split()) < 3:
        raise ConfigError("its first line must be `# @package _global_`, or that with another name")
    check_defaults(content.get("defaults", []))
    if "_global_" in first:
        check_shapes(Config, content)


def keys(content: Any) -> Iterator[Any]:
    """All keys of nested mappings and lists."""
    if isinstance(content, Mapping):
        yield from content
        content = list(content.values())
    if isinstance(content, list):
        for value in content:
            yield from keys(value)


def check_defaults(defaults: Any) -> None:
    """Raise ConfigError unless it is a list of names, and of GROUP: NAME."""
    shape = "defaults is not a list of names, or of GROUP: NAME"
    if not isinstance(defaults, list):
        raise ConfigError(f"{shape}, but {quoted(defaults)}")
    for entry in defaults:
        pair = isinstance(entry, Mapping) and len(entry) == 1
        names = next(iter(entry.values())) if pair else entry
        if not all(isinstance(name, str) or (pair and name is None) for name in _as_list(names)):
            raise ConfigError(f"{shape}: it holds {quoted(entry)}")


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
