"""Disturbs trainings in many ways, resumes each, and counts those that end as if nothing had happened.

python scripts/fault_runs.py [N] [--kind NAME] [--seed N]; see docs/reliability.md for its table."""

import argparse
import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from seq2seq.errors import RunError
from seq2seq.runs.directory import INFO, LAST, LOG, METRICS, PREVIOUS, WEIGHTS
from seq2seq.training.checkpoint import read_checkpoint

SETTINGS = (
    "data=toy", "experiment=toy_rnn", "model.hidden=32", "model.embedding=32", "model.dropout=0.3",
    "training.batch_tokens=512", "training.accumulate=2", "training.ema=0.9", "training.max_updates=60",
    "training.validate_every=10", "training.save_every=4", "training.dev_lines=20", "trainer.log_every=5",
    "trainer.accelerator=cpu", "trainer.threads=1", "trainer.progress=none",
)  # fmt: skip
TIMES = {"seconds", "processor_seconds", "tokens_per_second", "waiting"}  # columns that differ between equal runs
LONGEST = 240.0  # seconds after which a process counts as hung
WAIT_FOR_OTHERS = "20"  # seconds, in place of half an hour


class Outcome(NamedTuple):
    """How a disturbed run ended."""

    equal: bool = False  # bit-equal to the undisturbed run: weights, state, and rows of metrics.csv
    lost: bool = False  # it went on from an update before its last checkpoint
    hung: bool = False
    partial: bool = False  # a half-written file was left
    traceback: bool = False
    note: str = ""


class Trial:
    """A training in a folder of its own, which is disturbed, and then resumed until it is finished."""

    def __init__(self, folder: Path, cache: Path, devices: int, rng: random.Random) -> None:
        self.folder, self.rng, self.devices = folder, rng, devices
        self.words = [*SETTINGS, f"runs={folder}", f"data.cache={cache}", f"trainer.devices={devices}"]
        self.errors = ""

    def start(self, *words: str, prelude: str = "") -> "subprocess.Popen[str]":
        """A process that trains. prelude: Python that it runs before."""
        program = f"{prelude}\nimport sys\nfrom seq2seq.cli import main\nsys.exit(main(sys.argv[1:]))"
        environment = {**os.environ, "SEQ2SEQ_TIMEOUT": WAIT_FOR_OTHERS, "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "5"}
        return subprocess.Popen(
            [sys.executable, "-c", program, "train", *(words or self.words)],
            stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def wait(self, process: "subprocess.Popen[str]") -> int:
        """The exit code. Raises TimeoutExpired for a process that hangs."""
        try:
            self.errors += process.communicate(timeout=LONGEST)[1] or ""
        finally:
            process.kill()
        return process.returncode

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

    def has_checkpoint(self) -> bool:
        run = self.run()
        return run is not None and (run / LAST).exists()

    def sleep_into_training(self, process: "subprocess.Popen[str]") -> None:
        """Wait until the first checkpoint is there, in most cases, and then a part of the training."""
        deadline = time.monotonic() + self.rng.choice([0.0, 2.0, LONGEST, LONGEST, LONGEST])
        while time.monotonic() < deadline and process.poll() is None and not self.has_checkpoint():
            time.sleep(0.02)
        time.sleep(self.rng.uniform(0, 1.5))

    def workers(self, process: "subprocess.Popen[str]") -> list[int]:
        """The processes that train for this one."""
        found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True).stdout
        return sorted(map(int, found.split()))


def killed(trial: Trial) -> bool:
    process = trial.start()
    trial.sleep_into_training(process)
    process.kill()
    code = trial.wait(process)
    time.sleep(1)  # until processes that it has started have noticed
    return code != 0


def stopped(trial: Trial) -> bool:
    process = trial.start()
    trial.sleep_into_training(process)
    process.send_signal(trial.rng.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1]))
    return trial.wait(process) != 0


def killed_twice(trial: Trial) -> bool:
    disturbed = killed(trial)
    if run := trial.run():
        process = trial.start(f"resume={run}")
        time.sleep(trial.rng.uniform(2, 5))
        process.kill()
        trial.wait(process)
        time.sleep(1)
    return disturbed


FULL_DISK = """
import builtins, os
left = {left}
def full(path):
    global left
    if ".venv" not in str(path):
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device", str(path))
original_open, original_sync = builtins.open, os.fsync
def opened(path, mode="r", *rest, **more):
    if set(mode) & set("wax"):
        full(path)
    return original_open(path, mode, *rest, **more)
def synchronized(descriptor):
    full("a file")
    original_sync(descriptor)
builtins.open, os.fsync = opened, synchronized
"""


def full_disk(trial: Trial) -> bool:
    return 0 != trial.wait(trial.start(prelude=FULL_DISK.format(left=trial.rng.randrange(80))))


def cut_checkpoint(trial: Trial) -> bool:
    killed(trial)
    if damaged := trial.has_checkpoint():
        path = (trial.run() or Path()) / LAST
        path.write_bytes(path.read_bytes()[: trial.rng.randrange(path.stat().st_size)])
    return damaged


def flipped_bit(trial: Trial) -> bool:
    killed(trial)
    if damaged := trial.has_checkpoint():
        path = (trial.run() or Path()) / LAST
        content = bytearray(path.read_bytes())
        content[trial.rng.randrange(len(content))] ^= 1 << trial.rng.randrange(8)
        path.write_bytes(content)
    return damaged


def killed_rank(trial: Trial) -> bool:
    process = trial.start()
    trial.sleep_into_training(process)
    if workers := trial.workers(process):
        os.kill(trial.rng.choice(workers), signal.SIGKILL)
    return trial.wait(process) != 0


def frozen_rank(trial: Trial) -> bool:
    process = trial.start()
    trial.sleep_into_training(process)
    if workers := trial.workers(process):
        os.kill(trial.rng.choice(workers), signal.SIGSTOP)
    return trial.wait(process) != 0


# those that return whether the training was disturbed before its end
KINDS: dict[str, tuple[Callable[[Trial], bool], tuple[int, ...], float]] = {  # -> what disturbs, devices, share
    "SIGKILL": (killed, (1, 2), 0.3),
    "SIGTERM, SIGINT, SIGHUP, SIGUSR1": (stopped, (1, 2), 0.2),
    "SIGKILL, and again after resuming": (killed_twice, (1,), 0.1),
    "full disk": (full_disk, (1,), 0.1),
    "checkpoint cut short": (cut_checkpoint, (1, 2), 0.1),
    "checkpoint with a flipped bit": (flipped_bit, (1,), 0.1),
    "one of two processes killed": (killed_rank, (2,), 0.06),
    "one of two processes frozen": (frozen_rank, (2,), 0.04),
}


def rows(run: Path) -> list[dict[str, str]]:
    """metrics.csv without times."""
    with (run / METRICS).open() as file:
        return [{name: value for name, value in row.items() if name not in TIMES} for row in csv.DictReader(file)]


def same_end(run: Path, other: Path) -> bool:
    """Whether two finished runs have the same weights and figures, bit by bit."""
    states = [read_checkpoint(folder / LAST, mapped=False)["state_dict"] for folder in (run, other)]
    return (
        (run / WEIGHTS).read_bytes() == (other / WEIGHTS).read_bytes()
        and all(bool((states[1][name] == value).all()) for name, value in states[0].items())
        and rows(run) == rows(other)
    )


def finish(trial: Trial, reference: Path) -> Outcome:
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
        return Outcome(traceback="Traceback" in trial.errors, note=trial.last_error())
    resumed = re.findall(r"resuming after update (\d+)", (run / LOG).read_text())
    left = [path.name for path in run.rglob(".*") if path.is_file()]
    return Outcome(
        equal=same_end(run, reference),
        lost=bool(resumed) and int(resumed[0]) < saved,
        partial=bool(left),
        traceback="Traceback" in trial.errors,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("number", type=int, nargs="?", default=200)
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng, folder = random.Random(options.seed), Path(tempfile.mkdtemp(prefix="faults-"))
    references: dict[int, Path] = {}
    for devices in (1, 2):
        trial = Trial(folder / f"undisturbed{devices}", folder / "cache", devices, rng)
        if trial.wait(trial.start()):
            sys.exit(trial.errors)
        references[devices] = trial.run() or Path()
    counts: dict[str, Counter[str]] = {}
    kinds = [options.kind] if options.kind else list(KINDS)
    for number in range(options.number):
        kind = rng.choices(kinds, [KINDS[name][2] for name in kinds])[0]
        disturb, choices, _ = KINDS[kind]
        devices = rng.choice(choices)
        trial = Trial(folder / str(number), folder / "cache", devices, rng)
        began, disturbed = time.monotonic(), True
        try:
            disturbed = disturb(trial)
            outcome = finish(trial, references[devices])
        except subprocess.TimeoutExpired:
            outcome = Outcome(hung=True)
        names = ["disturbed"] * disturbed + [
            name for name, value in outcome._asdict().items() if value and name != "note"
        ]
        seconds = time.monotonic() - began
        line = f"{number + 1}: {kind}, {devices}: {' '.join(names)} {outcome.note} ({seconds:.0f} s)"
        print(line, file=sys.stderr, flush=True)
        count = counts.setdefault(kind, Counter())
        count.update(["runs", *names])
        if outcome[:5] == (True, False, False, False, False):
            shutil.rmtree(trial.folder)
        else:
            (trial.folder / "errors.txt").write_text(trial.errors)
    print("| disturbance | runs | disturbed | ended bit-equal | lost | hung | half-written files | tracebacks |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    columns = ("runs", "disturbed", "equal", "lost", "hung", "partial", "traceback")
    for kind, count in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        print(f"| {kind} | {' | '.join(str(count[name]) for name in columns)} |")


if __name__ == "__main__":
    main()
