"""Checks of the lines of text that a caller of the Python API passes."""

from collections.abc import Iterable, Iterator

from seq2seq.errors import DataError, is_utf8, quoted


def checked_lines(texts: Iterable[str], name: str = "line") -> Iterator[str]:
    """The same lines, each checked by `check_line` when it is taken; `name` is what a message calls one.

    Raises DataError at once for anything but lines, such as a single string, whose letters would be taken for them."""
    if isinstance(texts, str | bytes):
        raise DataError("expected lines, not a single string: put it into a list")
    if not isinstance(texts, Iterable):
        raise DataError(f"expected lines, such as a list of strings, not {_type(texts)}")
    return (check_line(text, f"{name} {number}") for number, text in enumerate(texts, 1))


def check_line(text: object, name: str = "the line") -> str:
    """`text`, if it is a string without lone surrogates; else DataError."""
    if not isinstance(text, str):
        raise DataError(f"{name} is {_type(text)}, not a string")
    if not is_utf8(text):
        raise DataError(f"{name} is not text: {quoted(text)} holds half a surrogate pair, which is not a character")
    return text


def _type(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"
