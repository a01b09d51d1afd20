"""Runs whose process is killed at any step of writing go on as if nothing had happened: scripts/faults in short."""

import csv
import io
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq.config import Config
from seq2seq.runs.directory import LAST, Run
from seq2seq.training import checkpoint
from seq2seq.training.checkpoint import read_checkpoint
from seq2seq.training.resume import resume
from seq2seq.training.run import train
from tests.settings import to_resume

WORDS = (
    "training.save_every=1", "training.keep=1", "training.validate_every=2", "training.max_updates=4",
    "training.dev_lines=2", "model.dropout=0.3", "trainer.log_every=3",
)  # fmt: skip
STEPS = 96  # of writing in such a training; a few more or less with versions of the dependencies
TIMES = {"seconds", "processor_seconds", "tokens_per_second", "waiting"}


def kill_at(step: int) -> None:
    """End this process, as SIGKILL does, before or within its step number `step` of writing."""
    left = [step]

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)
            return function(*arguments, **more)

        return call

    def save(value: Any, file: Any) -> None:
        whole = io.BytesIO()
        original(value, whole)
        left[0] -= 1
        if left[0] < 0:
            file.write(whole.getvalue()[: len(whole.getvalue()) // 2])
            file.flush()
            os._exit(9)
        file.write(whole.getvalue())

    original = torch.save
    for name in ("replace", "link", "fsync", "unlink"):
        setattr(os, name, counted(getattr(os, name)))
    checkpoint.torch.save = save  # type: ignore[attr-defined]


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return [{name: value for name, value in row.items() if name not in TIMES} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def whole(trained: Callable[..., Path]) -> Path:
    return trained(*WORDS)


@pytest.mark.parametrize("step", range(3, STEPS, 8))
@pytest.mark.fast("3", "35", "91")
def test_killed_run_ends_like_the_one_that_was_not(
    step: int, small_config: Callable[..., Config], tmp_path: Path, whole: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "seq2seq")
    config = small_config(tmp_path / "runs", *WORDS)
    child = os.fork()
    if child == 0:
        kill_at(step)
        train(config)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 9, "all steps of writing were done: lower STEPS"
    runs = list((tmp_path / "runs").glob("[!.]*"))
    run = runs[0] if runs else train(config)
    if not Run.open(run).info["finished"]:
        before = read_checkpoint(run / LAST)["global_step"] if (run / LAST).exists() else 0
        resume(to_resume(run))
        assert before == 0 or f"resuming after update {before}\n" in (run / "log.txt").read_text()
    assert (run / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
    assert rows(run) == rows(whole)
    assert not [path for path in run.rglob(".*") if path.is_file()]
