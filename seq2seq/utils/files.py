"""Atomic writing of files: a file is there as a whole or not at all.

Symbolic links are replaced by the file, since a run directory from elsewhere may hold links that lead anywhere. With
`follow=True`, for paths that the user names, links are followed, and devices and pipes are written to directly.
"""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str, follow: bool = False) -> None:
    """Write `text` as UTF-8, its line endings unchanged. Raises OSError, which names `path`."""
    with atomic_write(path, follow) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, non-ASCII characters unescaped. Raises OSError, which names `path`."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


@contextmanager
def atomic_write(path: Path, follow: bool = False) -> Iterator[Path]:
    """`atomic_path`, for a block that does nothing but write: an OSError inside names `path`."""
    with error_filename(path), atomic_path(path, follow) as temporary:
        yield temporary


@contextmanager
def atomic_path(path: Path, follow: bool = False) -> Iterator[Path]:
    """Yield a temporary path next to `path`; it is renamed to `path` on success and removed on an exception.

    Creates missing parent folders. Raises IsADirectoryError if `path` is a folder."""
    check_file(path)
    if follow and path.exists() and not path.is_file():
        yield path
        return
    path = path.resolve() if follow else path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def os_error_sentence(error: OSError) -> str:
    """What the file system refused, in one sentence that names the file."""
    return f"{error.filename or 'a file or the output'} cannot be written or read: {error.strerror}"


def check_file(path: Path) -> None:
    """Raise IsADirectoryError if `path` is a folder; call it before the work whose result goes there."""
    if path.is_dir() or not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


@contextmanager
def error_filename(path: Path) -> Iterator[None]:
    """Name `path` in an OSError that names no file, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
