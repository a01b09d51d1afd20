"""Checkpoints: what is saved and kept, atomically, also when training is stopped by a signal."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from seq2seq import cli
from seq2seq.config import Config
from seq2seq.errors import RunError
from seq2seq.runs.directory import LAST, PREVIOUS, Run
from seq2seq.runs.metrics import read_metrics
from seq2seq.training.checkpoint import (
    Checkpoint,
    CheckpointKeeper,
    PlainCheckpointIO,
    SaveTimes,
    read_checkpoint,
    weights_name,
)
from seq2seq.training.resume import resume
from seq2seq.training.run import train
from seq2seq.utils.files import write_json
from tests.settings import to_resume

SmallSettings = Callable[..., list[str]]
ROOT = Path(__file__).resolve().parents[2]
SCORES = {1: 3.0, 2: 9.0, 3: 1.0, 4: 7.0, 5: 8.0, 6: 2.0, 7: 9.0}
KEEPER = CheckpointKeeper(Path(), 1, "none")
EACH_UPDATE = ("training.validate_every=1", "training.max_updates=3")
CASES = [  # average, keep, updates of the result, updates whose weights are on disk
    ("none", 1, [2], {2}), ("none", 3, [2], {2, 5, 7}), ("best", 3, [2, 7, 5], {2, 5, 7}),
    ("last", 2, [6, 7], {2, 7, 6}), ("last", 1, [7], {2, 7}),
]  # fmt: skip


@pytest.mark.parametrize(("average", "keep", "chosen", "files"), CASES)
def test_keeper_keeps_exactly_the_wanted_checkpoints(
    average: str, keep: int, chosen: list[int], files: set[int], tmp_path: Path
) -> None:
    write_json(tmp_path / "run.json", {"tokenizer": ""})
    keeper, model = CheckpointKeeper(tmp_path, keep, average), nn.Linear(1, 1)
    best = []
    for update, score in SCORES.items():
        nn.init.constant_(model.weight, update)
        best.append(keeper.add(update, score, 1.0, model))
        keeper.remove_unwanted()
    keeper.remove_unwanted()  # what the checkpoint before the last named is kept until then
    assert best == [True, True, False, False, False, False, False]
    assert keeper.result_updates() == chosen
    assert {int(path.stem.removeprefix("update-")) for path in (tmp_path / "checkpoints").iterdir()} == files
    assert all(load_file(tmp_path / weights_name(update))["weight"] == update for update in files)
    assert load_file(tmp_path / "weights.safetensors")["weight"] == 2


def test_lower_dev_loss_decides_between_equal_scores(tmp_path: Path) -> None:
    """Early in training BLEU is often 0 several times in a row."""
    write_json(tmp_path / "run.json", {"tokenizer": ""})
    keeper, model = CheckpointKeeper(tmp_path, 2, "none"), nn.Linear(1, 1)
    best = [keeper.add(update, 0.0, loss, model) for update, loss in enumerate((4.0, 3.0, 3.5, 3.0, 2.0), 1)]
    assert best == [True, True, False, False, True]
    assert keeper.ranked() == [5, 2]


def test_weights_are_kept_until_no_checkpoint_names_them(
    trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed in validation leaves both checkpoints, and all the weights that they name."""
    original, exists = Checkpoint.save, list[bool]()

    def save(self: Checkpoint, trainer: Any) -> None:
        for name in (LAST, PREVIOUS):
            if (self.folder / name).exists():
                named = torch.load(self.folder / name, weights_only=True)["callbacks"]["Validation"]["scores"]
                exists.extend((self.folder / weights_name(update)).exists() for update in named)
        original(self, trainer)

    monkeypatch.setattr(Checkpoint, "save", save)
    run = trained("training.keep=1", "training.monitor=loss", *EACH_UPDATE)
    assert len(exists) > 1
    assert all(exists)
    assert len(list((run / "checkpoints").glob("update-*"))) == 1


def test_run_can_be_resumed_when_saving_a_first_checkpoint_fails(
    small_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the first two saves fails, with validation after the first update."""
    save = Checkpoint.save
    for number in (1, 2):
        left = [number]

        def failing(self: Checkpoint, trainer: Any, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise OSError(28, "No space left on device")
            save(self, trainer)

        config = small_config(tmp_path / str(number), "training.monitor=loss", *EACH_UPDATE)
        with monkeypatch.context() as patch:
            patch.setattr(Checkpoint, "save", failing)
            with pytest.raises(OSError, match="No space left"):
                train(config)
        (run,) = (tmp_path / str(number)).iterdir()
        resume(to_resume(run))
        assert Run.open(run).info["finished"]


@pytest.mark.slow
def test_first_checkpoint_holds_the_models_own_weights(
    small_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the moving average, which is in the model's place during validation."""
    save, count = Checkpoint.save, [0]

    def save_once(self: Checkpoint, trainer: Any) -> None:
        count[0] += 1
        if count[0] == 2:
            raise KeyboardInterrupt
        save(self, trainer)

    words = ("training.ema=0.9", "training.monitor=loss", *EACH_UPDATE)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_once)
        with pytest.raises(KeyboardInterrupt):
            train(small_config(tmp_path / "interrupted", *words))
    (run,) = (tmp_path / "interrupted").iterdir()
    resume(to_resume(run))
    ours, theirs = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (run, train(small_config(tmp_path / "whole", *words)))
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_run_directory_holds_no_code(tiny_run: Path) -> None:
    """Pickles load with weights_only=True; all other files are text, safetensors or tokenizers."""
    files = [path for path in tiny_run.rglob("*") if path.is_file() and "tensorboard" not in path.parts]
    suffixes = {path.suffix for path in files}
    assert suffixes == {".yaml", ".json", ".spm", ".safetensors", ".csv", ".txt", ".ckpt", ".lock"}
    assert torch.load(tiny_run / "checkpoints" / "last.ckpt", weights_only=True)
    assert load_file(tiny_run / "weights.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_training_with_a_checkpoint(number: int, small_settings: SmallSettings, tmp_path: Path) -> None:
    settings = small_settings(
        tmp_path, "training.max_updates=100000", "training.validate_every=100000", "trainer.log_every=1"
    )
    command = [sys.executable, "-m", "seq2seq", "train", *settings]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)

    def some_rows_are_written() -> bool:
        return any(len(path.read_text().splitlines()) > 3 for path in tmp_path.glob("*/metrics.csv"))

    try:
        deadline = time.monotonic() + 90
        while not some_rows_are_written() and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(number)
        stderr = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 128 + number, stderr
    (run,) = tmp_path.iterdir()
    assert f"resume with: seq2seq train resume={run}" in stderr
    update = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert cli.main(["train", f"resume={run}", f"training.max_updates={update + 2}"]) == 0
    updates = [int(row["update"]) for row in read_metrics(run / "metrics.csv") if row["loss"]]
    assert updates == list(range(1, update + 3))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_in_training_is_noted_and_handlers_are_restored(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq.training.checkpoint.leave_terminal", lambda: None)  # the output of pytest
    before, checkpoint = signal.getsignal(number), Checkpoint(tmp_path, "id", KEEPER, SaveTimes(0, 0, 0))
    nothing: Any = None
    checkpoint.on_train_start(nothing, nothing)
    os.kill(os.getpid(), number)
    assert checkpoint.stop_signal == number
    checkpoint.teardown(nothing, nothing, "fit")
    assert signal.getsignal(number) == before


def test_second_signal_stops_immediately(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "id", KEEPER, SaveTimes(0, 0, 0))
    checkpoint.handle_signal(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.handle_signal(signal.SIGINT, None)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("cause", [KeyboardInterrupt(), OSError(28, "full")])
def test_interrupted_writing_raises_its_cause(
    cause: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On closing its file torch raises an error of its own, which hides the cause."""

    def save(checkpoint: Any, file: Any) -> None:
        try:
            raise cause
        finally:
            raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos")

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(type(cause)):
        PlainCheckpointIO().save_checkpoint({}, tmp_path / "last.ckpt")


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04" + bytes(200)])
def test_damaged_checkpoint_is_reported_in_our_own_words(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    with pytest.raises(RunError, match=r"last\.ckpt is missing$"):
        read_checkpoint(path)
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"cannot be read as a checkpoint: it is damaged, or another kind of file$"):
        read_checkpoint(path)
