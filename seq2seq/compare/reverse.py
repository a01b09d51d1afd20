"""What do the links of both directions say together? Each run with its partner, which was trained the other way round."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from seq2seq.compare.collect import Broken, EvaluatedRun, Links, expand
from seq2seq.compare.variants import settings_of
from seq2seq.errors import ConfigError
from seq2seq.evaluation.evaluate import EvaluationSpec
from seq2seq.evaluation.store import load_or_align
from seq2seq.evaluation.symmetrization import SYMMETRIZATIONS
from seq2seq.evaluation.testset import TestSet
from seq2seq.runs.directory import Run

DIRECTION = {"data.source", "data.target", "data.columns"}  # the settings in which partners differ


class Reverse(NamedTuple):
    """Runs of the other direction."""

    runs: list[Run]
    alone: bool  # whether one was named, for all


def open_reverse(paths: Sequence[Path], first: Run, broken: Broken) -> Reverse:
    """Those runs that can be opened, and of folders those that translate the other way round. ConfigError where one that is named does
    not, or none in the folders does."""
    opened = [broken.attempt(path, lambda path=path: Run.open(path)) for path in expand(paths)]  # type: ignore[misc]
    wrong = [run for run in opened if run and not turns(run, first)]
    if named := [run for run in wrong if run.folder in paths] or (wrong if len(wrong) == len(opened) else []):
        data = named[0].config.data
        raise ConfigError(
            f"--reverse {named[0].folder} translates {data.source}-{data.target}, not the other way round"
        )
    fitting = [run for run in opened if not run or turns(run, first)]
    return Reverse([run for run in fitting if run], alone=len(fitting) == 1)


def turns(run: Run, first: Run) -> bool:
    """Whether it translates the other way round."""
    own, data = run.config.data, first.config.data
    return (own.source, own.target) == (data.target, data.source)


def with_reverse(
    cells: Sequence[EvaluatedRun], reverse: Reverse, test: TestSet, how: str, options: Mapping[str, Any], broken: Broken
) -> tuple[list[EvaluatedRun], list[str]]:
    """The same, with links symmetrised by those of their partners, and sentences about who has none.

    `how`: a row of SYMMETRIZATIONS; `options` are those of EvaluationSpec. ConfigError as of `partner`."""
    runs = reverse.runs
    partners = [partner(cell, *reverse) for cell in cells]
    turned: dict[Path, Links | None] = {}
    for run in (run for run in runs if any(run is other for other in partners)):
        turned[run.folder] = broken.attempt(run.folder, lambda run=run: turned_links(run, test, options))  # type: ignore[misc]
    joined = [
        join(cell, turned.get(run.folder) if run else None, how) for cell, run in zip(cells, partners, strict=True)
    ]
    return joined, notes(joined, partners, runs, how)


def partner(cell: EvaluatedRun, runs: Sequence[Run], alone: bool) -> Run | None:
    """The run of the cell's seed and settings but for the direction; one that was named `alone` is everyone's. ConfigError for several."""
    fitting = [run for run in runs if alike(run, cell.run)]
    if len(fitting) > 1:
        both = " and ".join(str(run.folder) for run in fitting)
        raise ConfigError(f"--reverse: {both} have the settings and the seed of {cell.run.folder}; name one of them")
    return fitting[0] if fitting else runs[0] if runs and alone else None


def alike(one: Run, other: Run) -> bool:
    """Whether they differ in nothing but the direction, which a table's columns are a part of."""
    both = [{n: value for n, value in settings_of(run.config).items() if n not in DIRECTION} for run in (one, other)]
    columns = [run.config.data.columns for run in (one, other)]
    turned = columns[0] == columns[1][:: -1 if one.config.data.format == "tsv" else 1]
    return both[0] == both[1] and turned and one.config.seed == other.config.seed


def turned_links(run: Run, test: TestSet, options: Mapping[str, Any]) -> Links:
    """Its links of the other direction, written as this one's. DataError as of `load_or_align`."""
    found = load_or_align(EvaluationSpec((run,), **options), test.reversed())["argmax"]
    return [{(s, t) for t, s in links} for links in found]


def join(cell: EvaluatedRun, turned: Links | None, how: str) -> EvaluatedRun:
    """The cell with links of both directions, where there are any."""
    if turned is None or not cell.links:
        return cell
    links = [SYMMETRIZATIONS[how](one, other) for one, other in zip(cell.links["argmax"], turned, strict=True)]
    return replace(cell, links={**cell.links, how: links})


def notes(cells: Sequence[EvaluatedRun], partners: Sequence[Run | None], runs: Sequence[Run], how: str) -> list[str]:
    """Who has no partner, whose is another's, and who is nobody's."""
    lone = [cell.name for cell in cells if how not in cell.links]
    lent = [
        cell.name
        for cell, run in zip(cells, partners, strict=True)
        if run and how in cell.links and not alike(run, cell.run)
    ]
    unused = [str(run.folder) for run in runs if not any(run is other for other in partners)]
    found = [f"No links of the other direction for: {', '.join(lone)}."] if lone else []
    found += (
        [
            f"Links are joined with those of {runs[0].folder}, which has another seed or other settings: {', '.join(lent)}."
        ]
        if lent
        else []
    )
    return found + (
        [f"Of no use with --reverse, since no run has their seed and settings: {', '.join(unused)}."] if unused else []
    )
