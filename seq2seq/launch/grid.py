"""What became of the cells of a grid, whichever processes trained them? A file for each, read when all are over.

{runs}/.sweeps/{date}/multirun.yaml   what was swept, by Hydra
                      0.json ..       the outcome of each cell
                      stop            a Ctrl-C was heard: cells that have not begun do not begin
"""

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from seq2seq.errors import TrainingError
from seq2seq.utils.files import write_json

TRAINED, BEFORE, ELSEWHERE, FAILED, STOPPED = (
    "trained",
    "finished before",
    "trained by another process",
    "failed",
    "stopped",
)
SILENT = "no word from its process: it was killed, was out of memory or of time, or is still at work"


@dataclass(frozen=True)
class Outcome:
    """How a cell ended."""

    state: str
    run: str = ""  # the run directory, if it is finished
    reason: str = ""  # why it failed
    words: str = ""  # which cell it is


@dataclass(frozen=True)
class Grid:
    """The cells of one command, and the folder of what became of them, which all their processes must reach."""

    folder: Path
    cells: Sequence[Sequence[str]]  # the words of each, as Hydra reads them

    @classmethod
    def under(cls, runs: str, cells: Sequence[Sequence[str]]) -> "Grid":
        """A grid whose run directories are made in `runs`."""
        return cls(Path(runs).absolute() / ".sweeps" / f"{datetime.now():%Y%m%d-%H%M%S}-{uuid4().hex[:8]}", cells)

    def label(self, words: Sequence[str]) -> str:
        """Those words that not all cells share; all, where there is one cell."""
        shared = set(words).intersection(*self.cells) if len(self.cells) > 1 else set()
        own = [word for word in words if word not in shared] or words
        return " ".join(word.lstrip("+") for word in own)

    def note(self, number: int, outcome: Outcome, words: str) -> None:
        """Cell `number` has ended."""
        write_json(self.folder / f"{number}.json", asdict(replace(outcome, words=words)))

    def stop(self) -> None:
        """No other cell begins."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "stop").touch()

    @property
    def stopped(self) -> bool:
        """Whether no other cell begins."""
        return (self.folder / "stop").exists()

    def outcomes(self) -> list[Outcome]:
        """One of each cell, in their order."""
        found = {
            int(path.stem): Outcome(**json.loads(path.read_text(encoding="utf-8")))
            for path in self.folder.glob("[0-9]*.json")
        }
        lost = Outcome(STOPPED) if self.stopped else Outcome(FAILED, reason=SILENT)
        silent = {n: replace(lost, words=self.label(words)) for n, words in enumerate(self.cells)}
        return [outcome for _, outcome in sorted((silent | found).items())]


def summary(outcomes: Sequence[Outcome]) -> list[str]:
    """The lines that tell how a grid ended: what failed and why, cells that are one run, how many of each, the command for the table."""
    lines = [f"failed: {outcome.words}: {outcome.reason}" for outcome in outcomes if outcome.state == FAILED]
    lines += [f"not finished: {outcome.words}" for outcome in outcomes if outcome.state == STOPPED]
    runs = {
        run: [outcome for outcome in outcomes if outcome.run == run]
        for run in dict.fromkeys(o.run for o in outcomes if o.run)
    }
    for run, same in runs.items():
        if len(same) > 1:
            lines.append(
                f"{len(same)} cells are one run, {run}: {', '.join(dict.fromkeys(outcome.words for outcome in same))}"
            )
    counts = Counter(outcome.state for outcome in outcomes)
    done = len(runs) + sum(outcome.state == TRAINED and not outcome.run for outcome in outcomes)
    before = sum(all(outcome.state == BEFORE for outcome in same) for same in runs.values())
    told = [f"{done} finished ({before} before)", f"{counts[FAILED]} failed"]
    told += [f"{counts[state]} {words}" for state, words in OTHERS.items() if counts[state]]
    return [*lines, f"grid: {', '.join(told)}", *([f"seq2seq compare {shlex.join(runs)}"] if runs else [])]


def require_all(outcomes: Sequence[Outcome]) -> None:
    """TrainingError if a cell failed."""
    if failed := sum(outcome.state == FAILED for outcome in outcomes):
        raise TrainingError(
            f"{failed} of {len(outcomes)} cells of the grid failed, as told above; the same command tries them again"
        )


OTHERS = {ELSEWHERE: "being trained by another process", STOPPED: "not finished; the same command goes on"}
