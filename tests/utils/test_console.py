"""Logging to a run's log.txt."""

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from seq2seq.runs.directory import locked
from seq2seq.utils.console import logging_to


def test_lock_and_log_are_not_written_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("dear")
    for name in ("training.lock", "log.txt"):
        (tmp_path / name).symlink_to(victim)
    with locked(tmp_path), logging_to(tmp_path / "log.txt"):
        logging.getLogger("seq2seq").warning("a warning")
    assert victim.read_text() == "dear"
    assert (tmp_path / "log.txt").read_text().endswith("a warning\n")


@pytest.mark.timeout(20)
def test_log_is_not_written_into_a_pipe_and_each_message_is_one_printable_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log.txt")
    with logging_to(tmp_path / "log.txt"):
        logging.getLogger("seq2seq").warning("%s is left out", "runs/a\x1b[31m\nforged line")
    assert (tmp_path / "log.txt").read_text().endswith(" runs/a\\x1b[31m\\nforged line is left out\n")


def test_messages_on_the_terminal_are_printable_lines() -> None:
    code = "import logging; from seq2seq.utils.console import log_to_stderr; log_to_stderr('1: ')"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; logging.getLogger('seq2seq').info('%s', 'a\\x1b[31m\\nb')"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stderr == "1: a\\x1b[31m\\nb\n"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_os_error_in_a_thread_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A full disk is logged in one sentence; other errors are bugs and keep their traceback."""

    def fail(error: Exception) -> None:
        raise error

    with logging_to(tmp_path / "log.txt"):
        for error in (OSError(28, "No space left on device"), KeyError("k")):
            thread = threading.Thread(target=fail, args=[error])
            thread.start()
            thread.join()
    assert [m for m in caplog.messages if "No space" in m] == ["[Errno 28] No space left on device"]
    assert "k" not in (tmp_path / "log.txt").read_text().split()
