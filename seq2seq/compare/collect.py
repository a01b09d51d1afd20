"""Which runs are compared? Those that can be opened and evaluated, each with its translations of the test set."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

from seq2seq.data.word_links import Link
from seq2seq.errors import ConfigError, DataError, RunError
from seq2seq.evaluation.evaluate import EvaluationSpec
from seq2seq.evaluation.store import Evaluation, load_or_align, load_or_translate
from seq2seq.evaluation.testset import TestSet
from seq2seq.runs.directory import CONFIG, INFO, WEIGHTS, Run, absent
from seq2seq.runs.metrics import read_lines, read_metrics, whole
from seq2seq.runs.weights import tensors
from seq2seq.utils.untrusted import NUMBER, TEXT, WHOLE, check_types

log = logging.getLogger("seq2seq")
Links = list[set[Link]]  # of each sentence
SAID = {  # by run.json, and used here
    "updates": WHOLE, "parameters": WHOLE, "batches": TEXT, "seconds": NUMBER, "processor_seconds": NUMBER, "peak_memory": NUMBER,
}  # fmt: skip


@dataclass(frozen=True)
class EvaluatedRun:
    """A run and what it made of the test set. All of it was read: nothing of a damaged run is found out later."""

    run: Run
    evaluated: Evaluation
    metrics: Sequence[Mapping[str, str]]  # the rows that training logged
    parameters: int  # numbers in the weights, shared ones once; by run.json where they are gone
    links: Mapping[str, Links] = field(
        default_factory=dict
    )  # of each reference, by how they were found; empty without gold links
    unlinked: str = ""  # why there are none in spite of gold links

    @property
    def name(self) -> str:
        """The directory's."""
        return self.run.folder.name


def check_said(run: Run) -> None:
    """RunError where run.json has something of another kind than SAID."""
    try:
        check_types(run.info, SAID)
    except ValueError as error:
        raise RunError(f"{run.folder / INFO} is damaged: {error}") from None


def logged(run: Run) -> list[dict[str, str]]:
    """The rows that training logged; none where there is no such file. RunError if it is damaged."""
    path = run.folder / "metrics.csv"
    if not path.is_file():
        return []
    rows = read_metrics(path)
    if not all(map(whole, read_lines(path)[:-1])):  # the last one may have been cut off
        raise RunError(f"{path} is damaged: it has lines with more or fewer cells than the first")
    if not rows and run.info.get("finished"):
        raise RunError(f"{path} is damaged: a training that is finished has logged nothing")
    return rows


def parameters(run: Run) -> int:
    """Numbers in the weights, or as run.json has them. RunError where neither is there, or the weights are damaged."""
    if run.gone:
        if run.info.get("parameters") is None:
            raise RunError(f"{run.folder} has neither {WEIGHTS} nor a number of parameters in {INFO}")
        return int(run.info["parameters"])
    with tensors(run.folder / WEIGHTS) as file:
        return sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118  not a dict


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
    """Run directories: those given, and in place of a folder of runs those in it, by name. RunError for what was mistyped."""
    return [run for path in paths for run in ([path] if is_run(path) else inner(path))]


def inner(folder: Path) -> list[Path]:
    """The run directories in a folder, by name. RunError where there are none, or no such folder."""
    if not folder.is_dir():
        raise RunError(absent(folder))
    found = sorted(path for path in folder.iterdir() if is_run(path) and not path.name.startswith("."))
    if not found:
        raise RunError(f"{folder} is no run directory, and holds none")
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
        elif run := broken.attempt(path, partial(opened, path)):
            runs.append(run)
    if not runs:
        raise RunError(f"no run is left to compare: {'; '.join(why for _, why in broken)}")
    for other in runs[1:]:
        check_same_data(runs[0], other)
    return runs, notes


def opened(path: Path) -> Run:
    """RunError for what is no run, or does not say what it learnt from."""
    run = Run.open(path)
    if not run.info.get("data"):
        raise RunError(f"{run.folder / INFO} is damaged: it does not say what data the run learnt from")
    return run


def check_same_data(one: Run, other: Run) -> None:
    """ConfigError unless both learnt from the same text, in the same direction."""
    datas = [run.config.data for run in (one, other)]
    ways = [f"{data.source}-{data.target}" for data in datas]
    if ways[0] != ways[1]:
        raise ConfigError(
            f"{one.folder} translates {ways[0]}, {other.folder} {ways[1]}: their figures cannot be compared"
        )
    if one.info.get("data") != other.info.get("data"):
        names = [f"{run.folder} (data={data.name})" for run, data in zip((one, other), datas, strict=True)]
        hint = (
            f"; name the runs of one text, such as {one.folder.parent / datas[0].name}-*"
            if datas[0].name != datas[1].name
            else ""
        )
        raise ConfigError(
            f"{names[0]} and {names[1]} learnt from different text: their figures cannot be compared{hint}"
        )


def make_cells(runs: Iterable[Run], test: TestSet, broken: Broken, options: Mapping[str, Any]) -> list[EvaluatedRun]:
    """Each run with its translations: from the run where they are kept, else made now and kept. `options` are those of EvaluationSpec."""
    cells = [broken.attempt(run.folder, partial(make_cell, EvaluationSpec((run,), **options), test)) for run in runs]
    return [cell for cell in cells if cell is not None]


def make_cell(made: EvaluationSpec, test: TestSet) -> EvaluatedRun:
    """The same of one run. RunError for one that cannot be evaluated, has neither weights nor their number, or is damaged."""
    run = made.runs[0]
    check_said(run)
    metrics, evaluated = logged(run), load_or_translate(made, test)
    for _ in evaluated.attention_records or ():  # each is checked as it is read
        pass
    return EvaluatedRun(run, evaluated, metrics, parameters(run), *linked(made, test))


def linked(made: EvaluationSpec, test: TestSet) -> tuple[Mapping[str, Links], str]:
    """The links that gold ones are compared with; where there cannot be any, why. The other figures do not depend on them."""
    try:
        return (load_or_align(made, test) if test.gold else {}), ""
    except DataError as error:
        return {}, str(error)
