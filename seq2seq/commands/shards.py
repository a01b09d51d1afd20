"""`translate --input FILE --output FILE --shard 3/8`: a part of a file, which resumes where it was interrupted.

The parts are whole windows of lines, so that sentences meet in the same batches as without shards, and the parts in
their order are the output of the whole, byte by byte:

    cat out.de.?-of-8 > out.de
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from seq2seq.errors import ConfigError, RunError
from seq2seq.runtime.untrusted import MIB, read_json
from seq2seq.utils.files import error_filename, write_json

T = TypeVar("T")
MOST = 100_000  # shards


class Shard(NamedTuple):
    """One of several parts of a file."""

    number: int  # from 1
    total: int

    def path(self, output: Path) -> Path:
        """The file of its translations: OUTPUT.3-of-8."""
        return output.with_name(f"{output.name}.{self.number:0{len(str(self.total))}}-of-{self.total}")

    def windows(self, lines: int, size: int) -> range:
        """The numbers of its windows, of `size` lines each, in a file of so many lines."""
        windows = -(-lines // size)
        return range(windows * (self.number - 1) // self.total, windows * self.number // self.total)


def shard_argument(text: str) -> Shard:
    """The type of --shard. ConfigError for what is not N/M with 1 <= N <= M."""
    number, slash, count = text.partition("/")
    if slash and number.isascii() and number.isdigit() and count.isascii() and count.isdigit() and len(text) < 20:
        if 1 <= int(number) <= int(count) <= MOST:
            return Shard(int(number), int(count))
        raise ConfigError(f"--shard={text} is not between 1/M and M/M, with M up to {MOST}")
    raise ConfigError(f"--shard={text} is not N/M, such as 3/8 for the third of eight parts")


def write_shard(
    path: Path,
    windows: Iterator[T],
    translate: Callable[[T], Iterable[str]],
    made_of: Mapping[str, Any],
) -> bool:
    """Write the output of windows of lines to `path`, or what an interrupted call has not written of it yet.

    translate: the lines of output of a window. made_of: all that the output depends on; what was made of something else
    is not continued. Returns False if the output was there already.
    Raises RunError if `path` is the output of something else, or another process writes it."""
    key = hashlib.sha256(json.dumps(made_of, sort_keys=True, default=str).encode()).hexdigest()
    note, part = path.with_name(f".{path.name}.json"), path.with_name(f".{path.name}.part")
    written = _read_note(note, key)
    if path.exists() and written is not None:
        return False
    if path.exists():
        raise RunError(
            f"{path} exists, and is not of this text with these models and options: delete it, or name another --output"
        )
    with error_filename(part), part.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{path} is being written by another process") from None
        count, size = written or (0, 0)
        if size > file.tell():  # the note of a part that was deleted
            count, size = 0, 0
        file.truncate(size)
        for _ in range(count):
            next(windows, None)
        for window in windows:
            content = "".join(f"{line}\n" for line in translate(window)).encode()
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            count, size = count + 1, size + len(content)
            write_json(note, {"key": key, "windows": count, "bytes": size})
        write_json(note, {"key": key, "windows": count, "bytes": size})
        os.replace(part, path)
    return True


def _read_note(note: Path, key: str) -> tuple[int, int] | None:
    """The windows that are written, and their bytes; None if nothing was written with this key."""
    try:
        found = read_json(note, MIB)
        windows, size = found["windows"], found["bytes"]
    except (RunError, TypeError, KeyError):
        return None
    valid = found["key"] == key and type(windows) is int and type(size) is int and min(windows, size) >= 0
    return (windows, size) if valid else None
