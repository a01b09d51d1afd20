"""The jobs of a grid and how they ended, recorded in files, since a launcher may run each job in another process.

{runs}/.sweeps/{date}/multirun.yaml   what was swept, written by Hydra
                      0.json ..       the outcome of each job
                      stop            made on Ctrl-C: jobs that have not started do not start
"""

import shlex
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from seq2seq.errors import TrainingError
from seq2seq.runtime.untrusted import MIB, TEXT, fits, read_json
from seq2seq.utils.files import write_json

TRAINED = "trained"
BEFORE = "finished before"
ELSEWHERE = "trained by another process"
FAILED = "failed"
STOPPED = "stopped"
NO_REPORT = "its process did not report: it was killed, ran out of memory or time, or is still running"


@dataclass(frozen=True)
class Outcome:
    """How a job ended. The names of the fields are the keys of its JSON file."""

    state: str
    run: str = ""  # the run directory, if it is finished
    reason: str = ""  # why it failed
    words: str = ""  # the job's label


@dataclass(frozen=True)
class Grid:
    """The jobs of one command, and the folder of their outcomes, which all their processes must be able to reach."""

    folder: Path
    jobs: Sequence[Sequence[str]]  # the overrides of each job; empty if only the sweeper knows them

    @classmethod
    def new(cls, runs: str, jobs: Sequence[Sequence[str]]) -> "Grid":
        """A grid whose run directories are made in `runs`; its own folder gets a unique name."""
        return cls(Path(runs).absolute() / ".sweeps" / f"{datetime.now():%Y%m%d-%H%M%S}-{uuid4().hex[:8]}", jobs)

    def label(self, overrides: Sequence[str]) -> str:
        """A job's overrides without those that all jobs share; all of them if there is only one job."""
        shared = set(overrides).intersection(*self.jobs) if len(self.jobs) > 1 else set()
        own = [override for override in overrides if override not in shared] or overrides
        return " ".join(override.lstrip("+") for override in own)

    def record(self, number: int, outcome: Outcome, label: str) -> None:
        """Write the outcome of job `number`, counted from 0."""
        write_json(self.folder / f"{number}.json", asdict(replace(outcome, words=label)))

    def stop(self) -> None:
        """Keep jobs that have not started from starting, in all processes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "stop").touch()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called, in any process."""
        return (self.folder / "stop").exists()

    def outcomes(self) -> list[Outcome]:
        """The outcome of each job, in order; one that is not recorded counts as failed, or stopped if the grid was."""
        missing = Outcome(STOPPED) if self.stopped else Outcome(FAILED, reason=NO_REPORT)
        found = {number: replace(missing, words=self.label(job)) for number, job in enumerate(self.jobs)}
        for path in self.folder.glob("[0-9]*.json"):
            stored, names = read_json(path, MIB), [field.name for field in fields(Outcome)]
            if path.stem.isdecimal() and fits(stored, dict.fromkeys(names, TEXT)):
                found[int(path.stem)] = Outcome(**{name: stored[name] for name in names})
        return [outcome for _, outcome in sorted(found.items())]


def summary(outcomes: Sequence[Outcome]) -> list[str]:
    """The last lines of a grid's log: failed and unfinished jobs, jobs sharing a run, counts, a `compare` command."""
    lines = [f"failed: {outcome.words}: {outcome.reason}" for outcome in outcomes if outcome.state == FAILED]
    lines += [f"not finished: {outcome.words}" for outcome in outcomes if outcome.state == STOPPED]
    runs: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.run:
            runs[outcome.run].append(outcome)
    for run, same in runs.items():
        if len(same) > 1:
            labels = dict.fromkeys(outcome.words for outcome in same)
            lines.append(f"{len(same)} jobs are one run, {run}: {', '.join(labels)}")
    counts = Counter(outcome.state for outcome in outcomes)
    without_run = sum(outcome.state == TRAINED and not outcome.run for outcome in outcomes)
    before = sum(all(outcome.state == BEFORE for outcome in same) for same in runs.values())
    parts = [f"{len(runs) + without_run} finished ({before} before)", f"{counts[FAILED]} failed"]
    if counts[ELSEWHERE]:
        parts.append(f"{counts[ELSEWHERE]} being trained by another process")
    if counts[STOPPED]:
        parts.append(f"{counts[STOPPED]} not finished; repeat the command to continue")
    lines.append(f"grid: {', '.join(parts)}")
    if runs:
        lines.append(f"seq2seq compare {shlex.join(runs)}")
    return lines


def check_failures(outcomes: Sequence[Outcome]) -> None:
    """Raise TrainingError if a job failed."""
    if failed := sum(outcome.state == FAILED for outcome in outcomes):
        raise TrainingError(
            f"{failed} of {len(outcomes)} jobs of the grid failed, see above; repeat the command to retry them"
        )
