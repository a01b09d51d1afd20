"""Is what a stranger's file says a number, or a word, that figures can be made from?"""

import re
from collections.abc import Callable, Mapping
from typing import Any

WHOLE, NUMBER, TEXT, WORD = "a whole number from 0", "a number", "text", "a short word"
LARGEST = 2**63
KINDS: dict[str, Callable[[Any], bool]] = {
    WHOLE: lambda value: type(value) is int and 0 <= value < LARGEST,
    NUMBER: lambda value: type(value) in (int, float) and abs(value) < LARGEST,  # neither is a nan
    TEXT: lambda value: isinstance(value, str),
    WORD: lambda value: isinstance(value, str) and bool(re.fullmatch(r"[\w.:-]{1,40}", value)),
}


def check_kinds(values: Mapping[str, Any], kinds: Mapping[str, str]) -> None:
    """ValueError for the first value that is not of its kind, a key of KINDS; None says nothing, and is of each."""
    for name, kind in kinds.items():
        if (value := values.get(name)) is not None and not KINDS[kind](value):
            raise ValueError(f"{name} is not {kind}")
