"""Which runs are one variant? Those whose settings differ in nothing but the seed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from seq2seq.compare.cells import Cell
from seq2seq.errors import ConfigError, unknown
from seq2seq.runs import variant
from seq2seq.settings import NOT_THE_RESULT, flatten

APART = NOT_THE_RESULT | {"seed", "schema"}  # what does not make another variant


class Variant(NamedTuple):
    """Runs of one row."""

    name: str
    cells: tuple[Cell, ...]  # by seed
    settings: dict[str, Any]  # all that the variants could differ in

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the cells."""
        return tuple(cell.run.config.seed for cell in self.cells)


def group(cells: Sequence[Cell]) -> tuple[list[Variant], list[str]]:
    """The variants in the order in which they first come, and sentences about second runs of a seed, which are left out."""
    groups: dict[str, dict[int, Cell]] = {}
    notes = []
    for cell in cells:
        seeds = groups.setdefault(repr(sorted(settings_of(cell).items())), {})
        if (first := seeds.setdefault(cell.run.config.seed, cell)) is not cell:
            notes.append(f"{cell.run.folder} is left out: it has the settings and the seed of {first.run.folder}.")
    found = [tuple(seeds[seed] for seed in sorted(seeds)) for seeds in groups.values()]
    return [Variant(name, some, settings_of(some[0])) for name, some in zip(names(found), found, strict=True)], notes


def settings_of(cell: Cell) -> dict[str, Any]:
    """Every setting by which runs can be another variant."""
    return {name: value for name, value in flatten(cell.run.config).items() if name not in APART}


def names(groups: Sequence[Sequence[Cell]]) -> list[str]:
    """The name of each group's runs, with the settings in which groups of one name differ."""
    plain = [variant(cells[0].run.config) for cells in groups]
    named = []
    for cells, name in zip(groups, plain, strict=True):
        alike = [settings_of(others[0]) for others, other in zip(groups, plain, strict=True) if other == name]
        own = settings_of(cells[0])
        named.append(" ".join([name, *(f"{setting.rpartition('.')[2]}={own.get(setting)}" for setting in differing(alike))]))
    return named


def differing(settings: Sequence[dict[str, Any]]) -> list[str]:
    """The names of the settings that are not the same in all."""
    every = dict.fromkeys(name for some in settings for name in some)
    return [name for name in every if any(some.get(name) != settings[0].get(name) for some in settings)]


def choose_baseline(variants: Sequence[Variant], name: str | None) -> Variant:
    """The variant of that name; without one the first that has no attention, else the first. ConfigError for another name."""
    if name is None:
        bare = (v for v in variants if v.settings["model.attention.scorer"] == "uniform" and v.settings["model.attention.window"] == "last")
        return next(bare, variants[0])
    for one in variants:
        if name == one.name:
            return one
    raise ConfigError(unknown("--baseline", name, [one.name for one in variants]))
