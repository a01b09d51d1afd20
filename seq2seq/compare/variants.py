"""Variants: runs whose settings differ in nothing but the seed, and the names that tell variants apart."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from seq2seq.compare.collect import EvaluatedRun
from seq2seq.config import Config
from seq2seq.config.io import NOT_HASHED, flatten
from seq2seq.errors import ConfigError, unknown
from seq2seq.runs.directory import variant_name
from seq2seq.runtime.search_config import THROUGHPUT

# Settings in which the runs of one variant may differ.
IGNORED_SETTINGS = NOT_HASHED | {"seed", "schema"} | {f"search.{name}" for name in THROUGHPUT}


class Variant(NamedTuple):
    """The runs behind one row of the table."""

    name: str
    runs: tuple[EvaluatedRun, ...]  # sorted by seed
    settings: dict[str, Any]  # every setting in which variants may differ

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each run."""
        return tuple(run.config.seed for run in self.runs)


def group_runs(runs: Sequence[EvaluatedRun]) -> tuple[list[Variant], list[str]]:
    """Group runs into variants, in order of first appearance.

    A second run with the same settings and seed is left out; the returned sentences name these."""
    groups: list[tuple[dict[str, Any], dict[int, EvaluatedRun]]] = []  # settings, and the runs that have them by seed
    notes = []
    for run in runs:
        settings = variant_settings(run.config)
        by_seed = next((by_seed for known, by_seed in groups if known == settings), None)
        if by_seed is None:
            by_seed = {}
            groups.append((settings, by_seed))
        first = by_seed.setdefault(run.config.seed, run)
        if first is not run:
            notes.append(f"{run.folder} is left out: it has the settings and the seed of {first.folder}.")
    members = [tuple(by_seed[seed] for seed in sorted(by_seed)) for _, by_seed in groups]
    settings_of_groups = [settings for settings, _ in groups]
    names = variant_names([variant_name(runs_of_group[0].config) for runs_of_group in members], settings_of_groups)
    return [Variant(*each) for each in zip(names, members, settings_of_groups, strict=True)], notes


def variant_settings(config: Config) -> dict[str, Any]:
    """The settings that define a variant: all but IGNORED_SETTINGS, with dotted names."""
    return {name: value for name, value in flatten(config).items() if name not in IGNORED_SETTINGS}


def variant_names(base_names: Sequence[str], settings: Sequence[dict[str, Any]]) -> list[str]:
    """A unique name for each group: its base name, plus the settings in which groups of the same base name differ."""
    names = []
    for base_name, own in zip(base_names, settings, strict=True):
        shown = differing_settings([s for s, other in zip(settings, base_names, strict=True) if other == base_name])
        names.append(" ".join([base_name, *(f"{short_name(name, shown)}={own.get(name)}" for name in shown)]))
    return names


def short_name(setting: str, shown: Sequence[str]) -> str:
    """The last part of a setting's name, or the whole name where another shown setting ends alike (`hidden`)."""
    last = setting.rpartition(".")[2]
    same_end = [other for other in shown if other.rpartition(".")[2] == last]
    return last if len(same_end) == 1 else setting


def differing_settings(settings: Sequence[dict[str, Any]]) -> list[str]:
    """Names of the settings that do not have the same value everywhere."""
    names = dict.fromkeys(name for other in settings for name in other)
    return [name for name in names if any(other.get(name) != settings[0].get(name) for other in settings)]


def check_baseline(name: str, configs: Sequence[Config]) -> None:
    """Raises ConfigError if no variant of these runs can have that name; checked before anything is translated."""
    base_names = [variant_name(config) for config in configs]
    names = variant_names(base_names, [variant_settings(config) for config in configs])
    if name not in {*base_names, *names}:  # the base name is right if the other runs that share it are skipped later
        raise ConfigError(unknown("--baseline", name, dict.fromkeys(names)))


def choose_baseline(variants: Sequence[Variant], name: str | None) -> tuple[Variant, str]:
    """The variant of that name, or a default, and a sentence on why it is the baseline; empty if there is no choice.

    The default is the first without attention; else the one from which the others differ in the fewest settings, as
    those of an ablation do from the complete model; the first of several. Raises ConfigError for an unknown name."""
    if name is not None:
        for candidate in variants:
            if name == candidate.name:
                return candidate, ""
        raise ConfigError(unknown("--baseline", name, [candidate.name for candidate in variants]))
    if len(variants) == 1:
        return variants[0], ""
    differing = [settings_that_differ(variant, variants) for variant in variants]
    chosen, reason = variants[differing.index(min(differing))], "from which the others differ in the fewest settings"
    if len(set(differing)) == 1:
        reason = "the first"
    for variant in filter(has_no_attention, variants[::-1]):
        chosen, reason = variant, "which has no attention"
    others = ", ".join(variant.name for variant in variants if variant is not chosen)
    return chosen, f"The baseline is {chosen.name}, {reason}; --baseline chooses another: {others}."


def has_no_attention(variant: Variant) -> bool:
    """Whether the decoder gets one vector for the whole sentence."""
    settings = variant.settings
    return (settings["model.attention.scorer"], settings["model.attention.window"]) == ("uniform", "last")


def settings_that_differ(variant: Variant, others: Sequence[Variant]) -> int:
    """In how many settings a variant differs from others, all together. What a variant is called does not count."""
    return sum(len(set(differing_settings([variant.settings, other.settings])) - {"variant"}) for other in others)
