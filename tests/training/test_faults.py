"""What does training leave behind when something goes wrong? One sentence, and nothing lost."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from seq2seq import cli
from seq2seq.errors import ConfigError, DataError, RunError
from seq2seq.launch.compose import compose_config
from seq2seq.runs.directory import Run
from seq2seq.runs.metrics import read_metrics
from seq2seq.training import checks, validation
from seq2seq.training.checkpoint import Checkpoint, PlainFile
from seq2seq.training.run import make_directory, train

Small = Callable[..., list[str]]


def everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "tensorboard" not in path.parts}


def test_a_loss_that_is_not_finite_is_one_sentence_and_can_be_resumed(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from seq2seq.training.module import TrainingModule

    original, handler = TrainingModule.losses, signal.getsignal(signal.SIGINT)

    def spoiled(self: TrainingModule, batch: Any) -> Any:
        loss = original(self, batch)
        return (
            loss._replace(total=loss.total * float("nan")) if self.training and self.trainer.global_step == 4 else loss
        )

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "losses", spoiled)
        assert cli.main(["train", *small(tmp_path)]) == 2
    said = capfd.readouterr().err.splitlines()[-1]
    assert said.startswith("seq2seq: the loss is nan at update 5 (epoch 1, batch 5, lines ")
    assert signal.getsignal(signal.SIGINT) == handler
    (run,) = tmp_path.iterdir()
    assert cli.main(["train", f"resume={run}"]) == 0
    assert Run.open(run).info["updates"] == 6


def test_an_existing_run_is_neither_overwritten_nor_begun_anew(
    tiny_run: Path, small: Small, run_copy: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = everything(tiny_run)
    assert cli.main(["train", *small(tiny_run.parent)]) == 2
    assert f"{tiny_run} exists and is finished" in capfd.readouterr().err
    assert everything(tiny_run) == before
    info = run_copy / "run.json"
    info.write_text(info.read_text().replace('"finished": true', '"finished": false'))
    assert cli.main(["train", *small(run_copy.parent)]) == 2
    assert f"{run_copy} exists: resume={run_copy} goes on with it" in capfd.readouterr().err


def test_the_second_of_two_that_begin_at_once_leaves_the_first_alone(
    tiny_run: Path, small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both found no directory; the other's is there when this one's is to be put in place."""
    runs = tmp_path / "runs"

    def slow(plan: Any) -> bool:
        shutil.copytree(tiny_run, plan.folder)
        return make_directory(plan)

    monkeypatch.setattr("seq2seq.training.run.make_directory", slow)
    with pytest.raises(RunError, match=f"{tiny_run.name} exists and is finished"):
        train(compose_config(small(runs)))
    assert [path.name for path in runs.iterdir()] == [tiny_run.name]
    assert {p.name: b for p, b in everything(runs).items()} == {p.name: b for p, b in everything(tiny_run).items()}


FULL = OSError(errno.ENOSPC, "No space left on device", "a file")


PLACES = [
    "seq2seq.runs.directory.save_file",
    "seq2seq.utils.files.os.replace",
    "lightning.Trainer.save_checkpoint",
    "pathlib.Path.write_text",
]


def test_weights_that_are_no_numbers_displace_no_checkpoint(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An update can spoil the weights though its loss was fine; if a validation follows, nothing of it may be kept."""
    original = validation.Validation.validate

    def spoiled(self: Any, trainer: Any, module: Any) -> None:
        if trainer.global_step == 6:
            for parameter in module.parameters():
                parameter.data.fill_(float("nan"))
        original(self, trainer, module)

    for monitor in ("bleu", "loss"):
        with monkeypatch.context() as patch:
            patch.setattr(validation.Validation, "validate", spoiled)
            assert cli.main(["train", *small(tmp_path / monitor, f"training.monitor={monitor}")]) == 2
        assert "the dev loss is nan, these weights are not kept" in capfd.readouterr().err.splitlines()[-1]
        (run,) = (tmp_path / monitor).iterdir()
        assert [path.name for path in run.rglob("update-*")] == ["update-3.safetensors"]
        assert cli.main(["train", f"resume={run}"]) == 0


def test_full_memory_is_one_sentence(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from seq2seq.training.module import TrainingModule

    for error in (
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
    ):
        monkeypatch.setattr(TrainingModule, "losses", lambda *rest, error=error: (_ for _ in ()).throw(error))
        assert cli.main(["train", *small(tmp_path / type(error).__name__)]) == 2
        assert "memory is full: lower training.batch_tokens=256" in capfd.readouterr().err.splitlines()[-1]


def test_rouge_of_a_script_that_it_does_not_read_is_refused_before_any_work(
    small: Small, corpus: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(corpus, tmp_path / "corpus")
    (other / "dev.de").write_text("кот спит\n" * 12, encoding="utf-8")
    with pytest.raises(DataError, match="no reference has any; take chrf"):
        train(compose_config(small(tmp_path / "runs", f"data.root={other}", "training.monitor=rouge")))
    assert not (tmp_path / "runs").exists()


def test_rouge_is_refused_for_no_part_of_the_dev_set(small: Small, corpus: Path, tmp_path: Path) -> None:
    other = shutil.copytree(corpus, tmp_path / "corpus")
    for name, last in (("dev.de", "die Katze schläft"), ("dev.en", "the cat sleeps")):
        (other / name).write_text("кот спит\n" * 150 + last + "\n", encoding="utf-8")
    words = small(tmp_path / "runs", f"data.root={other}", "training.monitor=rouge")
    assert Run.open(train(compose_config(words))).info["finished"]
    with pytest.raises(DataError, match="no reference has any"):  # what is decoded is what counts
        train(compose_config([*words, "training.dev_lines=150"]))


@pytest.mark.parametrize("place", PLACES)
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(
    place: str, run_copy: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first write after the run was resumed, whichever it is."""
    before = everything(run_copy)

    def full(*arguments: Any, **more: Any) -> None:
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr(
            "seq2seq.utils.files.os", SimpleNamespace(replace=os.replace, getpid=os.getpid)
        )  # os.replace of that module alone
        patch.setattr(place, full)
        assert cli.main(["train", f"resume={run_copy}", "training.max_updates=8", "training.patience=9"]) == 2
    assert "No space left on device" in capfd.readouterr().err.splitlines()[-1]
    assert not list(run_copy.rglob(".*"))
    after = everything(run_copy)
    assert before.keys() <= after.keys()
    assert (
        load_file(run_copy / "weights.safetensors").keys()
        == load_file(run_copy / "checkpoints" / "update-6.safetensors").keys()
    )
    assert cli.main(["train", f"resume={run_copy}", "training.max_updates=8"]) == 0
    assert Run.open(run_copy).info["updates"] == 8


def test_a_failed_beginning_leaves_no_directory(small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2seq.training.run.write_json", lambda *rest: (_ for _ in ()).throw(FULL))
    assert cli.main(["train", *small(tmp_path)]) == 2
    assert not list(tmp_path.iterdir())


def test_positions_too_few_for_the_text_are_refused_before_a_directory_is_made(small: Small, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"model\.max_length=5 is too small: the longest training source has \d+ tokens"
    ):
        train(compose_config(small(tmp_path, "model.attention.scorer=location", "model.max_length=5")))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_with_a_checkpoint(number: int, small: Small, tmp_path: Path) -> None:
    settings = small(tmp_path, "training.max_updates=100000", "training.validate_every=100000", "trainer.log_every=1")
    process = subprocess.Popen(
        [sys.executable, "-m", "seq2seq", "train", *settings],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        until = time.monotonic() + 90
        while (
            not any(len(path.read_text().splitlines()) > 3 for path in tmp_path.glob("*/metrics.csv"))
            and time.monotonic() < until
        ):
            time.sleep(0.1)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 130, said
    (run,) = tmp_path.iterdir()
    assert f"go on with: seq2seq train resume={run}" in said
    update = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert cli.main(["train", f"resume={run}", f"training.max_updates={update + 2}"]) == 0
    assert [int(row["update"]) for row in read_metrics(run / "metrics.csv") if row["loss"]] == list(
        range(1, update + 3)
    )


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "id", lambda text: None)
    checkpoint.hear(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.hear(signal.SIGINT, None)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, which can do it")
def test_float16_on_the_processor_is_refused(trained):
    with pytest.raises(ConfigError, match=r"trainer.precision=16 needs a GPU; .* 32 and bf16"):
        trained("trainer.precision=16")


def test_more_devices_than_are_trained_on_are_refused(trained):
    with pytest.raises(ConfigError, match=r"trainer\.devices=2"):
        trained("trainer.devices=2")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, which can do it")
def test_a_gpu_that_is_not_there_is_told_before_any_work(trained):
    with pytest.raises(ConfigError, match=r"trainer\.accelerator=gpu, but torch finds no GPU"):
        trained("trainer.accelerator=gpu")


@pytest.mark.parametrize("more", [[], ["trainer.accelerator=cpu"]])
def test_there_is_nothing_to_record_on_the_processor(trained, more):
    if not more and torch.cuda.is_available():
        pytest.skip("there is a GPU, which can do it")
    with pytest.raises(ConfigError, match=r"trainer\.graphs=true needs a GPU"):
        trained("trainer.accelerator=auto", "trainer.graphs=true", *more)


def test_lengths_filled_up_beyond_the_models_are_refused(trained):
    with pytest.raises(ConfigError, match=r"training\.pad_to_multiple_of=8 does not divide model\.max_length=100"):
        trained("model.attention.scorer=location", "model.max_length=100", "training.pad_to_multiple_of=8")


def test_graphs_of_losses_that_are_scaled_are_refused(trained, monkeypatch):
    monkeypatch.setattr(checks, "on_gpu", lambda trainer: True)
    with pytest.raises(ConfigError, match=r"trainer\.graphs=true cannot be with trainer\.precision=16"):
        trained("trainer.graphs=true", "trainer.precision=16")


def test_threads_beyond_all_machines_are_refused(trained):
    with pytest.raises(ConfigError, match=r"trainer\.threads=100000 is more than a machine can take: at most 1024"):
        trained("trainer.threads=100000")


@pytest.mark.parametrize("cause", [KeyboardInterrupt(), OSError(28, "full")])
def test_what_cuts_writing_off_is_told_as_what_it_is(cause, tmp_path, monkeypatch):
    """torch's file raises an error of its own over it while it is closed."""

    def save(checkpoint, file):
        try:
            raise cause
        finally:
            raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos")

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(type(cause)):
        PlainFile().save_checkpoint({}, tmp_path / "last.ckpt")


def test_weights_stay_until_no_checkpoint_names_them(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill in a validation leaves the last checkpoint, with the updates that it knows to be the best."""
    original, seen = Checkpoint.save, list[bool]()

    def save(self: Checkpoint, trainer: Any) -> None:
        if self.path.exists():
            named = torch.load(self.path, weights_only=True)["callbacks"]["Validation"]["scores"]
            seen.extend(self.path.with_name(f"update-{update}.safetensors").exists() for update in named)
        original(self, trainer)

    monkeypatch.setattr(Checkpoint, "save", save)
    run = train(compose_config(small(tmp_path, "training.keep=1", "training.monitor=loss", "training.max_updates=9")))
    assert len(seen) > 1
    assert all(seen)
    assert len(list((run / "checkpoints").glob("update-*"))) == 1
