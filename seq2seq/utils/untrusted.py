"""Type checks for values read from files that someone else may have written."""

import re
from collections.abc import Callable, Mapping
from typing import Any

WHOLE, NUMBER, TEXT, WORD = "a non-negative integer", "a number", "text", "a short word"
LARGEST = 2**63  # bound of every number: larger ones do not fit an int64
CHECKS: dict[str, Callable[[Any], bool]] = {
    WHOLE: lambda value: type(value) is int and 0 <= value < LARGEST,
    NUMBER: lambda value: type(value) in (int, float) and abs(value) < LARGEST,  # False for nan as well
    TEXT: lambda value: isinstance(value, str),
    WORD: lambda value: isinstance(value, str) and bool(re.fullmatch(r"[\w.:-]{1,40}", value)),
}


def check_types(values: Mapping[str, Any], types: Mapping[str, str]) -> None:
    """Raise ValueError for the first of `values` that is not of its type in `types`, a key of CHECKS.

    A value that is missing or None passes."""
    for name, wanted in types.items():
        if (value := values.get(name)) is not None and not CHECKS[wanted](value):
            raise ValueError(f"{name} is not {wanted}")
