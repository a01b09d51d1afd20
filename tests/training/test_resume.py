"""A resumed run ends exactly where an uninterrupted one does."""

import csv
import logging
import operator
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from seq2seq.config import Config
from seq2seq.config.io import LIMITS, differences, every_setting, flatten, read_config, refuse_changes
from seq2seq.errors import RunError
from seq2seq.launch.compose import compose_config
from seq2seq.runs.directory import HASHES, Run
from seq2seq.training.checkpoint import Checkpoint
from seq2seq.training.resume import resume
from seq2seq.training.run import train, train_directory
from tests.settings import to_resume

TIMES = {"seconds", "processor_seconds", "tokens_per_second", "waiting"}
HARD = (
    "training.accumulate=2", "training.ema=0.9", "training.schedule=plateau", "training.plateau_patience=1",
    "training.learning_rate=4", "training.optimizer=sgd", "training.warmup=0", "training.clip=5", "model.dropout=0.3",
    "training.guided_alignment=1", "training.max_updates=6", "training.validate_every=2", "training.dev_lines=2",
    "trainer.log_every=3", "training.batch_tokens=1024",
)  # fmt: skip
STEADY = [word for word in HARD if "plateau" not in word]


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return [{name: value for name, value in row.items() if name not in TIMES} for row in csv.DictReader(file)]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "weights.safetensors")


def last(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def interrupt_at(update: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send SIGINT to training in the first batch of this update."""
    original = Checkpoint.on_train_batch_start

    def hook(self: Checkpoint, trainer: Any, *rest: Any) -> None:
        if trainer.global_step == update - 1 and self.stop_signal is None:
            self.handle_signal(signal.SIGINT, None)
        original(self, trainer, *rest)

    monkeypatch.setattr(Checkpoint, "on_train_batch_start", hook)


@pytest.fixture(scope="module")
def whole(trained: Callable[..., Path]) -> Path:
    return trained(*HARD)


@pytest.fixture
def stopped(
    small_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """`stopped(update, *settings)`: a run that was interrupted in this update."""

    def make(update: int, *more: str) -> Path:
        with monkeypatch.context() as patch:
            interrupt_at(update, patch)
            with pytest.raises(KeyboardInterrupt):
                train(small_config(tmp_path / f"runs{update}", *more))
        return next(path for path in (tmp_path / f"runs{update}").iterdir())

    return make


def resumed(run: Path, *more: str) -> Path:
    return resume(to_resume(run, *more))


@pytest.mark.parametrize(
    "update", [pytest.param(1, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow), 5]
)
def test_interrupted_run_ends_like_an_uninterrupted_one(
    update: int, whole: Path, stopped: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "seq2seq")
    run = stopped(update, *HARD)
    assert last(run)["global_step"] == update
    assert not Run.open(run).info["finished"]
    assert Run.open(run).info["links"]
    with (run / "metrics.csv").open("a") as file:
        # what a killed run wrote after its checkpoint, the last line in part
        file.write("9,1,1,1,1,1,1,1,1,1,1,,\n10,1,1,")
    resumed(run)
    assert (run / "log.txt").read_text().count(f"resuming after update {update}\n") == 1
    assert "resuming" not in (whole / "log.txt").read_text()
    assert same(weights(run), weights(whole))
    assert rows(run) == rows(whole)
    mine, theirs = last(run), last(whole)
    assert same(mine["state_dict"], theirs["state_dict"])
    for name in ("Validation", "Log", "Average"):
        left, right = mine["callbacks"][name], theirs["callbacks"][name]
        assert left.keys() == right.keys()
        for key in left:
            if (name, key) == ("Log", "last"):  # seconds
                continue
            equal = torch.equal if isinstance(left[key], torch.Tensor) else operator.eq
            assert equal(left[key], right[key]), (name, key)
    assert mine["loops"]["fit_loop"]["state_dict"] == theirs["loops"]["fit_loop"]["state_dict"]
    left, right = (
        [group["lr"] for group in checkpoint["optimizer_states"][0]["param_groups"]] for checkpoint in (mine, theirs)
    )
    assert left == right


def test_uninterrupted_run_spans_epochs_and_learning_rates(whole: Path) -> None:
    assert {row["epoch"] for row in rows(whole)} >= {"1", "2"}
    rates = {row["learning_rate"] for row in rows(whole) if row["learning_rate"]}
    assert len(rates) > 1


def test_resumed_run_does_not_record_a_premature_finish(run_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its updates nor its time: a comparison would take them for those of the whole run."""
    before, config = Run.open(run_copy).info, Run.open(run_copy).config
    assert before["updates"] == 6
    with monkeypatch.context() as patch:
        interrupt_at(7, patch)
        with pytest.raises(KeyboardInterrupt):
            resumed(run_copy, "training.max_updates=8")
    run = Run.open(run_copy)
    found = {name: value for name, value in run.info.items() if name != HASHES}  # of the weights kept since
    assert found["finished"] is False
    assert found.keys() == {"id", "data", "tokenizer", "seed", "versions", "started", "corpus", "finished"}
    assert found == {name: before[name] for name in found} | {"finished": False}
    assert differences(config, run.config) == [("training.max_updates", 6, 8)]
    resumed(run_copy)
    assert Run.open(run_copy).info.keys() == before.keys()
    assert Run.open(run_copy).info["updates"] == 8


@pytest.fixture(scope="module")
def full(trained: Callable[..., Path]) -> Path:
    return trained(*STEADY)


@pytest.mark.parametrize("limit", [3, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_raised_limit_gives_the_run_of_that_limit(limit: int, full: Path, trained: Callable[..., Path]) -> None:
    """Also where the old limit was between two validations, and at the end of an epoch, as 3 is."""
    run = trained(*STEADY, f"training.max_updates={limit}")
    assert last(run)["global_step"] == limit
    assert (last(run)["loops"]["fit_loop"]["state_dict"]["combined_loader"][0]["done"] == 0) == (limit == 3)
    resumed(run, "training.max_updates=6")
    assert same(last(run)["state_dict"], last(full)["state_dict"])
    extra = [(row["update"], row["loss"]) for row in rows(run) if row not in rows(full)]
    assert [row for row in rows(run) if row in rows(full)] == rows(full)
    assert extra == ([(str(limit), "")] if limit % 2 else [])  # the validation at the end
    assert Run.open(run).info["finished"]


def test_saved_settings_replace_the_defaults(tiny_run: Path) -> None:
    saved = read_config(tiny_run / "config.yaml")
    assert replace(compose_config([f"resume={tiny_run}"]), resume="") == saved
    assert replace(compose_config([f"resume={tiny_run}", "model=rnn", "data=mine", "seed=1"]), resume="") == saved
    assert compose_config().model.hidden == 512  # not after resuming either


MAY_CHANGE = [
    *[f"training.{limit}=9" for limit in LIMITS],
    "trainer.log_every=9",
    "trainer.progress=lines",
    "trainer.threads=2",
    "training.show=0",
    "trainer=cpu",
]


@pytest.mark.parametrize("word", [*MAY_CHANGE, "data.cache=elsewhere", "model.hidden=8"])
def test_limits_logging_devices_and_folders_may_change(word: str, tiny_run: Path) -> None:
    single = word.partition("=")[0] in every_setting()
    given = to_resume(tiny_run, word) if single else compose_config([f"resume={tiny_run}", word])
    refuse_changes(flatten(read_config(tiny_run / "config.yaml")), flatten(replace(given, resume="")), tiny_run)


def test_run_stopped_at_its_last_update_only_finishes(stopped: Callable[..., Path], tiny_run: Path) -> None:
    run = stopped(6)
    assert not Run.open(run).info["finished"]
    resumed(run)
    assert Run.open(run).info["finished"]
    assert rows(run) == rows(tiny_run)
    assert same(weights(run), weights(tiny_run))


@pytest.mark.slow
def test_run_stopped_at_the_end_of_its_last_epoch_only_finishes(
    stopped: Callable[..., Path], trained: Callable[..., Path]
) -> None:
    settings = (
        "training.max_epochs=1",
        "training.max_updates=0",
        "training.validate_every=0",
        "training.batch_tokens=8192",
    )
    full = trained(*settings)
    run = stopped(last(full)["global_step"], *settings)
    resumed(run)
    assert rows(run) == rows(full)


@pytest.mark.slow
def test_limit_that_was_passed_ends_the_training(stopped: Callable[..., Path]) -> None:
    run = stopped(3, "training.validate_every=0", "training.max_updates=20", "training.monitor=loss")
    resumed(run, "training.max_updates=1")
    assert Run.open(run).info["finished"]
    assert [(row["update"], row["dev_loss"] != "") for row in rows(run)] == [("2", False), ("3", True)]


@pytest.mark.slow
def test_max_epochs_below_the_current_epoch_is_refused(stopped: Callable[..., Path]) -> None:
    run = stopped(4, "training.max_updates=9", "training.validate_every=0", "training.batch_tokens=8192")
    with pytest.raises(RunError, match=r"is past training\.max_epochs=1: \d epochs are complete"):
        resumed(run, "training.max_epochs=1")


def test_run_without_a_checkpoint_starts_over(stopped: Callable[..., Path], tiny_run: Path) -> None:
    run = stopped(1)
    (run / "checkpoints" / "last.ckpt").unlink()
    resumed(run)
    assert rows(run) == rows(tiny_run)
    assert same(weights(run), weights(tiny_run))


OTHERS = {
    "transformer": "model=transformer model.size=8 model.heads=2 model.feedforward=16 model.encoder_layers=1",
    "sampled subwords": "tokenizer.sampling=0.2 model.dropout=0.2",
    "adafactor, copying": (
        "training.optimizer=adafactor model.head=copy tokenizer=word training.average=last training.keep=2"
    ),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "transformer" else pytest.mark.slow) for name in OTHERS]
)
@pytest.mark.slow
def test_other_models_resume_exactly_too(name: str, stopped: Callable[..., Path], trained: Callable[..., Path]) -> None:
    settings = (*OTHERS[name].split(), "training.batch_tokens=2048", "training.max_updates=5", "training.dev_lines=2")
    run, unbroken = stopped(4, *settings), trained(*settings)
    resumed(run)
    assert rows(run) == rows(unbroken)
    assert same(weights(run), weights(unbroken))


def test_worker_needs_only_the_directory_and_the_prepared_text(stopped: Callable[..., Path], tiny_run: Path) -> None:
    """The text itself, whose folder does not exist here, is not read again."""
    run = stopped(3)
    rewrite = re.sub("root: .*", "root: /nowhere", (run / "config.yaml").read_text())
    (run / "config.yaml").write_text(rewrite)
    train_directory(run)
    assert rows(run) == rows(tiny_run)
    assert same(weights(run), weights(tiny_run))
