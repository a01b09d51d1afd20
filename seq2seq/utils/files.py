"""Writing files: atomically, so that a file is there as a whole or not at all, and never through a link of a run.

Symbolic links, pipes and devices are replaced by the file, since a run directory from elsewhere may hold links that
lead anywhere. With `follow=True`, for paths that the user names, links are followed, and devices and pipes are written
to directly; such a path is checked by `check_output` before the work whose result goes there.
"""

import errno
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from seq2seq.errors import ConfigError, RunError, nearest_hint, os_errors_named, shortened


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
    """Yield a temporary path next to `path`. On success it is renamed to `path`, once its content is on disk; on an
    exception it is removed.

    Creates missing parent folders, unless the user has named the path. Raises IsADirectoryError if it is a folder."""
    if path.is_dir() or not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if follow and path.exists() and not path.is_file():
        yield path
        return
    path = path.resolve() if follow else path.absolute()
    if not follow:
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
        synchronize(temporary)
        os.replace(temporary, path)
        synchronize(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def synchronize(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk, where they outlast a crash of the machine."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot, such as for folders
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_to_append(path: Path) -> IO[str]:
    """Open a text file of a run directory to append to it; a link, pipe or device in its place is removed first."""
    with error_filename(path):
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(mode := path.lstat().st_mode) and not stat.S_ISDIR(mode):
                path.unlink()
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        return open(descriptor, "a", encoding="utf-8")


def check_output(option: str, path: Path) -> None:
    """Raise ConfigError unless a file can be written at `path`, which the user gave as `option`."""
    try:
        reason = _why_not_writable(path)
    except OSError as error:
        reason = str(error.strerror)
    if reason:
        raise ConfigError(f"{option} {shortened(path, 500)} cannot be written: {reason}")


def _why_not_writable(path: Path) -> str:
    """Why no file can be written at `path`; '' if one can. Raises OSError as well."""
    if path.is_dir() or not path.name:
        return "it is a folder; name a file in it"
    if missing := _first_missing(path.parent):
        return f"the folder {missing} does not exist{_nearest_folder(missing)}"
    if path.exists() and not path.is_file():  # a pipe or a device, which is written to directly
        return "" if os.access(path, os.W_OK) else os.strerror(errno.EACCES)
    _try_to_write(path.resolve().parent)
    return ""


def check_folder(setting: str, folder: Path) -> None:
    """Raise ConfigError if `folder`, the value of `setting`, is not and cannot become a folder to write to."""
    if reason := why_no_folder(folder):
        raise ConfigError(f"{setting}={shortened(folder, 500)} cannot be written to: {reason}")


def why_no_folder(folder: Path) -> str:
    """Why `folder` is not and cannot become a folder to write to; '' if it is or can."""
    try:
        existing = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
        if not existing.is_dir():
            return f"{existing} is not a folder"
        _try_to_write(existing)
    except OSError as error:
        return str(error.strerror)
    return ""


def _try_to_write(folder: Path) -> None:
    """Create a folder in `folder` and remove it: permissions alone do not tell, for the superuser above all."""
    os.rmdir(tempfile.mkdtemp(prefix=".seq2seq.", dir=folder))


def _temporary(path: Path) -> Path:
    """A path next to `path` for this process alone; its name is not too long if that of `path` is not."""
    return path.with_name(f".{path.name[:60]}.{os.getpid()}")


def remove_temporary_files(folder: Path) -> None:
    """Remove what processes that were killed while they wrote have left in a folder in which no process writes now."""
    for path in folder.glob(".*"):
        if path.name.rpartition(".")[2].isdigit() and path.is_file():
            path.unlink(missing_ok=True)


def _first_missing(folder: Path) -> Path | None:
    """The first of `folder` and its parents, from the root, that does not exist; None if all do."""
    return next((path for path in reversed((folder, *folder.parents)) if not path.is_dir()), None)


def _nearest_folder(missing: Path) -> str:
    """` (did you mean FOLDER?)`, or '' if no folder beside it has a name like that."""
    with suppress(OSError):
        names = [path.name for path in missing.parent.iterdir() if path.is_dir()]
        return nearest_hint(missing.name, names, lambda name: missing.parent / name)
    return ""


@contextmanager
def error_filename(path: Path) -> Iterator[None]:
    """Name `path`, a file that is written, in an OSError that names no file, such as that of a full disk.

    Raises RunError if its folder is missing: that of a run was perhaps removed or renamed while it is trained."""
    try:
        with os_errors_named(path):
            yield
    except FileNotFoundError as error:
        raise RunError(f"{path} cannot be written: its folder is missing, or was removed meanwhile") from error
