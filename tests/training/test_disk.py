"""What if a file cannot grow? One sentence that names it, no traceback, and nothing is lost.

The limit is the process' own (RLIMIT_FSIZE): the system refuses every byte beyond it, in whatever file it would be."""

import logging
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seq2seq import cli
from seq2seq.errors import ConfigError
from seq2seq.launch.compose import compose_config
from seq2seq.runs.directory import Run, locked
from seq2seq.training.checkpoint import Checkpoint
from seq2seq.training.checks import check_folder
from seq2seq.training.run import train
from seq2seq.utils.console import logging_to
from seq2seq.utils.files import atomic_write, error_filename, write_text

ROOT = Path(__file__).resolve().parents[2]


def limited(size: int, *words: str) -> "subprocess.CompletedProcess[str]":
    """A command none of whose files can have more than `size` bytes."""
    return subprocess.run(
        [sys.executable, "-m", "seq2seq", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", [100, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200])
def test_a_file_that_cannot_grow_is_one_sentence(size: int, small: Callable[..., list[str]], tmp_path: Path) -> None:
    words = ["train", *small(tmp_path / "runs", f"data.cache={tmp_path / 'cache'}")]
    done = limited(size, *words)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "Logging error" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("seq2seq: ")
    assert f"{tmp_path}/" in last
    assert "File too large" in last
    runs = [path for path in (tmp_path / "runs").glob("*") if path.is_dir()] if (tmp_path / "runs").exists() else []
    assert not [
        path for path in tmp_path.rglob(".*") if path.suffix != ".part" and not path.name.endswith(".lock")
    ]  # nothing half-written
    assert cli.main(["train", f"resume={runs[0]}"] if runs else words) == 0
    assert not [*tmp_path.rglob("*.part")]  # blocks of text that were encoded in vain, or not
    assert Run.open(next((tmp_path / "runs").iterdir())).info["finished"]


@pytest.mark.parametrize("setting", ["runs", "data.cache"])
def test_a_folder_that_cannot_be_is_told_before_any_work(setting: str, tmp_path: Path) -> None:
    """By the setting, not by the name of what would have been made in it hours later."""
    (tmp_path / "file").write_text("dear")
    config = compose_config(
        ["data=mine", "data.train=[nowhere]", "data.dev=[nowhere]", f"{setting}={tmp_path}/file/below"]
    )
    with pytest.raises(
        ConfigError, match=f"{setting}={tmp_path}/file/below cannot be a folder: {tmp_path}/file is a file"
    ):
        train(config)
    assert (tmp_path / "file").read_text() == "dear"
    check_folder(setting, tmp_path / "not" / "yet")
    check_folder(setting, Path("not/yet"))
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file"]


def test_an_error_without_a_name_is_given_one(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"\[Errno 28\] full: '.*/x'"), error_filename(tmp_path / "x"):
        raise OSError(28, "full")
    with pytest.raises(OSError, match=r"\[Errno 28\] full: 'y'"), error_filename(tmp_path / "x"):
        raise OSError(28, "full", "y")
    assert not [*tmp_path.iterdir()]


def test_weights_are_kept_beside_a_checkpoint_to_go_on_from(
    small: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whichever of the first checkpoints fails, with a validation as early as can be."""
    save = Checkpoint.save
    for number in (1, 2):
        left = [number]

        def failing(self: Checkpoint, trainer: Any, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise OSError(28, "No space left on device")
            save(self, trainer)

        words = small(tmp_path / str(number), "training.validate_every=1")
        with monkeypatch.context() as patch:
            patch.setattr(Checkpoint, "save", failing)
            assert cli.main(["train", *words]) == 2
        (run,) = (tmp_path / str(number)).iterdir()
        assert cli.main(["train", f"resume={run}"]) == 0
        assert Run.open(run).info["finished"]


def test_a_pipe_is_written_to_and_a_link_followed_only_where_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_text(tmp_path / "link", "a", follow=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "a"
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE, text=True) as reader:
        write_text(tmp_path / "pipe", "b", follow=True)
        assert reader.communicate(timeout=20)[0] == "b"
    assert (tmp_path / "pipe").is_fifo()
    for name in ("link", "pipe"):  # as in a run directory, where nothing leads elsewhere
        write_text(tmp_path / name, "c")
        assert not (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_text() == "c"
    assert (tmp_path / "file").read_text() == "a"


def test_lock_and_log_of_a_run_are_not_written_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("dear")
    for name in ("training.lock", "log.txt"):
        (tmp_path / name).symlink_to(victim)
    with locked(tmp_path), logging_to(tmp_path / "log.txt"):
        logging.getLogger("seq2seq").warning("said")
    assert victim.read_text() == "dear"
    assert (tmp_path / "log.txt").read_text().endswith("said\n")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_happens_in_threads_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A full disk in a sentence; another error is a bug, and keeps its traceback."""

    def fail(error: Exception) -> None:
        raise error

    with logging_to(tmp_path / "log.txt"):
        for error in (OSError(28, "No space left on device"), KeyError("k")):
            thread = threading.Thread(target=fail, args=[error])
            thread.start()
            thread.join()
    assert [m for m in caplog.messages if "No space" in m] == ["[Errno 28] No space left on device"]
    assert "k" not in (tmp_path / "log.txt").read_text().split()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    for wrong in (tmp_path, Path(".")):
        with pytest.raises(IsADirectoryError), atomic_write(wrong):
            pass
