"""Composes settings from the overrides of a command line with Hydra; its errors become ConfigError in one sentence."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import hydra
import yaml
from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seq2seq.config import MODELS, Config
from seq2seq.config.choices import check_choices
from seq2seq.config.ignored import check_given
from seq2seq.config.io import (
    OTHER_TYPE,
    build_config,
    describe,
    every_setting,
    flatten,
    flatten_values,
    refuse_changes,
)
from seq2seq.errors import ConfigError, nearest_hint, quoted, shortened, unknown
from seq2seq.launch.config_dir import MOST_DIGITS, TOO_MANY_DIGITS, first_fault
from seq2seq.launch.init_from import group_choices, take_over
from seq2seq.launch.processes import CONCURRENT_JOBS
from seq2seq.runtime.fields import type_name
from seq2seq.utils.overrides import hydra_text, hydra_value

PLAIN_GROUPS = ("tokenizer", "training", "trainer", "search", "data")  # groups whose files set nothing but their group
NO_SETTING = re.compile(rf"(\S+\.yaml: )?\s*(is|cannot) |.*{OTHER_TYPE}")  # sentences that name no setting
LONGEST_NAME = 200  # characters of a group or setting, and of a group's file
QUOTED_EXAMPLE = 'data.licence="free (CC0)"'


def compose_config(overrides: Sequence[str] = (), folder: Path | None = None) -> Config:
    """The settings of conf/train.yaml, or the saved ones of the run that `resume` names, changed by `overrides`.

    `folder` is searched for groups after conf/. Raises ConfigError, in one sentence, for a misspelt key, a value of
    another type, an unknown name, or a combination that cannot work; RunError for a `resume` that is not a run."""
    search_path = [f"hydra.searchpath=[{hydra_text(f'file://{folder}')}]"] if folder else []
    overrides = [hydra_override(override) for override in overrides]
    own = any(re.match(r"[+~]*hydra\b", override) for override in overrides)  # settings of Hydra's
    with hydra_errors(folder), hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        saved = saved_config(overrides)
        with _light_store(own):
            primary = register_saved_run(saved) if saved else "train"
            composed = hydra.compose(primary, overrides=[*search_path, *overrides])
    if saved:  # before the new settings are checked, since they may not work with those of the run
        given = flatten_values(_plain(composed))
        refuse_changes(flatten(saved), given, Path(given["resume"]))
    return to_config(composed, overrides)


class _Shared(dict[str, Any]):
    """What Hydra's ConfigStore holds. Hydra copies it for every composition, and again what it reads of it."""

    def __deepcopy__(self, memo: object) -> "_Shared":
        return self


@contextmanager
def _light_store(has_hydra_groups: bool) -> Iterator[None]:
    """A context in which `hydra.compose` is faster, and what is stored is forgotten at its end.

    Without `has_hydra_groups`, most files of Hydra's own groups, such as hydra/help, are read only where a file of
    settings names them: `hydra.compose` does not return what they set."""
    register_defaults()
    store = ConfigStore.instance()
    before = store.repo
    store.repo = _Shared({name: dict(node) if isinstance(node, dict) else node for name, node in before.items()})
    if not has_hydra_groups:
        store.store("config", _config_of_hydra(), group="hydra", provider="hydra")
    try:
        yield
    finally:
        store.repo = before


@cache
def _config_of_hydra() -> Any:
    """Hydra's own settings, for which a file is chosen only from the groups whose settings have no types of their own,
    so that a file of ours with another one is an error as always."""
    untyped = {"launcher", "sweeper", "env"}
    defaults = [group if group.keys() & untyped else dict.fromkeys(group) for group in HydraConf().defaults]
    return OmegaConf.structured(HydraConf(defaults=defaults))


def saved_config(overrides: Sequence[str]) -> Config | None:
    """The settings of the run that `resume` names; None without one. Raises RunError if it is not a run directory."""
    from seq2seq.runs.directory import Run  # and with it sentencepiece, which composing alone does not need

    folder = resume_folder(overrides)
    return Run.open(folder).config if folder else None


def resume_folder(overrides: Sequence[str]) -> str:
    """The run directory in `resume=...`, or '' without one. Raises ConfigError if it is empty, or several."""
    words = [hydra_override(word) for word in overrides if re.match(r"\+{0,2}resume=", word)]
    if not words:
        return ""
    with hydra_errors():
        folder = OverridesParser.create().parse_overrides(words)[-1].value()
    if not folder or not isinstance(folder, str | int | float):  # a directory may be named 2026
        raise ConfigError(f"{words[-1]} does not name a run directory to resume")
    return folder if isinstance(folder, str) else words[-1].partition("=")[2]


def hydra_override(override: str) -> str:
    """`override` as Hydra reads it: experiment/NAME=... is not in the defaults list and needs a + to be appended to it,
    and a value with accents or other scripts needs quotes.

    Raises ConfigError for a number, a list, a dict, true, false or null in place of a group's name: Hydra ignores some
    of them, and takes the others for a bug."""
    group, is_set, value = override.partition("=")
    if is_set:  # ~ is the home folder; the shell leaves it to us, and Hydra refuses it
        override = f"{group}={hydra_value(os.path.expanduser(value) if value.startswith('~') else value)}"
    group = group.lstrip("+")
    if (is_set and not group) or group.startswith("-"):
        raise ConfigError(_unreadable(override))
    if len(group) > LONGEST_NAME:  # than that of a file, which Hydra may look for
        raise ConfigError(f"{shortened(group)} is not a setting")
    if len(value) > LONGEST_NAME and (conf_dir() / group).is_dir():
        raise ConfigError(unknown(group, value, _file_names(group)))
    if TOO_MANY_DIGITS.search(value):
        raise ConfigError(f"{group}={quoted(value)} has a number of more than {MOST_DIGITS} digits")
    if group == "hydra":
        raise ConfigError("hydra is a group of settings, not a value: write hydra/launcher=NAME or hydra.SETTING=VALUE")
    if group == "hydra.searchpath" and (scheme := re.search(r"(\w+)://", value)) and scheme[1] not in ("file", "pkg"):
        raise ConfigError(f"{shortened(override)} cannot be searched: write a folder, file://FOLDER or pkg://PACKAGE")
    if is_set and (conf_dir() / group).is_dir() and not _are_names(value):
        raise ConfigError(unknown(group, value, _file_names(group)))
    return f"+{override}" if re.match(r"experiment/[^=]+=", override) else override


def _are_names(value: str) -> bool:
    """Whether the value of an override is text to Hydra, or a choice among texts; also if it cannot be read."""
    try:
        parsed = OverridesParser.create().parse_override(f"group={value}").value()
    except HydraException:
        return True
    values = parsed.list if isinstance(parsed, ChoiceSweep) else [parsed]
    return all(isinstance(one, str | Glob) for one in values)


def to_config(composed: DictConfig, overrides: Sequence[str] = ()) -> Config:
    """What Hydra composed of `overrides`, as dataclasses; with init_from, model and tokenizer are those of its run.

    Raises ConfigError, also for names that are not in their tables, and for settings that were given for nothing;
    RunError for an `init_from` that is no run."""
    values = _plain(composed)
    if values["init_from"] and not values["resume"]:
        from seq2seq.runs.directory import Run

        values = take_over(values, _compose_defaults(group_choices(overrides)), overrides, Run.open)
    config = build_config(values)
    check_choices(config)
    check_given(config, {override.partition("=")[0].lstrip("+") for override in overrides})
    return config


def _compose_defaults(overrides: Sequence[str]) -> dict[str, Any]:
    """The settings of conf/train.yaml changed by `overrides`, which choose groups; also while Hydra runs a grid."""
    ready = GlobalHydra.instance().is_initialized()
    with hydra_errors(), nullcontext() if ready else hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return _plain(hydra.compose(register_defaults(), overrides=list(overrides)))


def _plain(composed: DictConfig) -> dict[str, Any]:
    """What Hydra composed, as plain values. Raises ConfigError."""
    with hydra_errors():
        values = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True, throw_on_missing=True))
    if group := next((key for key in values if "/" in key), ""):
        raise ConfigError(_unknown_group(group))
    return values


@cache
def register_defaults() -> str:
    """Store, once, type and default of every setting in Hydra, as `schema` and model/NAME_schema.

    Returns the name of the primary config."""
    store = ConfigStore.instance()
    store.repo = _Shared(store.repo)
    store.store(name="schema", node=Config)
    for name in MODELS:
        store.store(group="model", name=f"{name}_schema", node=MODELS[name])
    return "train"


def register_saved_run(saved: Config) -> str:
    """The same with a run's settings in place of the defaults; files of conf/ are read only if overrides name them."""
    store = ConfigStore.instance()
    store.store(name="schema", node=replace(saved, model=MISSING))
    store.store(group="model", name=f"{saved.model.name}_schema", node=saved.model)
    saved_model = {"defaults": [f"{saved.model.name}_schema", {"attention": None}]}
    store.store(group="model", name="saved_schema", node=saved_model)
    store.store(group="task", name="saved_schema", node={}, package="_global_")
    for name in MODELS:  # a file of conf/model includes one of conf/model/_task, which then changes nothing
        unchanged = {"defaults": [{"/model/attention@attention": None}]}
        store.store(group="model/_task", name=f"{name}_saved_schema", node=unchanged)
    chosen = [{"model": "saved_schema"}, {"task": "saved_schema"}, *({group: None} for group in PLAIN_GROUPS)]
    store.store(name="saved", node={"defaults": ["schema", *chosen, {"experiment": None}]})
    return "saved"


def conf_dir() -> Path:
    """The folder conf/: inside the package if installed from a wheel, else at the top of the checkout."""
    package = Path(__file__).resolve().parents[1]
    return next(folder for folder in (package / "conf", package.parent / "conf") if (folder / "train.yaml").is_file())


@contextmanager
def hydra_errors(folder: Path | None = None) -> Iterator[None]:
    """Turn errors of Hydra, OmegaConf and PyYAML into ConfigError, and any that come of a faulty file in `folder`."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        sentence = _explain(error)
        if folder and NO_SETTING.match(sentence):
            sentence = first_fault(folder) or sentence
        raise ConfigError(sentence) from error
    except (ValueError, KeyError, OSError, RecursionError) as error:
        fault = first_fault(folder) if folder else ""
        if not fault:
            raise
        raise ConfigError(fault) from error


def _explain(error: BaseException) -> str:
    """Hydra's error in one sentence of ours: the setting, the value, the nearest name, the choices."""
    if isinstance(error, OverrideParseException):
        return _unreadable(str(error.override))
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark):
        return f"{mark.name} is not valid YAML: line {mark.line + 1}, column {mark.column + 1}"
    if isinstance(error, yaml.reader.ReaderError):
        return (
            f"{error.name} is not valid YAML: it has a character that YAML does not allow, at position {error.position}"
        )
    message = str(error)
    if missing := re.match(r"In '([^']*)': Could not load '([^']*)'", message):
        return f"{missing[1]}.yaml: its defaults name {missing[2]}, and there is no such file"
    if unused := re.match(r"In '([^']*)': Could not override '([^']*)'", message):
        return f"{unused[1]}.yaml: its defaults override {unused[2]}, which is not a group in use"
    if isinstance(error, MissingConfigException) and error.options is not None:
        path, group = re.findall(r"(?:Could not find|options in) '([^']*)'", message)
        return _missing_file(path, group, [option for option in error.options if not option.endswith("schema")])
    if one := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '([^=']*)=([^']*)'", message):
        return _several_values(one[1], one[2])
    if twice := re.match(
        r"Multiple values for ([\w/@]+)\.|Could not append to config\. An item is already at '(.*?)'", message
    ):
        name = twice[1] or twice[2]
        return f"{name} is there already: write {name}=... without +"
    file = re.match(r"In '([^']*)'", message)
    place = f"{file[1]}.yaml: " if file else ""
    cause: BaseException | None = error
    while cause and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__ or cause.__context__
    if not isinstance(cause, OmegaConfBaseException):
        return _unexplained(message)
    name = str(cause.full_key)
    if "/" in name:
        return place + _unknown_group(name)
    override = re.match(r"Error merging override \+{0,2}([\w.]+)=", message)
    if override and "." not in name:  # OmegaConf names an entry of a dict alone: x for data.test.x
        name = override[1]
    return place + describe(cause, name)


def _unexplained(message: str) -> str:
    """The sentence for an error of Hydra itself: its own messages name functions and files of Hydra."""
    if group := re.match(r"Could not override '([^']*)'", message):
        return _unknown_group(group[1])
    if "searchpath" in message:
        return "hydra.searchpath is a list of folders: write hydra.searchpath=[...], separated by commas"
    if "sweep type" in message:
        return "interval(...) does not name the values of a grid: write them separated by commas, or range(FIRST,END)"
    return "these settings cannot be composed: leave out one after the other to find the one that is wrong"


def _unreadable(override: str) -> str:
    """The sentence for an override that Hydra cannot parse."""
    return (
        f"{quoted(override)} cannot be read: write SETTING=VALUE, a VALUE with brackets, commas or quotes in two pairs"
        f" of quotes: '{QUOTED_EXAMPLE}'"
    )


def _missing_file(path: str, group: str, options: Sequence[str]) -> str:
    """The sentence for a missing file `path`; `options` are those of `group`, maybe a parent of its group."""
    own, _, name = path.rpartition("/")
    folder = conf_dir() / own
    if own == "hydra/launcher" and name in CONCURRENT_JOBS:
        return f"{own}={name} needs more packages: pip install 'seq2seq[sweep]'"
    if not name and folder.is_dir():
        return f"{own}= has no value; choose one of: {', '.join(_file_names(own))}"
    if (conf_dir() / path).is_dir():
        return f"{own}={name} is a folder: write {path}=NAME; choose one of: {', '.join(_file_names(path))}"
    if own in ("hydra/launcher", "hydra/sweeper"):
        installed = ", ".join(options)
        return (
            f"{own}={shortened(name)} is not installed; choose one of: {installed}, or install the package that has it"
        )
    if own == group:
        return unknown(own, name, options)
    return unknown(own, name, _file_names(own)) if folder.is_dir() else _unknown_group(own)


def _file_names(group: str) -> list[str]:
    """The names of the files of a group of conf/."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def _several_values(setting: str, values: str) -> str:
    """The sentence for values with commas outside of a grid."""
    field = every_setting().get(setting)
    listed = f", or write {setting}=[{values}] for a list" if field and "list" in type_name(field) else ""
    return f"{setting}={values} are several values: add -m to run once for each{listed}"


def _unknown_group(name: str) -> str:
    """The sentence for a group that conf/ does not have."""
    groups = {str(path.parent.relative_to(conf_dir())) for path in conf_dir().rglob("*.yaml")} - {".", "model/_task"}
    return f"{name} is not a group{nearest_hint(name, sorted(groups), str)}; choose one of: {', '.join(sorted(groups))}"
