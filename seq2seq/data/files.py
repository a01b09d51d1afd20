"""Text files: how they are found, plain or compressed, and the lines in them.

A line ends at "\\n" only (U+2028, U+0085 and a "\\r" inside a line are text); the "\\r" of a CRLF ending and a byte
order mark at the start of a file are dropped.
"""

import bz2
import gzip
import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from seq2seq.errors import DataError, MissingError, nearest_hint, quoted
from seq2seq.runtime.lines import LONGEST_LINE, decode_line, endless_line


class Packing(NamedTuple):
    """A format of compressed files."""

    name: str
    magic: re.Pattern[bytes]  # how such a file begins
    open: Callable[[IO[bytes]], IO[bytes]] | None = None  # None: it is not read
    unpack: str = ""  # how to unpack a file that is not read


PACKINGS = {  # ending of a file's name -> its format
    ".gz": Packing("gzip", re.compile(rb"\x1f\x8b\x08"), lambda raw: gzip.GzipFile(fileobj=raw)),  # type: ignore[return-value,arg-type]
    ".bz2": Packing("bzip2", re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), bz2.BZ2File),
    ".xz": Packing("xz", re.compile(rb"\xfd7zXZ\x00"), lzma.LZMAFile),
    ".zst": Packing("Zstandard", re.compile(rb"\x28\xb5\x2f\xfd"), unpack="zstd -d"),
    ".lz4": Packing("LZ4", re.compile(rb"\x04\x22\x4d\x18"), unpack="lz4 -d"),
    ".zip": Packing("ZIP", re.compile(rb"PK\x03\x04"), unpack="unzip"),
    ".7z": Packing("7-Zip", re.compile(rb"7z\xbc\xaf\x27\x1c"), unpack="7z e"),
}
PACKED = tuple(ending for ending, packing in PACKINGS.items() if packing.open)  # endings that are read
SPREADSHEETS = (".xlsx", ".xls", ".ods", ".docx", ".numbers")


def user_path(name: str) -> Path:
    """The path `name`, a `~` at its start replaced by the home folder."""
    return Path(os.path.expanduser(name))  # unlike that of pathlib, it leaves ~ and an unknown user's name as they are


def unpacked_name(name: str) -> str:
    """The name of a file without the ending of its compression."""
    return next((name.removesuffix(ending) for ending in PACKED if name.endswith(ending)), name)


def find_file(name: str, root: Path, how: str = "") -> Path:
    """The path of the file `name` (absolute, or under `root`), or of the same with an ending in PACKED.

    Raises MissingError if there is neither, DataError if it is a folder, an address, or compressed in a format that is
    not read; `how` tells the user how to obtain the file."""
    if re.match(r"\w+://", name):
        raise DataError(f"{quoted(name)} is an address: download the file, and give its path")
    path = root / user_path(name)
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder, but a text file is needed")
        for ending in ("", *PACKINGS):
            candidate = path.with_name(path.name + ending)
            if candidate.is_file():
                _check_packing(candidate)
                return candidate
        if path.exists():
            raise DataError(f"{path} is not a file but a pipe or a device, and text is read several times")
        present = [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []
    except OSError as error:
        raise DataError(f"{quoted(path)} cannot be read ({error.strerror})") from error
    hint = nearest_hint(path.name, [one for one in present if not _is_unreadable(one)], cutoff=0.5)
    if re.search(r"[*?\[]", name):
        hint = " (wildcards are not expanded: list the files, separated by commas)"
    where = f"relative names are looked up in {root.absolute()} (data.root, or $SEQ2SEQ_DATA)"
    advice = f". How to obtain it: {how}" if how else ""
    raise MissingError(f"{path} is missing, also with {', '.join(PACKED)}{hint}; {where}{advice}")


def _is_unreadable(name: str) -> bool:
    """Whether a file of this name could not be read if it was suggested."""
    return name.endswith((*(set(PACKINGS) - set(PACKED)), *SPREADSHEETS))


def _check_packing(path: Path) -> None:
    """DataError if the name of a file says that it is compressed in a format that is not read."""
    packing = PACKINGS.get(path.suffix)
    if packing and not packing.open:
        raise DataError(_not_read(path, packing))


def _not_read(path: Path, packing: Packing) -> str:
    others = "gzip, bzip2 and xz are read as they are"
    if packing.name == "ZIP" and path.suffix in SPREADSHEETS:
        return f"{path} is a document of an office program: export the table as CSV, for data.format=csv"
    return f"{path} is compressed with {packing.name}, which is not read: unpack it, as in `{packing.unpack}`; {others}"


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file, which may be compressed if its name has one of the endings in PACKED.

    Raises DataError, naming file and line."""
    packing = PACKINGS.get(path.suffix)
    try:
        with path.open("rb") as raw:
            _check_content(path, raw.peek(16))
            with packing.open(raw) if packing and packing.open and raw.peek(1) else raw as file:
                for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE + 1), b""), 1):
                    if len(line) > LONGEST_LINE:
                        raise DataError(endless_line(path, number))
                    yield decode_line(line, path, number)
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise DataError(_incomplete(path)) from error
    except OSError as error:
        if error.strerror is None and packing:  # bz2 has no exception of its own
            raise DataError(_incomplete(path)) from error
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def _incomplete(path: Path) -> str:
    return f"{path}: not a complete {PACKINGS[path.suffix].name} file; make or download it again"


def _check_content(path: Path, head: bytes) -> None:
    """DataError unless a file that begins with `head` is compressed as its name says."""
    named = PACKINGS.get(path.suffix)
    found, ending = next(((p, e) for e, p in PACKINGS.items() if p.magic.match(head)), (None, ""))
    if found and not found.open:
        raise DataError(_not_read(path, found))
    if found and found != named:
        raise DataError(f"{path} is compressed with {found.name}: its name has to end in {ending}")
    if named and head and not found:
        raise DataError(f"{path} is not compressed with {named.name}: its name must not end in {path.suffix}")
