"""Which runs are one variant? Those whose settings differ in nothing but the seed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from seq2seq.compare.collect import EvaluatedRun
from seq2seq.config import Config
from seq2seq.config.io import NOT_HASHED, flatten
from seq2seq.config.search import THROUGHPUT
from seq2seq.errors import ConfigError, unknown
from seq2seq.runs.directory import variant

APART = (
    NOT_HASHED | {"seed", "schema"} | {f"search.{name}" for name in THROUGHPUT}
)  # what does not make another variant


class Variant(NamedTuple):
    """Runs of one row."""

    name: str
    cells: tuple[EvaluatedRun, ...]  # by seed
    settings: dict[str, Any]  # all that the variants could differ in

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the cells."""
        return tuple(cell.run.config.seed for cell in self.cells)


def group(cells: Sequence[EvaluatedRun]) -> tuple[list[Variant], list[str]]:
    """The variants in the order in which they first come, and sentences about second runs of a seed, which are left out."""
    groups: list[tuple[dict[str, Any], dict[int, EvaluatedRun]]] = []  # settings, and the runs that have them by seed
    notes = []
    for cell in cells:
        settings = settings_of(cell.run.config)
        seeds = next((seeds for some, seeds in groups if some == settings), None)
        if seeds is None:
            groups.append((settings, seeds := {}))
        if (first := seeds.setdefault(cell.run.config.seed, cell)) is not cell:
            notes.append(f"{cell.run.folder} is left out: it has the settings and the seed of {first.run.folder}.")
    cells_of = [tuple(seeds[seed] for seed in sorted(seeds)) for _, seeds in groups]
    named = names([variant(some[0].run.config) for some in cells_of], [settings for settings, _ in groups])
    return [
        Variant(name, some, settings) for name, some, (settings, _) in zip(named, cells_of, groups, strict=True)
    ], notes


def settings_of(config: Config) -> dict[str, Any]:
    """Every setting by which runs can be another variant."""
    return {name: value for name, value in flatten(config).items() if name not in APART}


def names(plain: Sequence[str], settings: Sequence[dict[str, Any]]) -> list[str]:
    """The name of each group's runs, with the settings in which groups of one name differ."""
    named = []
    for name, own in zip(plain, settings, strict=True):
        shown = differing([some for some, other in zip(settings, plain, strict=True) if other == name])
        named.append(" ".join([name, *(f"{short(setting, shown)}={own.get(setting)}" for setting in shown)]))
    return named


def short(setting: str, shown: Sequence[str]) -> str:
    """The last part of a setting's name, or all of it where another one that is shown ends so: `hidden`, `model.attention.hidden`."""
    last = setting.rpartition(".")[2]
    return last if [other.rpartition(".")[2] for other in shown].count(last) == 1 else setting


def differing(settings: Sequence[dict[str, Any]]) -> list[str]:
    """The names of the settings that are not the same in all."""
    every = dict.fromkeys(name for some in settings for name in some)
    return [name for name in every if any(some.get(name) != settings[0].get(name) for some in settings)]


def check_baseline(name: str, configs: Sequence[Config]) -> None:
    """ConfigError for a name that no variant of runs with these settings can have: told before anything is translated."""
    plain = [variant(config) for config in configs]
    known = names(plain, [settings_of(config) for config in configs])
    if name not in {*plain, *known}:  # the plain one serves where the other runs of that name turn out to be broken
        raise ConfigError(unknown("--baseline", name, dict.fromkeys(known)))


def choose_baseline(variants: Sequence[Variant], name: str | None) -> Variant:
    """The variant of that name; without one the first that has no attention, else the first. ConfigError for another name."""
    if name is None:
        bare = (
            v
            for v in variants
            if v.settings["model.attention.scorer"] == "uniform" and v.settings["model.attention.window"] == "last"
        )
        return next(bare, variants[0])
    for one in variants:
        if name == one.name:
            return one
    raise ConfigError(unknown("--baseline", name, [one.name for one in variants]))
