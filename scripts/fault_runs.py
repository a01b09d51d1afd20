"""Disturbs trainings in many ways, resumes each, and counts those that end as if nothing had happened.

python scripts/fault_runs.py [N] [--kind NAME] [--seed N]; see docs/explanation/reliability.md for its table."""

import argparse
import builtins
import errno
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seq2seq.commands.disturbed_training import DisturbedTraining, Ending, finish
from seq2seq.runs.directory import LAST


def killed(trial: DisturbedTraining) -> bool:
    process = trial.start()
    trial.sleep_into_training(process)
    process.kill()
    code = trial.wait(process)
    time.sleep(1)  # until processes that it has started have noticed
    return code != 0


def stopped(trial: DisturbedTraining) -> bool:
    process = trial.start()
    trial.sleep_into_training(process)
    number = trial.rng.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
    if process.is_alive() and process.pid:
        os.kill(process.pid, number)
    return trial.wait(process) != 0


def killed_twice(trial: DisturbedTraining) -> bool:
    disturbed = killed(trial)
    if run := trial.run():
        process = trial.start(f"resume={run}")
        time.sleep(trial.rng.uniform(2, 5))
        process.kill()
        trial.wait(process)
        time.sleep(1)
    return disturbed


class FullDisk:
    """Lets the first few calls that write pass, and fails from then on as a full disk does."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self) -> None:
        original_open, original_sync = builtins.open, os.fsync

        def opened(path: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
            if set(mode) & set("wax"):
                self.count(path)
            return original_open(path, mode, *rest, **more)

        def synchronized(descriptor: int) -> None:
            self.count("a file")
            original_sync(descriptor)

        builtins.open, os.fsync = opened, synchronized

    def count(self, path: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def full_disk(trial: DisturbedTraining) -> bool:
    return trial.wait(trial.start(prelude=FullDisk(trial.rng.randrange(80)))) != 0


def cut_checkpoint(trial: DisturbedTraining) -> bool:
    killed(trial)
    if damaged := trial.saved_at() > 0:
        path = (trial.run() or Path()) / LAST
        path.write_bytes(path.read_bytes()[: trial.rng.randrange(path.stat().st_size)])
    return damaged


def flipped_bit(trial: DisturbedTraining) -> bool:
    killed(trial)
    if damaged := trial.saved_at() > 0:
        path = (trial.run() or Path()) / LAST
        content = bytearray(path.read_bytes())
        content[trial.rng.randrange(len(content))] ^= 1 << trial.rng.randrange(8)
        path.write_bytes(content)
    return damaged


def signal_to_one(number: signal.Signals) -> Callable[[DisturbedTraining], bool]:
    """What sends a signal to one of the processes that train together."""

    def disturb(trial: DisturbedTraining) -> bool:
        process = trial.start()
        trial.sleep_into_training(process)
        if workers := trial.workers(process):
            os.kill(trial.rng.choice(workers), number)
        return trial.wait(process) != 0

    return disturb


# those that return whether the training was disturbed before its end
KINDS: dict[str, tuple[Callable[[DisturbedTraining], bool], tuple[int, ...], float]] = {  # devices, share
    "SIGKILL": (killed, (1, 2), 0.3),
    "SIGTERM, SIGINT, SIGHUP, SIGUSR1": (stopped, (1, 2), 0.2),
    "SIGKILL, and again after resuming": (killed_twice, (1,), 0.1),
    "full disk": (full_disk, (1,), 0.1),
    "checkpoint cut short": (cut_checkpoint, (1, 2), 0.1),
    "checkpoint with a flipped bit": (flipped_bit, (1,), 0.1),
    "one of two processes killed": (signal_to_one(signal.SIGKILL), (2,), 0.06),
    "one of two processes frozen": (signal_to_one(signal.SIGSTOP), (2,), 0.04),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("number", type=int, nargs="?", default=200)
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng, folder = random.Random(options.seed), Path(tempfile.mkdtemp(prefix="faults-"))
    references: dict[int, Path] = {}
    for devices in (1, 2):
        trial = DisturbedTraining(folder / f"undisturbed{devices}", devices, rng)
        if trial.wait(trial.start()):
            sys.exit(trial.errors)
        references[devices] = trial.run() or Path()
    counts: dict[str, Counter[str]] = {}
    kinds = [options.kind] if options.kind else list(KINDS)
    for number in range(options.number):
        kind = rng.choices(kinds, [KINDS[name][2] for name in kinds])[0]
        disturb, choices, _ = KINDS[kind]
        devices = rng.choice(choices)
        trial = DisturbedTraining(folder / str(number), devices, rng)
        began, disturbed = time.monotonic(), True
        try:
            disturbed = disturb(trial)
            outcome = finish(trial, references[devices])
        except TimeoutError:
            outcome = Ending(hung=True)
        names = [name for name, value in outcome._replace(note="")._asdict().items() if value]
        names = [*(["disturbed"] if disturbed else []), *names]
        seconds = time.monotonic() - began
        line = f"{number + 1}: {kind}, {devices}: {' '.join(names)} {outcome.note} {trial.folder} ({seconds:.0f} s)"
        print(line, file=sys.stderr, flush=True)
        count = counts.setdefault(kind, Counter())
        count.update(["runs", *names])
        if outcome[:5] == (True, False, False, False, False):
            shutil.rmtree(trial.folder)
    print("| disturbance | runs | disturbed | ended bit-equal | lost | hung | half-written files | tracebacks |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    columns = ("runs", "disturbed", "equal", "lost", "hung", "partial", "traceback")
    for kind, count in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        print(f"| {kind} | {' | '.join(str(count[name]) for name in columns)} |")


if __name__ == "__main__":
    main()
