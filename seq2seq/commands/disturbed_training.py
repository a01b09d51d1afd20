"""Trainings that are disturbed and resumed, and whether they end as if nothing had happened.

`seq2seq selftest resume` shows it to a user, and scripts/faults measures it in many ways."""

import csv
import json
import os
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from seq2seq import cli
from seq2seq.errors import RunError
from seq2seq.runs.directory import INFO, LAST, LOG, METRICS, PREVIOUS, WEIGHTS, file_hash
from seq2seq.training.checkpoint import read_checkpoint

# a training of a few seconds with all that a checkpoint has to hold
SETTINGS = (
    "data=toy", "experiment=toy_rnn", "model.hidden=32", "model.embedding=32", "model.dropout=0.3",
    "training.batch_tokens=512", "training.accumulate=2", "training.ema=0.9", "training.max_updates=60",
    "training.validate_every=10", "training.save_every=4", "training.dev_lines=20", "trainer.log_every=5",
    "trainer.accelerator=cpu", "trainer.threads=1", "trainer.progress=none",
)  # fmt: skip
TIMES = {"seconds", "processor_seconds", "tokens_per_second", "waiting"}  # columns that differ between equal runs
LONGEST = 240.0  # seconds after which a process counts as hung
WAIT_FOR_OTHERS = "20"  # seconds that a process waits for another, in place of half an hour
ERRORS = "errors.txt"
PROCESSES = get_context("forkserver")  # its processes do not have to import everything again
PROCESSES.set_forkserver_preload(["seq2seq.training.resume", "seq2seq.launch.sweep", "seq2seq.commands.train"])


def _train(words: Sequence[str], errors: Path, prelude: Callable[[], None] | None) -> None:
    """`seq2seq train WORDS`, as a process of its own."""
    os.setpgid(0, 0)
    with errors.open("a", buffering=1) as file:
        os.dup2(file.fileno(), 2)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.environ |= {"SEQ2SEQ_TIMEOUT": WAIT_FOR_OTHERS, "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "5"}
    if prelude:
        prelude()
    sys.exit(cli.main(["train", *words]))


class Ending(NamedTuple):
    """How a disturbed run ended."""

    equal: bool = False  # bit-equal to the undisturbed run: weights, state, and rows of metrics.csv
    lost: bool = False  # it went on from an update before its last checkpoint
    hung: bool = False
    partial: bool = False  # a half-written file was left
    traceback: bool = False
    note: str = ""


class DisturbedTraining:
    """A training in a folder of its own, which is disturbed, and then resumed until it is finished."""

    def __init__(self, folder: Path, devices: int, rng: random.Random, more: Sequence[str] = ()) -> None:
        """folder: for its run; more: settings that replace those of SETTINGS."""
        self.folder, self.rng = folder, rng
        cache = folder.parent / "cache"
        self.words = [*SETTINGS, f"runs={folder}", f"data.cache={cache}", f"trainer.devices={devices}", *more]

    def start(self, *words: str, prelude: Callable[[], None] | None = None) -> BaseProcess:
        """A process that trains. prelude: what it does before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        process = PROCESSES.Process(target=_train, args=(words or self.words, self.folder / ERRORS, prelude))
        process.start()
        return process

    def wait(self, process: BaseProcess) -> int:
        """The exit code of a process, at its end. Raises TimeoutError for one that hangs."""
        process.join(LONGEST)
        hangs = process.exitcode is None
        process.kill()
        process.join()
        if hangs:
            raise TimeoutError
        return process.exitcode or 0

    @property
    def errors(self) -> str:
        """What the processes of this training have printed to stderr."""
        path = self.folder / ERRORS
        return path.read_text() if path.exists() else ""

    def run(self) -> Path | None:
        """The run directory, if there is one yet."""
        return next((path.parent for path in self.folder.glob(f"[!.]*/{INFO}")), None)

    def updates(self, name: str) -> int:
        """Updates that a checkpoint holds; 0 without one, or for a damaged one."""
        with suppress(RunError):
            return int(read_checkpoint((self.run() or Path()) / name)["global_step"])
        return 0

    def last_error(self) -> str:
        """The last line that a process of this trial has printed to stderr."""
        return next(iter(self.errors.splitlines()[::-1]), "")

    def sleep_into_training(self, process: BaseProcess, early: bool = True) -> None:
        """Wait until a process has written a checkpoint, and then a part of a training.

        early: in two of five cases only for up to two seconds, in which it may not have begun to train."""
        before = self.saved_at()
        deadline = time.monotonic() + (self.rng.choice([0.0, 2.0, LONGEST, LONGEST, LONGEST]) if early else LONGEST)
        while time.monotonic() < deadline and process.is_alive() and self.saved_at() == before:
            time.sleep(0.02)
        time.sleep(self.rng.uniform(0, 1.5))

    def saved_at(self) -> int:
        """When the last checkpoint was written, in nanoseconds; 0 without one."""
        with suppress(OSError):
            return ((self.run() or Path()) / LAST).stat().st_mtime_ns
        return 0

    def workers(self, process: BaseProcess) -> list[int]:
        """The processes that train for this one."""
        with suppress(OSError):  # only Linux tells
            return sorted(map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()))
        return []


def rows(run: Path) -> list[dict[str, str]]:
    """metrics.csv without times."""
    with (run / METRICS).open() as file:
        return [{name: value for name, value in row.items() if name not in TIMES} for row in csv.DictReader(file)]


def same_end(run: Path, other: Path) -> bool:
    """Whether two finished runs have the same weights and figures, bit by bit."""
    states = [read_checkpoint(folder / LAST, mapped=False)["state_dict"] for folder in (run, other)]
    return (
        file_hash(run, WEIGHTS) == file_hash(other, WEIGHTS)
        and all(bool((states[1][name] == value).all()) for name, value in states[0].items())
        and rows(run) == rows(other)
    )


def finish(trial: DisturbedTraining, reference: Path) -> Ending:
    """Resume until the run is finished."""
    saved = max(trial.updates(name) for name in (LAST, PREVIOUS))
    for _ in range(3):
        run = trial.run()
        if run and json.loads((run / INFO).read_text()).get("finished"):
            break
        trial.wait(trial.start(f"resume={run}") if run else trial.start())
        if run and "delete" in trial.last_error():  # its only checkpoint is damaged: as the sentence says
            (run / LAST).unlink(missing_ok=True)
    else:
        return Ending(traceback="Traceback" in trial.errors, note=trial.last_error())
    resumed = re.findall(r"resuming after update (\d+)", (run / LOG).read_text())
    left = [path.name for path in run.rglob(".*") if path.is_file()]
    return Ending(
        equal=same_end(run, reference),
        lost=bool(resumed) and max(map(int, resumed)) < saved,
        partial=bool(left),
        traceback="Traceback" in trial.errors,
    )
