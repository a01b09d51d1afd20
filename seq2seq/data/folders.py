"""How is a folder made, so that it is there as a whole or not at all, and work that was cut off goes on?"""

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from seq2seq.errors import Seq2SeqError
from seq2seq.files import naming

log = logging.getLogger(__name__)

LOCK = "lock"


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` when the block ends well. If another process was first, its folder stays."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        with naming(folder):
            yield temporary
        temporary.chmod(0o755)
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def resumed_folder(folder: Path) -> Iterator[Path | None]:
    """A folder beside `folder` that becomes it when the block ends well; None if `folder` is there by now.

    What lies in it stays when the block is cut off, and is found by whoever comes next; an error of the user's removes it.
    One process works in it at a time, others wait."""
    part = folder.with_name(f".{folder.name}.part")
    with naming(folder), _held(folder, part) as held:
        if not held:
            yield None
            return
        try:
            yield part
        except Seq2SeqError:
            shutil.rmtree(part, ignore_errors=True)
            raise
        (part / LOCK).unlink()
        part.rename(folder)


@contextmanager
def _held(folder: Path, part: Path) -> Iterator[bool]:
    """Hold the lock in `part`, which is made if need be; False if meanwhile it has become `folder`."""
    while not folder.is_dir():
        try:
            part.mkdir(parents=True, exist_ok=True)
            file = (part / LOCK).open("w")
        except (FileNotFoundError, FileExistsError):  # renamed or removed just now
            if part.is_file():
                raise
            continue
        with file:
            _lock(file, folder)
            if _same(file, part / LOCK):
                yield True
                return
    yield False


def _lock(file: IO[str], folder: Path) -> None:
    """Wait until nobody else has it. A file system without locks leaves everyone on their own."""
    with suppress(OSError):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting for another process, which makes %s", folder)
            fcntl.flock(file, fcntl.LOCK_EX)


def _same(file: IO[str], path: Path) -> bool:
    """Whether the open file is the one that lies there."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False
