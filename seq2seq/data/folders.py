"""How is a folder made, so that it is there as a whole or not at all, and work that was cut off goes on?"""

import fcntl
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from seq2seq.utils.files import error_filename

log = logging.getLogger(__name__)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` when the block ends well. If another process was first, its folder stays."""
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
def resumable_folder(folder: Path) -> Iterator[Path | None]:
    """A folder beside `folder` that becomes it when the block ends well; None if `folder` is there by now.

    What lies in it stays when the block does not end well, and is found by whoever comes next. One process works in it at a
    time, others wait; where the file system has no locks everyone has a `atomic_folder`, and the first wins."""
    part, lock = (folder.with_name(f".{folder.name}.{ending}") for ending in ("part", "lock"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        error_filename(folder),
        lock.open("w") as file,
    ):  # which stays: two processes could hold that of a file that is made again
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
                with suppress(OSError):  # only if it is empty
                    part.rmdir()


def _locked(file: IO[str], folder: Path) -> bool:
    """Wait until nobody else has the lock; False if there are none."""
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting for another process, which makes %s", folder)
            fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        return False
    return True
