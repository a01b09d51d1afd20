"""How is a file written, so that it is there as a whole or not at all?

A run directory may be a stranger's, and a link in it leads anywhere: it is replaced by the file. Where the user names a file,
`follow` says that a link is followed, and that a device or a pipe is itself what is written to.
"""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def written(path: Path, follow: bool = False) -> Iterator[Path]:
    """`placed`, where all that happens inside is writing: an OSError names `path`."""
    with naming(path), placed(path, follow) as temporary:
        yield temporary


@contextmanager
def placed(path: Path, follow: bool = False) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` when all went well, and is removed when it did not."""
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


def check_file(path: Path) -> None:
    """IsADirectoryError where no file can be written, before any work is done for it."""
    if path.is_dir() or not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError inside that names no file, as that of a full disk does, is of `path`."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def write_text(path: Path, text: str, follow: bool = False) -> None:
    """UTF-8, lines ended as they are in `text`."""
    with written(path, follow) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json(path: Path, value: Any) -> None:
    """Indented, letters as they are."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
