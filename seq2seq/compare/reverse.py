"""Runs of the reverse direction, whose word links are symmetrized with those of the compared runs.

The partner of a run has the same seed and settings, but was trained from the target to the source language.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from seq2seq.compare.collect import EvaluatedRun, Links, SkippedRuns, run_directories
from seq2seq.compare.variants import variant_settings
from seq2seq.config.data import TABLES
from seq2seq.errors import ConfigError
from seq2seq.evaluation.evaluate import EvaluationSpec
from seq2seq.evaluation.store import load_or_align
from seq2seq.evaluation.symmetrization import SYMMETRIZATIONS
from seq2seq.evaluation.testset import TestSet
from seq2seq.runs.directory import Run

DIRECTION_SETTINGS = {"data.source", "data.target", "data.columns"}  # in which partners differ


class ReverseRuns(NamedTuple):
    """The runs of the reverse direction."""

    runs: list[Run]
    single: bool  # only one was given: it is the partner of every run


def open_reverse(paths: Sequence[Path], first: Run, skipped: SkippedRuns) -> ReverseRuns:
    """Open the given runs; of the runs in a folder, those of the direction reverse to `first`.

    Raises ConfigError if a run that was given itself has another direction, or if no run has the reverse one."""
    opened = [skipped.attempt(path, partial(Run.open, path)) for path in run_directories(paths)]
    wrong = [run for run in opened if run and not is_reverse(run, first)]
    if named := [run for run in wrong if run.folder in paths] or (wrong if len(wrong) == len(opened) else []):
        data = named[0].config.data
        raise ConfigError(
            f"--reverse {named[0].folder} translates {data.source}-{data.target}, not the other way round"
        )
    candidates = [run for run in opened if not run or is_reverse(run, first)]  # None: skipped, of unknown direction
    return ReverseRuns([run for run in candidates if run], single=len(candidates) == 1)


def is_reverse(run: Run, first: Run) -> bool:
    """Whether `run` translates from the target to the source language of `first`."""
    own, data = run.config.data, first.config.data
    return (own.source, own.target) == (data.target, data.source)


def with_reverse(
    runs: Sequence[EvaluatedRun],
    reverse: ReverseRuns,
    test: TestSet,
    symmetrization: str,
    options: Mapping[str, Any],
    skipped: SkippedRuns,
) -> tuple[list[EvaluatedRun], list[str]]:
    """The runs with links symmetrized by a heuristic of SYMMETRIZATIONS, and sentences about partners that are missing.

    `options` are those of EvaluationSpec. Raises ConfigError as in `find_partner`."""
    partners = [find_partner(evaluated, reverse) for evaluated in runs]
    links: dict[Path, Links | None] = {}
    for run in (run for run in reverse.runs if any(run is partner for partner in partners)):
        links[run.folder] = skipped.attempt(run.folder, partial(reversed_links, run, test, options))
    joined = [
        with_symmetrized_links(evaluated, links.get(partner.folder) if partner else None, symmetrization)
        for evaluated, partner in zip(runs, partners, strict=True)
    ]
    return joined, partner_notes(joined, partners, reverse, symmetrization)


def find_partner(evaluated: EvaluatedRun, reverse: ReverseRuns) -> Run | None:
    """The reverse run with the seed and settings of this one, else the single one.

    Raises ConfigError if several match."""
    matching = [run for run in reverse.runs if are_partners(run, evaluated.run)]
    if len(matching) > 1:
        both = " and ".join(str(run.folder) for run in matching)
        raise ConfigError(f"--reverse: {both} have the settings and the seed of {evaluated.folder}; name one of them")
    if matching:
        return matching[0]
    return reverse.runs[0] if reverse.runs and reverse.single else None


def are_partners(one: Run, other: Run) -> bool:
    """Whether two runs differ in the direction alone; the columns of a table are then swapped too."""
    settings = [
        {name: value for name, value in variant_settings(run.config).items() if name not in DIRECTION_SETTINGS}
        for run in (one, other)
    ]
    columns, other_columns = one.config.data.columns, other.config.data.columns
    swapped = other_columns[::-1] if one.config.data.format in TABLES else other_columns
    return settings[0] == settings[1] and columns == swapped and one.config.seed == other.config.seed


def reversed_links(run: Run, test: TestSet, options: Mapping[str, Any]) -> Links:
    """The links of a reverse run, swapped to (source, target) of the compared runs.

    Raises DataError as `load_or_align`."""
    found = load_or_align(EvaluationSpec((run,), **options), test.reversed())["argmax"]
    return [{(s, t) for t, s in links} for links in found]


def with_symmetrized_links(evaluated: EvaluatedRun, links: Links | None, symmetrization: str) -> EvaluatedRun:
    """The run with symmetrized links added, if both directions have links."""
    if links is None or not evaluated.links:
        return evaluated
    symmetrize = SYMMETRIZATIONS[symmetrization]
    joined = [symmetrize(one, other) for one, other in zip(evaluated.links["argmax"], links, strict=True)]
    return replace(evaluated, links={**evaluated.links, symmetrization: joined})


def partner_notes(
    runs: Sequence[EvaluatedRun], partners: Sequence[Run | None], reverse: ReverseRuns, symmetrization: str
) -> list[str]:
    """Sentences about runs without a partner, runs with a partner of other settings, and unused reverse runs."""
    without = [run.name for run in runs if symmetrization not in run.links]
    mismatched = [
        run.name
        for run, partner in zip(runs, partners, strict=True)
        if partner and symmetrization in run.links and not are_partners(partner, run.run)
    ]
    unused = [str(run.folder) for run in reverse.runs if not any(run is partner for partner in partners)]
    notes = []
    if without:
        notes.append(f"No links of the reverse direction for: {', '.join(without)}.")
    if mismatched:
        notes.append(
            f"Links are symmetrized with those of {reverse.runs[0].folder}, which has another seed or other settings, "
            f"and is one run, so that tests over seeds do not speak of its seed: {', '.join(mismatched)}."
        )
    if unused:
        notes.append(f"Unused with --reverse, since no run has their seed and settings: {', '.join(unused)}.")
    return notes
