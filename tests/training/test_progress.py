"""The progress display of training."""

import io
import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from seq2seq.config import Config
from seq2seq.runs.directory import Run
from seq2seq.runs.weights import load_model
from seq2seq.training.progress import TrainingLimits, TrainingProgress
from seq2seq.training.run import train

SmallConfig = Callable[..., Config]


def test_log_has_parameters_and_speed(
    small_config: SmallConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "seq2seq")  # as the command line does
    monkeypatch.setattr("seq2seq.training.progress.LOG_INTERVAL", 0.0)
    run = train(small_config(tmp_path, "trainer.progress=lines", "training.max_minutes=9", "training.dev_lines=2"))
    logged = (run / "log.txt").read_text()
    model = load_model(Run.open(run))
    assert f"all {sum(p.numel() for p in model.parameters()):>24,}"[-12:] in logged
    assert all(part in logged for part in ("encoder.embedding", "decoder.attention", "head.output"))
    lines = [line for line in logged.splitlines() if " tokens/s  0:00:0" in line]
    assert len(lines) == 3
    assert all("update" in line and "epoch 1  loss" in line and line.endswith(" left") for line in lines)
    assert "finished: dev bleu" in logged


def test_bar_is_drawn_and_removed(small_config: SmallConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr("seq2seq.training.progress.Console", lambda **options: screen)
    train(small_config(tmp_path, "trainer.progress=bar", "training.max_updates=2", "training.monitor=loss"))
    drawn = screen.file.getvalue()
    assert re.search(r"update 2 epoch 1 +loss \d\.\d+ +[\d,]+ tokens/s", drawn), drawn
    assert drawn.endswith("\x1b[2K")  # the line is cleared


def test_without_a_terminal_lines_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "seq2seq")
    progress = TrainingProgress(TrainingLimits(100, 0), "auto")
    assert progress.bar is None
    progress.start(0, 0.0)
    progress.report(update=10, epoch=1, loss=2.5, speed=12345.0, seconds=60.0)
    progress.report(update=11, epoch=1, loss=2.5, speed=12345.0, seconds=60.0)  # too soon for another line
    assert caplog.messages == ["update 10  epoch 1  loss 2.500  12,345 tokens/s  0:09:00 left"]


def test_time_left() -> None:
    progress = TrainingProgress(TrainingLimits(100, 10), "none")
    progress.start(50, 100.0)  # resumed half way: earlier updates do not count for the rate
    assert progress.time_left(60, 120.0) == "0:01:20 left"
    assert TrainingProgress(TrainingLimits(0, 0), "none").time_left(5, 65.0) == "0:01:05 so far"
