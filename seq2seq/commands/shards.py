"""`translate --input FILE --output FILE --shard 3/8`: a part of a file, which goes on where it was interrupted.

The parts are whole windows of lines, so that sentences meet in the same batches as without shards, and the parts in
their order are the output of the whole, byte by byte:

    cat out.de.?-of-8 > out.de
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from seq2seq.errors import ConfigError, RunError
from seq2seq.runtime.untrusted import MIB, read_json
from seq2seq.utils.files import error_filename, write_json

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
    windows: Iterator[list[str]],
    translate: Callable[[list[str]], Iterable[str]],
    made_of: Mapping[str, Any],
    lines: int,
) -> bool:
    """Write the output of windows of lines to `path`, or what an interrupted call has not written of it yet.

    translate: the lines of output of a window, of which a full one has `lines`. made_of: all that the output depends
    on; what was made of something else is not continued. Returns False if the output was there already.
    Raises RunError if `path` is the output of something else."""
    key = hashlib.sha256(json.dumps(made_of, sort_keys=True, default=str).encode()).hexdigest()
    note, part = path.with_name(f".{path.name}.json"), path.with_name(f".{path.name}.part")
    same = _noted(note) == key
    if path.exists() and same:
        return False
    if path.exists():
        raise RunError(
            f"{path} exists, and is not of this text with these models and options: delete it, or name another --output"
        )
    if not same:
        part.unlink(missing_ok=True)
        write_json(note, {"key": key})
    with error_filename(part), part.open("a+b") as file:
        for _ in range(_whole_windows(file, lines)):
            next(windows, None)
        for window in windows:
            file.write("".join(f"{line}\n" for line in translate(window)).encode())
            file.flush()
            os.fsync(file.fileno())
    os.replace(part, path)
    return True


def _noted(note: Path) -> str:
    """The key in the note beside an output; '' without one."""
    with suppress(RunError, TypeError, KeyError):
        return str(read_json(note, MIB)["key"])
    return ""


def _whole_windows(file: IO[bytes], lines: int) -> int:
    """The number of full windows of so many lines in a file, which is cut after them."""
    file.seek(0)
    count = end = place = 0
    for line in file:
        if not line.endswith(b"\n"):  # the last one, which was not written as a whole
            break
        count, place = count + 1, place + len(line)
        if count % lines == 0:
            end = place
    file.truncate(end)
    file.seek(0, os.SEEK_END)
    return count // lines
