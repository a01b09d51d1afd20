"""Which runs are compared? Those that can be opened and evaluated, each with its translations of the test set."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from seq2seq.compare.evaluate import Evaluated, Made, forced_links, keep, kept, translate
from seq2seq.compare.testset import TestSet
from seq2seq.errors import ConfigError, DataError, RunError
from seq2seq.evaluation.alignment import Link
from seq2seq.progress import Count
from seq2seq.runs import CONFIG, INFO, WEIGHTS, Run, tensors
from seq2seq.training.metrics import read_metrics

log = logging.getLogger("seq2seq")
Links = list[set[Link]]  # of each sentence


@dataclass(frozen=True)
class Cell:
    """A run and what it made of the test set."""

    run: Run
    evaluated: Evaluated
    links: Mapping[str, Links] = field(default_factory=dict)  # of each reference, by how they were found; empty without gold links

    @property
    def name(self) -> str:
        """The directory's."""
        return self.run.folder.name

    @cached_property
    def metrics(self) -> list[dict[str, str]]:
        """The rows that training logged; none where there is no such file."""
        path = self.run.folder / "metrics.csv"
        return read_metrics(path) if path.is_file() else []

    @cached_property
    def parameters(self) -> int:
        """Numbers in the weights, shared ones once; by run.json where they are gone."""
        if self.run.gone:
            return int(self.run.info["parameters"])
        with tensors(self.run.folder / WEIGHTS) as file:
            return sum(size_of(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118  not a dict


def size_of(shape: Sequence[int]) -> int:
    """Numbers in a tensor."""
    size = 1
    for length in shape:
        size *= length
    return size


class Broken(list[tuple[str, str]]):
    """Runs that are left out, and why."""

    def attempt(self, folder: Path, work: Callable[[], Any]) -> Any:
        """What `work` gives, or None where the run, or its text, is at fault; a setting that is wrong is the user's to mend."""
        try:
            return work()
        except (RunError, DataError, OSError) as error:
            log.warning("%s is left out: %s", folder, error)
            self.append((str(folder), " ".join(str(error).split())))
            return None


def expand(paths: Iterable[Path]) -> list[Path]:
    """Run directories: those given, and in place of a folder of runs those in it, by name."""
    found: list[Path] = []
    for path in paths:
        inner = [] if is_run(path) or not path.is_dir() else sorted(p for p in path.iterdir() if is_run(p) and not p.name.startswith("."))
        found += inner or [path]
    return found


def is_run(path: Path) -> bool:
    """Whether it looks like a run directory, a broken one included."""
    return any((path / name).is_file() for name in (CONFIG, INFO, WEIGHTS))


def open_runs(paths: Iterable[Path], broken: Broken) -> tuple[list[Run], list[str]]:
    """Every run once, and sentences about those that were named twice. ConfigError for runs of different text."""
    runs: list[Run] = []
    notes: list[str] = []
    for path in expand(paths):
        if any(path.resolve() == run.folder.resolve() for run in runs):
            notes.append(f"{path} was named twice and counts once.")
        elif run := broken.attempt(path, lambda path=path: Run.open(path)):  # type: ignore[misc]
            runs.append(run)
    if not runs:
        raise RunError(f"no run is left to compare: {'; '.join(why for _, why in broken)}")
    for other in runs[1:]:
        check_same_data(runs[0], other)
    return runs, notes


def check_same_data(one: Run, other: Run) -> None:
    """ConfigError unless both learnt from the same text, in the same direction."""
    here, there = ((r.info.get("data"), r.config.data.source, r.config.data.target) for r in (one, other))
    if here != there:
        names = [f"{r.folder} (data={r.config.data.name})" for r in (one, other)]
        raise ConfigError(f"{names[0]} and {names[1]} learnt from different text: their figures cannot be compared")


def make_cells(runs: Iterable[Run], test: TestSet, broken: Broken, options: Mapping[str, Any]) -> list[Cell]:
    """Each run with its translations: from the run where they are kept, else made now and kept. `options` are those of Made."""
    cells = [broken.attempt(run.folder, lambda run=run: make_cell(Made((run,), **options), test)) for run in runs]  # type: ignore[misc]
    return [cell for cell in cells if cell is not None]


def make_cell(made: Made, test: TestSet) -> Cell:
    """The same of one run. RunError for one that cannot be evaluated, or has neither weights nor their number."""
    run = made.runs[0]
    if run.gone and not isinstance(run.info.get("parameters"), int):
        raise RunError(f"{run.folder} has neither {WEIGHTS} nor a number of parameters in {INFO}")
    evaluated = kept(made, test)
    if evaluated is None:
        log.info("%s has no evaluation of this text with these settings: translating", run.folder)
        with Count("translated", len(test.sources)) as count:
            made.translator.done = count.add
            keep(made, test, translate(made, test), [])
        evaluated = kept(made, test)
    if evaluated is None:
        raise RunError(f"{made.folder(test.name)} changes while it is read")
    return Cell(run, evaluated, forced_links(made, test) if test.gold else {})
