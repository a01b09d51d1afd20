"""Opening and checking files that someone else may have written: those of run directories, bundles and caches.

Nothing in the package opens such a file in another way. `open_file` opens regular files only, so that no pipe blocks
and no device is read; it follows no link that leads out of the folder, and refuses a file that is larger than its kind
can be before anything is read.
"""

import io
import json
import os
import re
import stat
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from .errors import RunError, Seq2SeqError

MIB = 1 << 20
KINDS = {  # test of st_mode -> what the message calls it
    stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a named pipe", stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device", stat.S_ISBLK: "a device", stat.S_ISLNK: "a link",
}  # fmt: skip
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # of a file in a bundle: without any folder

WHOLE, NUMBER, TEXT, WORD, FLAG = "a non-negative integer", "a number", "text", "a short word", "true or false"
LARGEST = 2**63  # bound of every number: larger ones do not fit an int64
CHECKS: dict[str, Callable[[Any], bool]] = {
    WHOLE: lambda value: type(value) is int and 0 <= value < LARGEST,
    NUMBER: lambda value: type(value) in (int, float) and abs(value) < LARGEST,  # False for nan as well
    TEXT: lambda value: isinstance(value, str),
    WORD: lambda value: isinstance(value, str) and bool(re.fullmatch(r"[\w.:-]{1,40}", value)),
    FLAG: lambda value: isinstance(value, bool),
}


def open_file(
    path: Path, limit: int, *, root: Path | None = None, error: type[Seq2SeqError] = RunError
) -> io.BufferedReader:
    """Open a regular file of at most `limit` bytes for reading.

    A symbolic link is followed if it stays inside the folder `root`, by default that of the file.
    Raises `error` for a file that is missing, another kind of file, too large, or cannot be read."""
    try:
        real = _resolved(path, root or path.parent, error)
        check_status(path, real.stat(), limit, error)
        file = open(real, "rb", opener=partial(_open_without_waiting, more=os.O_NOFOLLOW))  # noqa: SIM115
    except FileNotFoundError as cause:
        raise error(f"{path} is missing") from cause
    except (OSError, ValueError) as cause:  # ValueError: a null character in the path
        raise error(f"{path} cannot be read: {getattr(cause, 'strerror', 'it is no name of a file')}") from cause
    try:
        check_status(path, os.fstat(file.fileno()), limit, error)  # of what was opened in the end
    except BaseException:
        file.close()
        raise
    return file


def _resolved(path: Path, root: Path, error: type[Seq2SeqError]) -> Path:
    """`path` without symbolic links. Raises `error` if they lead out of the folder `root`."""
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(os.path.realpath(root)):
        raise error(f"{path} is a link that leads out of {root}: a copy of the file is needed there")
    return real


def _open_without_waiting(path: str, flags: int, more: int = 0) -> int:
    """Opener for `open` that does not wait for the other end of a pipe."""
    return os.open(path, flags | more | os.O_NONBLOCK, 0o666)


def check_status(path: Path, status: os.stat_result, limit: int, error: type[Seq2SeqError] = RunError) -> None:
    """Raise `error` unless `status` is that of a regular file of at most `limit` bytes; `path` is named."""
    if not stat.S_ISREG(status.st_mode):
        raise error(f"{path} is {kind_of_file(status.st_mode)}, not a regular file")
    if status.st_size > limit:
        raise error(f"{path} is too large: {status.st_size:,} bytes, where at most {limit:,} are expected")


def kind_of_file(mode: int) -> str:
    """What a file of this st_mode is, if it is not a regular one: `a folder`, `a link`."""
    return next((kind for test, kind in KINDS.items() if test(mode)), "another kind of file")


def open_lock(path: Path, error: type[Seq2SeqError] = RunError) -> io.FileIO:
    """Open a file to lock it, and create it if it is missing; its content is neither read nor written.

    Raises `error` for anything but a regular file, or a link to one in the same folder: a pipe would block. Raises
    OSError, which names `path`, if it cannot be created."""
    real = _resolved(path, path.parent, error)
    if os.path.lexists(path):
        check_status(path, real.stat() if real.exists() else path.lstat(), LARGEST, error)
    return io.FileIO(real, "a", opener=partial(_open_without_waiting, more=os.O_NOFOLLOW))


def library_path(file: io.BufferedReader) -> str:
    """A path by which a library that opens files itself opens the very file that is open here."""
    path = f"/dev/fd/{file.fileno()}"
    return path if os.path.exists(path) else str(file.name)


def read_bytes(path: Path, limit: int, *, root: Path | None = None, error: type[Seq2SeqError] = RunError) -> bytes:
    """The content of a file, which is opened as by `open_file`. Raises `error` if it cannot be read."""
    with open_file(path, limit, root=root, error=error) as file:
        # Python reserves what is asked for; metrics.csv may grow meanwhile, and files of /proc have a size of 0
        limit = min(limit, max(2 * os.fstat(file.fileno()).st_size, MIB))
        try:
            content = file.read(limit + 1)
        except OSError as cause:
            raise error(f"{path} cannot be read: {cause.strerror}") from cause
    if len(content) > limit:
        raise error(f"{path} is too large: more than {limit:,} bytes")
    return content


def read_text(path: Path, limit: int, *, root: Path | None = None, error: type[Seq2SeqError] = RunError) -> str:
    """The text of a UTF-8 file, its line endings unchanged. Raises `error` if it cannot be read."""
    try:
        return read_bytes(path, limit, root=root, error=error).decode("utf-8")
    except UnicodeDecodeError as cause:
        raise error(f"{path} is damaged: not UTF-8 at byte {cause.start}") from cause


def read_json(path: Path, limit: int, *, root: Path | None = None, error: type[Seq2SeqError] = RunError) -> Any:
    """The value in a JSON file. Raises `error` if it cannot be read."""
    try:
        return parse_json(read_text(path, limit, root=root, error=error))
    except ValueError as cause:
        raise error(f"{path} is damaged: {cause}") from cause


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError, in one sentence, for anything else."""
    try:
        text = text if isinstance(text, str) else text.decode("utf-8")
        value = json.loads(text)
        # a lone surrogate, which only an escape can hide in valid UTF-8, is no character: it cannot be written again
        if re.search(r"\\u[dD][89a-fA-F]", text):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON at line {error.lineno}, column {error.colno}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from error
    except UnicodeEncodeError as error:
        raise ValueError("it holds half a surrogate pair, which is not a character") from error
    except (ValueError, RecursionError) as error:
        raise ValueError("a number is too long, or it is nested too deeply") from error
    return value


def fits(value: Any, shape: Any) -> bool:
    """Whether a value of a JSON file has this shape.

    shape: a key of CHECKS; a tuple of shapes, for a list of as many entries; [shape], for a list of any length; a dict,
    for an object that has at least these names; {...: shape}, for an object of any names."""
    if isinstance(shape, tuple):
        return isinstance(value, list) and len(value) == len(shape) and all(map(fits, value, shape))
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(entry, shape[0]) for entry in value)
    if not isinstance(shape, dict):
        return CHECKS[shape](value)
    if not isinstance(value, dict):
        return False
    if ... in shape:
        return all(fits(entry, shape[...]) for entry in value.values())
    return all(name in value and fits(value[name], part) for name, part in shape.items())


def check_types(values: Mapping[str, Any], types: Mapping[str, str]) -> None:
    """Raise ValueError for the first of `values` that is not of its type in `types`, a key of CHECKS.

    A value that is missing or None passes."""
    for name, wanted in types.items():
        if (value := values.get(name)) is not None and not CHECKS[wanted](value):
            raise ValueError(f"{name} is not {wanted}")
