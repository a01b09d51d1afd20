"""Errors during training: the message is one sentence, and nothing that was saved is lost."""

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from seq2seq import cli
from seq2seq.config import Config
from seq2seq.errors import TrainingError
from seq2seq.runs.directory import Run
from seq2seq.training.module import TrainingModule
from seq2seq.training.resume import resume
from seq2seq.training.run import train
from seq2seq.training.validation import Validation
from tests.settings import to_resume

SmallSettings = Callable[..., list[str]]
ROOT = Path(__file__).resolve().parents[2]
WRITERS = [
    "seq2seq.runs.weights.save_file",
    "seq2seq.utils.files.os.replace",
    "lightning.Trainer.save_checkpoint",
    "pathlib.Path.write_text",
]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "tensorboard" not in path.parts}


def test_loss_that_is_not_finite_is_reported_and_the_run_can_be_resumed(
    small_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, handler = TrainingModule.losses, signal.getsignal(signal.SIGINT)

    def spoiled(self: TrainingModule, batch: Any) -> Any:
        loss = original(self, batch)
        spoil = self.training and self.trainer.global_step == 2
        return loss._replace(total=loss.total * float("nan")) if spoil else loss

    config = small_config(tmp_path, "training.max_updates=3", "training.validate_every=1", "training.monitor=loss")
    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "losses", spoiled)
        with pytest.raises(TrainingError, match=r"^the loss is nan at update 3 \(epoch 1, batch 3, lines "):
            train(replace(config, training=replace(config.training, max_skipped=0)))
    assert signal.getsignal(signal.SIGINT) == handler
    (run,) = tmp_path.iterdir()
    resume(to_resume(run))
    assert Run.open(run).info["updates"] == 3


def test_weights_that_are_not_finite_replace_no_checkpoint(
    small_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update can spoil the weights though its loss was finite; nothing of a validation that follows is kept."""
    original = Validation.validate

    def spoiled(self: Any, trainer: Any, module: Any) -> None:
        if trainer.global_step == 2:
            for parameter in module.parameters():
                parameter.data.fill_(float("nan"))
        original(self, trainer, module)

    for monitor in ("bleu", "loss"):
        words = (f"training.monitor={monitor}", "training.max_updates=2", "training.validate_every=1")
        with monkeypatch.context() as patch:
            patch.setattr(Validation, "validate", spoiled)
            with pytest.raises(TrainingError, match="the dev loss is nan, these weights are not kept"):
                train(small_config(tmp_path / monitor, *words))
        (run,) = (tmp_path / monitor).iterdir()
        assert [path.name for path in run.rglob("update-*")] == ["update-1.safetensors"]
    resume(to_resume(run))


def test_out_of_memory_is_one_sentence(
    small_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
    ):

        def fail(self: TrainingModule, batch: Any, error: Exception = error) -> Any:
            raise error

        monkeypatch.setattr(TrainingModule, "losses", fail)
        with pytest.raises(TrainingError, match=r"^out of memory with a single pair, of \d+ tokens: lower data"):
            train(small_config(tmp_path / type(error).__name__))


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.fast("lightning.Trainer.save_checkpoint")
def test_full_disk_is_one_sentence_and_leaves_no_partial_file(
    writer: str, run_copy: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The disk is full at the first call of each function that writes, in a resumed run."""
    before = contents(run_copy)

    def full(*arguments: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "a file")

    with monkeypatch.context() as patch:
        # so that os.replace is patched in that module only
        patch.setattr("seq2seq.utils.files.os", SimpleNamespace(**vars(os)))
        patch.setattr(writer, full)
        assert cli.main(["train", f"resume={run_copy}", "training.max_updates=7", "training.patience=9"]) == 2
    assert "No space left on device" in capfd.readouterr().err.splitlines()[-1]
    assert not list(run_copy.rglob(".*"))
    after = contents(run_copy)
    assert before.keys() <= after.keys()
    kept = load_file(run_copy / "checkpoints" / "update-6.safetensors")
    assert load_file(run_copy / "weights.safetensors").keys() == kept.keys()
    resume(to_resume(run_copy, "training.max_updates=7"))
    assert Run.open(run_copy).info["updates"] == 7


def run_with_file_limit(size: int, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command whose files cannot exceed `size` bytes (RLIMIT_FSIZE): the system refuses every byte beyond it."""
    return subprocess.run(
        [sys.executable, "-m", "seq2seq", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", [100, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200])
def test_file_size_limit_is_one_sentence(size: int, small_settings: SmallSettings, tmp_path: Path) -> None:
    words = ["train", *small_settings(tmp_path / "runs", f"data.cache={tmp_path / 'cache'}")]
    done = run_with_file_limit(size, *words)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "Logging error" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("seq2seq: ")
    assert f"{tmp_path}/" in last
    assert "File too large" in last
    runs = [path for path in (tmp_path / "runs").glob("*") if path.is_dir()] if (tmp_path / "runs").exists() else []
    kept = (".part", ".lock", ".json")  # started, locked, and what is known of the text
    partial = [path for path in tmp_path.rglob(".*") if path.suffix not in kept]
    assert not partial
    assert cli.main(["train", f"resume={runs[0]}"] if runs else words) == 0
    assert not [*tmp_path.rglob("*.part")]  # encoded blocks of text are removed or used
    assert Run.open(next((tmp_path / "runs").iterdir())).info["finished"]
