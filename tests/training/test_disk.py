"""What if a file cannot grow? One sentence that names it, no traceback, and nothing is lost.

The limit is the process' own (RLIMIT_FSIZE): the system refuses every byte beyond it, in whatever file it would be."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seq2seq import cli
from seq2seq.files import naming, written
from seq2seq.runs import Run

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
    assert not [path for path in tmp_path.rglob(".*") if path.name != ".lock"]  # nothing half-written
    assert cli.main(["train", f"resume={runs[0]}"] if runs else words) == 0
    assert Run.open(next((tmp_path / "runs").iterdir())).info["finished"]


def test_an_error_without_a_name_is_given_one(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"\[Errno 28\] full: '.*/x'"), naming(tmp_path / "x"):
        raise OSError(28, "full")
    with pytest.raises(OSError, match=r"\[Errno 28\] full: 'y'"), naming(tmp_path / "x"):
        raise OSError(28, "full", "y")
    with pytest.raises(OSError, match=r"/x'"), written(tmp_path / "x"):
        raise OSError(28, "full")
    assert not [*tmp_path.iterdir()]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    for wrong in (tmp_path, Path(".")):
        with pytest.raises(IsADirectoryError), written(wrong):
            pass
