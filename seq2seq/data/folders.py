"""Folders that appear atomically once complete, and that an interrupted process leaves for the next one to resume."""

import fcntl
import io
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from seq2seq.errors import ConfigError, DataError, shortened
from seq2seq.runtime.untrusted import open_lock
from seq2seq.utils.files import error_filename

log = logging.getLogger(__name__)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that is renamed to `folder` when the block succeeds.

    If another process was faster, its folder stays."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        with error_filename(folder):
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
def new_folder(folder: Path) -> Iterator[Path]:
    """As `atomic_folder`, for a path that the user names. Raises ConfigError if there is something already."""
    if os.path.lexists(folder):
        raise ConfigError(f"{shortened(folder, 500)} exists already: name a new folder")
    with atomic_folder(folder) as temporary:
        yield temporary


@contextmanager
def resumable_folder(folder: Path) -> Iterator[Path | None]:
    """Yield a folder `.NAME.part` that is renamed to `folder` when the block succeeds; None if `folder` exists already.

    If the block fails, its contents stay for the next attempt. One process works in it at a time while others wait. On
    a file system without locks each process works in an `atomic_folder`, and the first to finish wins."""
    part, lock = (folder.with_name(f".{folder.name}.{ending}") for ending in ("part", "lock"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    # The lock file stays: were it removed and created again, two processes could each hold the lock of one of the two.
    with error_filename(folder), open_lock(lock, DataError) as file:
        if not _locked(file, folder):
            with atomic_folder(folder) as own:
                yield own
        elif folder.is_dir():
            yield None
        else:
            part.mkdir(exist_ok=True)
            try:
                yield part
                part.rename(folder)
            finally:
                with suppress(OSError):  # unless it is empty, it stays
                    part.rmdir()


def _locked(file: io.FileIO, folder: Path) -> bool:
    """Wait for the lock of `file`; False if the file system has no locks."""
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting for another process, which is preparing %s", folder)
            fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        return False
    return True
