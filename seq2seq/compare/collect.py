"""The runs of a comparison, opened, checked and evaluated on one test set.

Runs that cannot be read or evaluated are left out, with the reason. Runs of different text raise ConfigError.
"""

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, TypeVar

from seq2seq.config import Config
from seq2seq.data.word_links import Link
from seq2seq.errors import ConfigError, DataError, RunError
from seq2seq.evaluation.classes import LabelProbabilities
from seq2seq.evaluation.evaluate import EvaluationSpec
from seq2seq.evaluation.store import Evaluation, load_or_align, load_or_find_probabilities, load_or_translate
from seq2seq.evaluation.testset import TestSet
from seq2seq.runs.directory import CONFIG, INFO, WEIGHTS, Run, bundle_sentence, missing_run
from seq2seq.runs.metrics import is_complete, read_all_rows, read_metrics
from seq2seq.runs.weights import open_tensors
from seq2seq.runtime.program import os_error_sentence
from seq2seq.runtime.untrusted import NUMBER, TEXT, WHOLE, check_types

log = logging.getLogger("seq2seq")
T = TypeVar("T")
Links = list[set[Link]]  # one set of word links per sentence
INFO_TYPES = {  # types of the entries of run.json that a comparison reads
    "updates": WHOLE,
    "parameters": WHOLE,
    "target_tokens": NUMBER,
    "seed": NUMBER,
    "batches": TEXT,
    "seconds": NUMBER,
    "processor_seconds": NUMBER,
    "peak_memory": NUMBER,
}


@dataclass(frozen=True)
class EvaluatedRun:
    """A run with its evaluation on the test set. All files were read: a damaged run cannot fail later."""

    run: Run
    evaluation: Evaluation
    metrics: Sequence[Mapping[str, str]]  # rows of metrics.csv
    parameters: int  # counted in the weights, shared ones once; from run.json where the weights are missing
    # link method -> links of the references; empty without gold
    links: Mapping[str, Links] = field(default_factory=dict)
    probabilities: LabelProbabilities | None = None  # of all labels, of a classifier
    no_links_reason: str = ""  # why `links` is empty although there are gold links

    @property
    def name(self) -> str:
        """Name of the run directory."""
        return self.run.folder.name

    @property
    def folder(self) -> Path:
        """The run directory."""
        return self.run.folder

    @property
    def config(self) -> Config:
        """The run's settings."""
        return self.run.config

    @property
    def info(self) -> Mapping[str, Any]:
        """The content of run.json."""
        return self.run.info


class SkippedRuns(list[tuple[str, str]]):
    """(run directory, reason) of every run that is left out of the comparison."""

    def attempt(self, folder: Path, work: Callable[[], T]) -> T | None:
        """Return `work()`; if the run or its text is at fault, record `folder` and return None.

        ConfigError is passed on, since a wrong setting is for the user to correct."""
        try:
            return work()
        except (RunError, DataError, OSError) as error:
            reason = os_error_sentence(error) if isinstance(error, OSError) else str(error)
            log.warning("%s is left out: %s", folder, reason)
            self.append((str(folder), reason))
            return None


def open_runs(paths: Iterable[Path], skipped: SkippedRuns) -> tuple[list[Run], list[str]]:
    """Open every run once; return the runs and a sentence about each path that was given twice.

    Raises RunError if no run is left, ConfigError if the runs were trained on different text."""
    runs: list[Run] = []
    notes: list[str] = []
    for path in run_directories(paths):
        if any(path.resolve() == run.folder.resolve() for run in runs):
            notes.append(f"{path} was given twice and is counted once.")
        elif run := skipped.attempt(path, partial(open_run, path)):
            runs.append(run)
    if not runs:
        raise RunError(f"no run is left to compare: {'; '.join(reason for _, reason in skipped)}")
    for other in runs[1:]:
        check_same_data(runs[0], other)
    return runs, notes


def run_directories(paths: Iterable[Path]) -> list[Path]:
    """The given run directories, with each folder of runs replaced by the runs in it.

    Raises RunError for any other path."""
    return [run for path in paths for run in ([path] if looks_like_run(path) else runs_in(path))]


def runs_in(folder: Path) -> list[Path]:
    """The run directories directly inside a folder, sorted by name.

    Raises RunError if it has none or does not exist."""
    if not folder.is_dir():
        raise RunError(missing_run(folder))
    found = sorted(path for path in folder.iterdir() if looks_like_run(path) and not path.name.startswith("."))
    if not found:
        raise RunError(bundle_sentence(folder) or f"{folder} is not a run directory and contains none")
    return found


def looks_like_run(path: Path) -> bool:
    """Whether a path is a run directory, possibly a damaged one."""
    return any((path / name).is_file() for name in (CONFIG, INFO, WEIGHTS))


def open_run(path: Path) -> Run:
    """Open a run directory. Raises RunError if it is not a run or its run.json does not identify the training data."""
    run = Run.open(path)
    if not run.info.get("data"):
        raise RunError(f"{run.folder / INFO} is damaged: it does not say what data the run was trained on")
    return run


def check_same_data(one: Run, other: Run) -> None:
    """Raises ConfigError unless both runs were trained on the same text in the same direction."""
    datas = [run.config.data for run in (one, other)]
    directions = [f"{data.source}-{data.target if data.targets == 'text' else data.targets}" for data in datas]
    if directions[0] != directions[1]:
        raise ConfigError(
            f"the text of {one.folder} is {directions[0]}, of {other.folder} {directions[1]}: their figures cannot be"
            " compared"
        )
    if one.info.get("data") != other.info.get("data"):
        names = [f"{run.folder} (data={data.name})" for run, data in zip((one, other), datas, strict=True)]
        hint = ""
        if datas[0].name != datas[1].name:
            hint = f"; name the runs of one text, such as {one.folder.parent / datas[0].name}-*"
        raise ConfigError(
            f"{names[0]} and {names[1]} were trained on different text: their figures cannot be compared{hint}"
        )


def evaluate_runs(
    runs: Iterable[Run], test: TestSet, skipped: SkippedRuns, options: Mapping[str, Any]
) -> list[EvaluatedRun]:
    """Evaluate each run, from its stored evaluation where there is one. `options` are those of EvaluationSpec."""
    evaluated = [
        skipped.attempt(run.folder, partial(evaluate_run, EvaluationSpec((run,), **options), test)) for run in runs
    ]
    return [run for run in evaluated if run is not None]


def evaluate_run(spec: EvaluationSpec, test: TestSet) -> EvaluatedRun:
    """Evaluate one run and read all of its files.

    Raises RunError if it cannot be evaluated, is damaged, or has neither weights nor a number of parameters in
    run.json."""
    run = spec.runs[0]
    check_info(run)
    metrics, evaluation = logged_metrics(run), load_or_translate(spec, test)
    for _ in evaluation.attention_records or ():  # reading a record checks it
        pass
    links, no_links = links_or_reason(spec, test)
    probabilities = load_or_find_probabilities(spec, test)
    return EvaluatedRun(run, evaluation, metrics, run_parameters(run), links, probabilities, no_links)


def check_info(run: Run) -> None:
    """Raises RunError if an entry of run.json has another type than INFO_TYPES says."""
    try:
        check_types(run.info, INFO_TYPES)
    except ValueError as error:
        raise RunError(f"{run.folder / INFO} is damaged: {error}") from None


def logged_metrics(run: Run) -> list[dict[str, str]]:
    """The rows of metrics.csv; none if there is no such file. Raises RunError if it is damaged."""
    path = run.folder / "metrics.csv"
    if not os.path.lexists(path):
        return []
    rows = read_metrics(path)
    if not all(map(is_complete, read_all_rows(path)[:-1])):  # the last line may be incomplete after an interruption
        raise RunError(f"{path} is damaged: it has lines with more or fewer cells than the first")
    if not rows and run.info.get("finished"):
        raise RunError(f"{path} is damaged: training is finished, but nothing was logged")
    return rows


def run_parameters(run: Run) -> int:
    """Number of parameters in the weights; where these are missing, as recorded in run.json.

    Raises RunError if neither exists or the weights are damaged."""
    if run.weights_removed:
        if run.info.get("parameters") is None:
            raise RunError(f"{run.folder} has neither {WEIGHTS} nor a number of parameters in {INFO}")
        return int(run.info["parameters"])
    with open_tensors(run.folder / WEIGHTS) as file:
        return sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118  not a dict


def links_or_reason(spec: EvaluationSpec, test: TestSet) -> tuple[Mapping[str, Links], str]:
    """The word links to compare with the gold links, or why there are none. The other columns do not depend on them."""
    try:
        return (load_or_align(spec, test) if test.gold else {}), ""
    except DataError as error:
        return {}, str(error)
