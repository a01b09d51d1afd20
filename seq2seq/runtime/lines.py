"""Lines of text: checks of those that a caller of the Python API passes, and decoding of those that are read."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from .errors import DataError, is_utf8, quoted

LONGEST_LINE = 1 << 26  # bytes: more without a newline are not text


def checked_lines(texts: Iterable[str], name: str = "line") -> Iterator[str]:
    """The same lines, each checked by `check_line` when it is taken; `name` is what a message calls one.

    Raises DataError at once for anything but lines, such as a single string, whose letters would be taken for them."""
    if isinstance(texts, str | bytes):
        raise DataError("expected lines, not a single string: put it into a list")
    if not isinstance(texts, Iterable):
        raise DataError(f"expected lines, such as a list of strings, not {_type(texts)}")
    return (check_line(text, f"{name} {number}") for number, text in enumerate(texts, 1))


def check_line(text: object, name: str = "the line") -> str:
    """`text`, if it is a string without NUL and lone surrogates; else DataError."""
    if not isinstance(text, str):
        raise DataError(f"{name} is {_type(text)}, not a string")
    if not is_utf8(text):
        raise DataError(f"{name} is not text: {quoted(text)} holds half a surrogate pair, which is not a character")
    if "\0" in text:
        raise DataError(f"{name} holds a NUL, which is not text: {quoted(text)}")
    return text


def _type(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


def endless_line(path: Path | str, number: int) -> str:
    """The error sentence for a line that has no end, as of a device or of binary data."""
    return f"{path}:{number}: a line of more than {LONGEST_LINE:,} bytes is not text"


def decode_line(line: bytes, path: Path | str, number: int) -> str:
    """Line `number` (from 1) of `path` without its ending; the first one also without a byte order mark.

    Raises DataError, with the position in the line and the likely encoding, if it is not UTF-8 or holds a NUL."""
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte 0x{line[error.start]:02x} at place {error.start + 1}"
        raise DataError(f"{path}:{number}: not UTF-8 ({byte}); {_encoding_advice(line, number)}") from error
    if "\0" in text:
        place = f"byte 0x00 at place {line.index(0) + 1}"
        raise DataError(f"{path}:{number}: a NUL, which is not text ({place}); {_encoding_advice(line, number)}")
    return text.removesuffix("\n").removesuffix("\r")


def _encoding_advice(line: bytes, number: int) -> str:
    """What to do about a line that is not UTF-8."""
    if likely := likely_encoding(line, first=number == 1):
        command = f"iconv -f {likely} -t utf-8 < FILE > NEW"
        return f"the file is probably {likely}: convert it, as in `{command}`, or save it as UTF-8"
    if re.search(rb"[\xc3-\xf4][\x80-\xbf]", line) or 0 in line:
        return "the line is damaged, or the file is binary"
    return "the file is in another encoding: convert it to UTF-8, as with iconv"


def likely_encoding(line: bytes, first: bool) -> str:
    """The encoding of a line that is not UTF-8, as iconv names it; "" if that is not plain.

    UTF-16 and UTF-32 are told by their byte order mark or by their zero bytes; of the others only cp1252, which holds
    most of Western Europe's languages, and of which a text has few bytes beyond ASCII. `first`: the first of a file."""
    if line.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if zeros := line.count(0):
        if zeros >= 0.6 * len(line):
            return "utf-32"
        big = line[::2].count(0) > line[1::2].count(0) if first else line[:1] != b"\0"
        wide = zeros >= len(line) / 4 or line.endswith(b"\0\n") or (line[:1] == b"\0" and not first)
        return ("utf-16be" if big else "utf-16le") if wide else ""
    high = sum(byte >= 0x80 for byte in line)
    try:
        letters = sum(c.isalpha() for c in line.decode("cp1252"))
    except UnicodeDecodeError:
        return ""
    if re.search(rb"[\xc3-\xf4][\x80-\xbf]", line) or high > 0.4 * letters:
        return ""
    return "cp1252"
