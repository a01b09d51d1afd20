"""When does training stop, and what does it say and leave behind?"""

import csv
import errno
import io
import logging
import os
import re
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
from rich.console import Console
from safetensors.torch import load_file

from seq2seq import cli
from seq2seq.compose import compose_config
from seq2seq.errors import ConfigError, DataError, RunError
from seq2seq.runs import Run
from seq2seq.training import validation
from seq2seq.training.callbacks import Checkpoint
from seq2seq.training.clock import Clock
from seq2seq.training.metrics import Metrics, read_metrics
from seq2seq.training.progress import Limits, Progress, clock
from seq2seq.training.run import check_limits, make_directory, parameter_table, train

Small = Callable[..., list[str]]
NO_END = ("training.max_updates=0", "training.patience=0")


def validations(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["dev_loss"]]


def everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "tensorboard" not in path.parts}


def test_training_without_an_end_is_refused(small: Small, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training has no end: set training\.max_updates, max_epochs, max_minutes, patience or stop_at"):
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


def test_patience_counts_validations_without_progress(trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    scripted([1.0, 3.0, 2.0, 3.0, 9.0], monkeypatch)
    run = trained(*NO_END, "training.patience=2", "training.validate_every=1")
    assert len(validations(run)) == 4
    assert Run.open(run).info["weights_from"] == [2]


def test_stop_at_ends_at_the_score(trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    scripted([1.0, 29.9, 30.0, 31.0], monkeypatch)
    run = trained(*NO_END, "training.stop_at=30", "training.validate_every=1")
    assert len(validations(run)) == 3
    assert Run.open(run).info["dev_score"] == 30.0


def test_max_minutes_leaves_out_validation_and_ends_with_one(trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock on which each update takes a second, and each validation an hour."""
    now = [0.0]
    monkeypatch.setattr("seq2seq.training.clock.time.perf_counter", lambda: now[0])
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


def test_a_loss_that_is_not_finite_is_one_sentence_and_can_be_resumed(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from seq2seq.training.module import TrainingModule

    original, handler = TrainingModule.losses, signal.getsignal(signal.SIGINT)

    def spoiled(self: TrainingModule, batch: Any) -> Any:
        loss = original(self, batch)
        return loss._replace(total=loss.total * float("nan")) if self.training and self.trainer.global_step == 4 else loss

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


def test_other_text_under_the_same_name_makes_another_run(tiny_run: Path, small: Small, corpus: Path, tmp_path: Path) -> None:
    other = shutil.copytree(corpus, tmp_path / "other")
    with (other / "train.de").open("a") as de, (other / "train.en").open("a") as en:
        de.write("Noch ein Satz.\n")
        en.write("One more sentence.\n")
    made = train(compose_config(small(tiny_run.parent, f"data.root={other}")))
    assert made != tiny_run
    assert made.name.rpartition("-")[0] == tiny_run.name.rpartition("-")[0]
    shutil.rmtree(made)


def test_the_second_of_two_that_begin_at_once_leaves_the_first_alone(
    tiny_run: Path, small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both found no directory; the other's is there when this one's is to be put in place."""
    runs = tmp_path / "runs"

    def slow(folder: Path, *rest: Any) -> None:
        shutil.copytree(tiny_run, folder)
        make_directory(folder, *rest)

    monkeypatch.setattr("seq2seq.training.run.make_directory", slow)
    with pytest.raises(RunError, match=f"{tiny_run.name} exists and is finished"):
        train(compose_config(small(runs)))
    assert [path.name for path in runs.iterdir()] == [tiny_run.name]
    assert {p.name: b for p, b in everything(runs).items()} == {p.name: b for p, b in everything(tiny_run).items()}


FULL = OSError(errno.ENOSPC, "No space left on device", "a file")


PLACES = ["seq2seq.runs.save_file", "seq2seq.runs.os.replace", "lightning.Trainer.save_checkpoint", "pathlib.Path.write_text"]


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

    for error in (torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")):
        monkeypatch.setattr(TrainingModule, "losses", lambda *rest, error=error: (_ for _ in ()).throw(error))
        assert cli.main(["train", *small(tmp_path / type(error).__name__)]) == 2
        assert "memory is full: lower training.batch_tokens=256" in capfd.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("model", ["rnn", "transformer"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "adafactor", "sgd"])
def test_mixed_precision_trains(model: str, optimizer: str, trained: Callable[..., Path]) -> None:
    size = ["model.size=8", "model.heads=2", "model.feedforward=16"] if model == "transformer" else []
    run = trained(f"model={model}", *size, f"training.optimizer={optimizer}", "trainer.precision=bf16", "training.monitor=loss")
    rows = [float(row["dev_loss"]) for row in validations(run)]
    assert rows[-1] < rows[0]
    assert {w.dtype for w in load_file(run / "weights.safetensors").values()} == {torch.float32}


def test_rouge_of_a_script_that_it_does_not_read_is_refused_before_any_work(small: Small, corpus: Path, tmp_path: Path) -> None:
    other = shutil.copytree(corpus, tmp_path / "corpus")
    (other / "dev.de").write_text("кот спит\n" * 12, encoding="utf-8")
    with pytest.raises(DataError, match="no reference has any; take chrf"):
        train(compose_config(small(tmp_path / "runs", f"data.root={other}", "training.monitor=rouge")))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("place", PLACES)
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(
    place: str, run_copy: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first write after the run was resumed, whichever it is."""
    before = everything(run_copy)

    def full(*arguments: Any, **more: Any) -> None:
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr("seq2seq.runs.os", SimpleNamespace(replace=os.replace, getpid=os.getpid))  # os.replace of that module alone
        patch.setattr(place, full)
        assert cli.main(["train", f"resume={run_copy}", "training.max_updates=8", "training.patience=9"]) == 2
    assert "No space left on device" in capfd.readouterr().err.splitlines()[-1]
    assert not list(run_copy.rglob(".*"))
    after = everything(run_copy)
    assert before.keys() <= after.keys()
    assert after[run_copy / "weights.safetensors"] == before[run_copy / "weights.safetensors"]
    assert cli.main(["train", f"resume={run_copy}", "training.max_updates=8"]) == 0
    assert Run.open(run_copy).info["updates"] == 8


def test_a_failed_beginning_leaves_no_directory(small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2seq.training.run.write_json", lambda *rest: (_ for _ in ()).throw(FULL))
    assert cli.main(["train", *small(tmp_path)]) == 2
    assert not list(tmp_path.iterdir())


def test_positions_too_few_for_the_text_are_refused_before_a_directory_is_made(small: Small, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.max_length=5 is too small: the longest training source has \d+ tokens"):
        train(compose_config(small(tmp_path, "model.attention.scorer=location", "model.max_length=5")))
    assert not list(tmp_path.iterdir())


def test_checkpoints_hold_no_code(tiny_run: Path) -> None:
    """Everything that is pickled loads with weights_only=True; the rest is text, safetensors, or a tokenizer."""
    kinds = {path.suffix for path in everything(tiny_run)}
    assert kinds == {".yaml", ".json", ".spm", ".safetensors", ".csv", ".txt", ".ckpt", ".lock"}
    assert torch.load(tiny_run / "checkpoints" / "last.ckpt", weights_only=True)
    assert load_file(tiny_run / "weights.safetensors")


def test_the_log_tells_parameters_and_speed(small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2seq.training.progress.QUIET_SECONDS", 0.0)
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
    progress = Progress(Limits(100, 0), "auto")
    assert progress.bar is None
    progress.start(0, 0.0)
    progress.line(10, 1, 2.5, 12345.0, 60.0)
    progress.line(11, 1, 2.5, 12345.0, 60.0)  # too soon
    assert caplog.messages == ["update 10  epoch 1  loss 2.500  12,345 tokens/s  0:09:00 left"]


def test_time_left_on_paper() -> None:
    progress = Progress(Limits(100, 10), "none")
    progress.start(50, 100.0)  # resumed half way: what was done before says nothing of the rate
    assert progress.left(60, 120.0) == "0:01:20 left"
    assert Progress(Limits(0, 0), "none").left(5, 65.0) == "0:01:05 so far"
    assert clock(3723.4) == "1:02:03"


def test_metrics_are_kept_up_to_the_checkpoint(tmp_path: Path) -> None:
    first = Metrics(tmp_path)
    for update in (2, 4, 6):
        first.write(update=update, epoch=1, loss=1 / 3)
    with first.path.open("a") as file:
        file.write("8,1,0.")
    assert [row["update"] for row in read_metrics(first.path)] == ["2", "4", "6"]
    Metrics(tmp_path, 4).write(update=6, epoch=1, loss=0.25)
    assert [(row["update"], row["loss"]) for row in read_metrics(first.path)] == [("2", "0.333333"), ("4", "0.333333"), ("6", "0.25")]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_with_a_checkpoint(number: int, small: Small, tmp_path: Path) -> None:
    settings = small(tmp_path, "training.max_updates=100000", "training.validate_every=100000", "trainer.log_every=1")
    process = subprocess.Popen(
        [sys.executable, "-m", "seq2seq", "train", *settings], stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    try:
        until = time.monotonic() + 90
        while not any(len(path.read_text().splitlines()) > 3 for path in tmp_path.glob("*/metrics.csv")) and time.monotonic() < until:
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
    assert [int(row["update"]) for row in read_metrics(run / "metrics.csv") if row["loss"]] == list(range(1, update + 3))


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, lambda text: None)
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
