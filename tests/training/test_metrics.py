"""metrics.csv and TensorBoard files."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from seq2seq.runs.directory import Run
from seq2seq.runs.metrics import read_metrics
from seq2seq.training.metrics import MetricsWriter


def test_rows_after_the_checkpoint_are_dropped_on_resuming(tmp_path: Path) -> None:
    first = MetricsWriter(tmp_path)
    for update in (2, 4, 6):
        first.write(update=update, epoch=1, loss=1 / 3)
    with first.path.open("a") as file:
        file.write("8,1,0.")
    assert [row["update"] for row in read_metrics(first.path)] == ["2", "4", "6"]
    MetricsWriter(tmp_path, 4).write(update=6, epoch=1, loss=0.25)
    assert [(row["update"], row["loss"]) for row in read_metrics(first.path)] == [
        ("2", "0.333333"),
        ("4", "0.333333"),
        ("6", "0.25"),
    ]


def test_tensorboard_has_the_figures(tiny_run: Path) -> None:
    installed = find_spec("tensorboard") is not None
    assert (tiny_run / "tensorboard").exists() == installed
    if not installed:
        pytest.skip("TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(tiny_run / "tensorboard"))
    board.Reload()
    assert {"loss", "dev_loss", "dev_score", "learning_rate"} <= set(board.Tags()["scalars"])
    assert [event.step for event in board.Scalars("loss")] == [2, 4, Run.open(tiny_run).info["updates"]]
