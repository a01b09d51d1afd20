"""What does whoever watches a training see?"""

import io
import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from seq2seq.launch.compose import compose_config
from seq2seq.runs.directory import Run
from seq2seq.runs.metrics import read_metrics
from seq2seq.training.metrics import Metrics
from seq2seq.training.progress import Progress, TrainingLimits
from seq2seq.training.run import parameter_table, train

Small = Callable[..., list[str]]


def test_the_log_tells_parameters_and_speed(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "seq2seq")  # as the command line does
    monkeypatch.setattr("seq2seq.training.progress.LINES", 0.0)
    run = train(compose_config(small(tmp_path, "trainer.progress=lines", "training.max_minutes=9")))
    told = (run / "log.txt").read_text()
    model = Run.open(run).model()
    assert f"all {sum(p.numel() for p in model.parameters()):>24,}"[-12:] in told
    assert all(part in told for part in ("encoder.embedding", "decoder.attention", "head.output"))
    lines = [line for line in told.splitlines() if " tokens/s  0:00:0" in line]
    assert len(lines) == 3
    assert all("update" in line and "epoch 1  loss" in line and line.endswith(" left") for line in lines)
    assert "finished: dev bleu" in told


def test_shared_parameters_are_counted_once() -> None:
    from seq2seq.nn.build import build_model

    model = build_model(compose_config(["model.tie=all", "model.embedding=8", "model.hidden=8"]).model, 20, 20)
    assert parameter_table(model)[-1].split() == ["all", f"{sum(p.numel() for p in model.parameters()):,}"]


def test_a_bar_comes_and_goes(small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr("seq2seq.training.progress.Console", lambda **options: screen)
    train(compose_config(small(tmp_path, "trainer.progress=bar", "training.max_updates=2")))
    drawn = screen.file.getvalue()
    assert re.search(r"update 2 epoch 1 +loss \d\.\d+ +[\d,]+ tokens/s", drawn), drawn
    assert drawn.endswith("\x1b[2K")  # the line is cleared


def test_without_a_terminal_there_are_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "seq2seq")
    progress = Progress(TrainingLimits(100, 0), "auto")
    assert progress.bar is None
    progress.start(0, 0.0)
    progress.line(10, 1, 2.5, 12345.0, 60.0)
    progress.line(11, 1, 2.5, 12345.0, 60.0)  # too soon
    assert caplog.messages == ["update 10  epoch 1  loss 2.500  12,345 tokens/s  0:09:00 left"]


def test_time_left_on_paper() -> None:
    progress = Progress(TrainingLimits(100, 10), "none")
    progress.start(50, 100.0)  # resumed half way: what was done before says nothing of the rate
    assert progress.left(60, 120.0) == "0:01:20 left"
    assert Progress(TrainingLimits(0, 0), "none").left(5, 65.0) == "0:01:05 so far"


def test_metrics_are_kept_up_to_the_checkpoint(tmp_path: Path) -> None:
    first = Metrics(tmp_path)
    for update in (2, 4, 6):
        first.write(update=update, epoch=1, loss=1 / 3)
    with first.path.open("a") as file:
        file.write("8,1,0.")
    assert [row["update"] for row in read_metrics(first.path)] == ["2", "4", "6"]
    Metrics(tmp_path, 4).write(update=6, epoch=1, loss=0.25)
    assert [(row["update"], row["loss"]) for row in read_metrics(first.path)] == [
        ("2", "0.333333"),
        ("4", "0.333333"),
        ("6", "0.25"),
    ]
