"""`complete` finishes a run, however far it was before; grids of runs."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from seq2seq.config import Config
from seq2seq.errors import BusyError, ConfigError, RunError
from seq2seq.runs.directory import Run, locked
from seq2seq.training import resume as resuming
from seq2seq.training.checkpoint import Checkpoint
from seq2seq.training.resume import complete, resume
from seq2seq.training.run import create_directory, plan_training, train
from tests.settings import to_resume

SmallSettings = Callable[..., list[str]]
ROOT = Path(__file__).resolve().parents[2]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def same_as(run: Path, other: Path) -> bool:
    a, b = (load_file(folder / "weights.safetensors") for folder in (run, other))
    return (
        all(torch.equal(a[name], b[name]) for name in a)
        and Run.open(run).info["batches"] == Run.open(other).info["batches"]
    )


@pytest.fixture
def config(small_config: Callable[..., Config], tmp_path: Path) -> Config:
    return small_config(tmp_path / "runs")  # where the fixture `run_copy` has its run


@pytest.fixture(scope="module")
def interrupted_once(small_config: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was interrupted in its fourth update; tests must not change it."""
    config = small_config(tmp_path_factory.mktemp("interrupted"))
    original = Checkpoint.on_train_batch_start

    def hook(self: Checkpoint, trainer: Any, *rest: Any) -> None:
        if trainer.global_step == 3:
            self.handle_signal(signal.SIGINT, None)
        original(self, trainer, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "on_train_batch_start", hook)
        with pytest.raises(KeyboardInterrupt):
            complete(config)
    return plan_training(config).folder


@pytest.fixture
def interrupted(interrupted_once: Path, config: Config) -> Path:
    """A copy of it, which the test may change, where `config` puts its run."""
    return Path(shutil.copytree(interrupted_once, Path(config.runs) / interrupted_once.name))


def test_new_run_is_trained_and_then_left_as_it_is(
    config: Config, tiny_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, trained = complete(config)
    assert trained
    assert same_as(folder, tiny_run)
    before = contents(folder)
    caplog.set_level("INFO", "seq2seq")
    caplog.clear()
    assert complete(config) == (folder, False)
    assert contents(folder) == before
    assert caplog.messages == []  # the caller logs it
    with pytest.raises(RunError, match="exists and is finished: delete it"):
        train(config)


def test_interrupted_run_is_resumed(interrupted: Path, config: Config, tiny_run: Path) -> None:
    """Also where its folder is spelled differently, and settings that may change have changed."""
    other = replace(config, runs=f"{config.runs}/../runs", trainer=replace(config.trainer, log_every=3))
    assert Run.open(interrupted).info["finished"] is False
    folder, trained = complete(other)
    assert (folder.resolve(), trained) == (interrupted.resolve(), True)
    assert same_as(interrupted, tiny_run)


@pytest.mark.slow
def test_run_that_is_only_a_directory_is_trained(config: Config, tiny_run: Path) -> None:
    assert create_directory(plan_training(config))
    assert not create_directory(plan_training(config))  # as in the second of two processes
    assert same_as(complete(config)[0], tiny_run)


def test_auto_size_of_the_tokenizer_is_saved_as_a_number(config: Config) -> None:
    plan = plan_training(replace(config, tokenizer=replace(config.tokenizer, size="auto")))
    assert create_directory(plan)
    saved = Run.open(plan.folder).config
    assert saved.tokenizer.size == plan.prepared.vocabularies.source.size
    assert plan_training(saved).folder == plan.folder


def test_run_of_another_process_is_left_alone(interrupted: Path, config: Config) -> None:
    before = contents(interrupted)
    with locked(interrupted), pytest.raises(BusyError, match="is being trained by another process"):
        complete(config)
    assert contents(interrupted) == before


def test_run_that_another_process_has_just_finished(
    run_copy: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path != run_copy and exists(path))  # as if it came after the check
    monkeypatch.setattr(resuming, "create_directory", lambda plan: False)
    assert complete(config) == (run_copy, False)


def test_finished_run_with_a_raised_limit_stays_finished(run_copy: Path, config: Config) -> None:
    resume(to_resume(run_copy, "training.max_updates=7"))
    assert complete(config) == (run_copy, False)
    assert Run.open(run_copy).info["updates"] == 7


@pytest.mark.slow
def test_interrupted_run_keeps_its_raised_limit(interrupted: Path, config: Config) -> None:
    """As saved by `resume`: the limit of the grid does not replace it."""
    path = interrupted / "config.yaml"
    path.write_text(path.read_text().replace("max_updates: 6", "max_updates: 7"))
    assert complete(config) == (interrupted, True)
    run = Run.open(interrupted)
    assert (run.info["updates"], run.config.training.max_updates) == (7, 7)


def test_damaged_run_is_refused(interrupted: Path, config: Config) -> None:
    (interrupted / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        complete(config)


def test_invalid_settings_create_nothing(config: Config, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="training has no end"):
        complete(replace(config, training=replace(config.training, max_updates=0, patience=0)))
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_changes_are_logged_only_after_all_checks(interrupted: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "seq2seq")
    caplog.clear()
    with locked(interrupted), pytest.raises(BusyError):
        resume(to_resume(interrupted, "training.max_updates=7"))
    words = ("trainer.log_every=7", "training.max_updates=0", "training.patience=0")
    with pytest.raises(ConfigError, match="training has no end"):
        resume(to_resume(interrupted, *words))
    assert caplog.messages == []
    resume(to_resume(interrupted, "training.max_updates=7"))
    assert "changed on resuming: training.max_updates 6 -> 7" in caplog.messages


@pytest.mark.slow
def test_two_simultaneous_grids_share_the_work(small_settings: SmallSettings, tmp_path: Path) -> None:
    """Each job is trained by one of them; then all runs are finished."""
    words = ("model/attention=dot,general,cosine", *small_settings(tmp_path / "runs"))
    command = [sys.executable, "-m", "seq2seq", "train", "-m", *words]

    def call(_: int) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)

    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(call, range(2)))
    assert [done.returncode for done in ended] == [0, 0], [done.stderr for done in ended]
    runs = [path for path in (tmp_path / "runs").iterdir() if path.name != ".sweeps"]
    assert len(runs) == 3
    assert all(Run.open(run).info["finished"] for run in runs)
    assert sum(done.stderr.count("\nfinished: dev bleu") for done in ended) == 3
    again = call(0)
    assert again.returncode == 0
    assert len(re.findall("^model/attention=.*: finished before: ", again.stderr, re.MULTILINE)) == 3
    assert "grid: 3 finished (3 before), 0 failed" in again.stderr


@pytest.mark.slow
def test_joblib_trains_jobs_in_parallel(small_settings: SmallSettings, tmp_path: Path) -> None:
    words = [
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        *(word for word in small_settings(tmp_path / "runs") if "threads" not in word),
    ]
    command = [sys.executable, "-m", "seq2seq", "train", "-m", "model/attention=dot,general", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    runs = [Run.open(path) for path in (tmp_path / "runs").iterdir() if path.name != ".sweeps"]
    assert len(runs) == 2
    assert len({run.info["batches"] for run in runs}) == 1
    assert "[model/attention=dot] finished: dev bleu" in done.stderr
    assert "grid: 2 finished (0 before), 0 failed" in done.stderr
