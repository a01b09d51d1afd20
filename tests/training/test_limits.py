"""When does training stop, and what does it say and leave behind?"""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from seq2seq.errors import ConfigError
from seq2seq.launch.compose import compose_config
from seq2seq.runs.directory import Run
from seq2seq.training import validation
from seq2seq.training.checkpoint import Checkpoint
from seq2seq.training.checks import check_limits
from seq2seq.training.resources import Clock
from seq2seq.training.run import train

Small = Callable[..., list[str]]
NO_END = ("training.max_updates=0", "training.patience=0")


def validations(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["dev_loss"]]


def everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "tensorboard" not in path.parts}


def test_training_without_an_end_is_refused(small: Small, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"training has no end: set training\.max_updates, max_epochs, max_minutes, patience or stop_at",
    ):
        train(compose_config(small(tmp_path / "runs", *NO_END)))
    assert not (tmp_path / "runs").exists()


def test_a_score_to_reach_needs_a_score() -> None:
    with pytest.raises(ConfigError, match=r"training\.stop_at=30 would be ignored.*training\.monitor=loss"):
        check_limits(compose_config(["training.stop_at=30", "training.monitor=loss"]).training)


def test_max_epochs_ends_with_a_last_validation(trained: Callable[..., Path]) -> None:
    run = trained(*NO_END, "training.max_epochs=2", "training.validate_every=0", "training.batch_tokens=1024")
    rows = validations(run)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert int(rows[1]["update"]) == 2 * int(rows[0]["update"]) == Run.open(run).info["updates"]


def test_the_last_update_is_validated_once(trained: Callable[..., Path]) -> None:
    run = trained("training.max_updates=4")
    assert [(row["update"], row["epoch"]) for row in validations(run)] == [("3", "1"), ("4", "1")]
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 4


def scripted(scores: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """The dev scores to come."""
    coming = iter(scores)
    monkeypatch.setattr(validation.Dev, "figures", lambda self, module: (1.0, next(coming)))


def test_patience_counts_validations_without_progress(
    trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted([1.0, 3.0, 2.0, 3.0, 9.0], monkeypatch)
    run = trained(*NO_END, "training.patience=2", "training.validate_every=1")
    assert len(validations(run)) == 4
    assert Run.open(run).info["weights_from"] == [2]


def test_stop_at_ends_at_the_score(trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    scripted([1.0, 29.9, 30.0, 31.0], monkeypatch)
    run = trained(*NO_END, "training.stop_at=30", "training.validate_every=1")
    assert len(validations(run)) == 3
    assert Run.open(run).info["dev_score"] == 30.0


def test_max_minutes_leaves_out_validation_and_ends_with_one(
    trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock on which each update takes a second, and each validation an hour."""
    now = [0.0]
    monkeypatch.setattr("seq2seq.training.resources.time.perf_counter", lambda: now[0])
    original = Checkpoint.on_train_batch_start

    def second(*arguments: Any) -> None:
        now[0] += 1
        original(*arguments)

    def hour(self: Any, module: Any) -> tuple[float, float]:
        now[0] += 3600
        return 1.0, 1.0

    monkeypatch.setattr(Checkpoint, "on_train_batch_start", second)
    monkeypatch.setattr(validation.Dev, "figures", hour)
    run = trained(*NO_END, "training.max_minutes=0.1", "training.validate_every=4")
    assert [(row["update"], row["seconds"]) for row in validations(run)] == [("4", "4"), ("6", "6")]
    assert Run.open(run).info["seconds"] == 6


def test_the_clock_stands_still_outside_training() -> None:
    watch = Clock()
    with watch.paused():
        assert watch.since is None
    assert watch.since is None
    watch.start()
    with watch.paused():
        before = watch.read()
        assert watch.read() == before
    assert watch.since is not None


def test_other_text_under_the_same_name_makes_another_run(
    tiny_run: Path, small: Small, corpus: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(corpus, tmp_path / "other")
    with (other / "train.de").open("a") as de, (other / "train.en").open("a") as en:
        de.write("Noch ein Satz.\n")
        en.write("One more sentence.\n")
    made = train(compose_config(small(tiny_run.parent, f"data.root={other}")))
    assert made != tiny_run
    assert made.name.rpartition("-")[0] == tiny_run.name.rpartition("-")[0]
    shutil.rmtree(made)


@pytest.mark.parametrize("model", ["rnn", "transformer"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "adafactor", "sgd"])
def test_mixed_precision_trains(model: str, optimizer: str, trained: Callable[..., Path]) -> None:
    size = ["model.size=8", "model.heads=2", "model.feedforward=16"] if model == "transformer" else []
    run = trained(
        f"model={model}", *size, f"training.optimizer={optimizer}", "trainer.precision=bf16", "training.monitor=loss"
    )
    rows = [float(row["dev_loss"]) for row in validations(run)]
    assert rows[-1] < rows[0]
    assert {w.dtype for w in load_file(run / "weights.safetensors").values()} == {torch.float32}


def test_checkpoints_hold_no_code(tiny_run: Path) -> None:
    """Everything that is pickled loads with weights_only=True; the rest is text, safetensors, or a tokenizer."""
    kinds = {path.suffix for path in everything(tiny_run)}
    assert kinds == {".yaml", ".json", ".spm", ".safetensors", ".csv", ".txt", ".ckpt", ".lock"}
    assert torch.load(tiny_run / "checkpoints" / "last.ckpt", weights_only=True)
    assert load_file(tiny_run / "weights.safetensors")
