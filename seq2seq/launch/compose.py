"""How do the words of a command line become settings? Through Hydra, and this is its only door."""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seq2seq.config import MODELS, Config
from seq2seq.config.choices import check_choices
from seq2seq.config.io import build_config, describe, every_setting
from seq2seq.errors import ConfigError, unknown
from seq2seq.launch.processes import AT_ONCE

log = logging.getLogger("seq2seq")

OTHERS = ("tokenizer", "training", "trainer", "search", "data")  # groups that ask for nothing but themselves
EXAMPLE = 'data.licence="free (CC0)"'


def compose_config(overrides: Sequence[str] = (), folder: Path | None = None) -> Config:
    """The settings of conf/train.yaml, or the saved ones of the run that `resume` names, with `overrides`; `folder` is looked
    into for groups before conf/.

    Raises ConfigError, one describe: a misspelt key, a value of another type, an unknown name, what cannot work together."""
    path = [f"hydra.searchpath=[{folder.as_uri()}]"] if folder else []
    with one_sentence(), hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        primary = register_saved(run) if (run := resumed(overrides)) else register()
        composed = hydra.compose(primary, overrides=[*path, *map(appended, overrides)])
    return to_config(composed)


def resumed(overrides: Sequence[str]) -> str:
    """The run directory in `resume=...`, if any. ConfigError for none, or several."""
    words = [word for word in overrides if re.match(r"\+{0,2}resume=", word)]
    if not words:
        return ""
    with one_sentence():
        folder = OverridesParser.create().parse_overrides(words)[-1].value()
    if not folder or not isinstance(folder, str | int | float):  # 2026 is a name too
        raise ConfigError(f"{words[-1]} names no run directory to go on with")
    return words[-1].partition("=")[2] if not isinstance(folder, str) else folder


def to_config(composed: DictConfig) -> Config:
    """What Hydra composed, as dataclasses; names of tables are checked as well."""
    with one_sentence():
        values: dict[str, Any] = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    if group := next((key for key in values if "/" in key), ""):
        raise ConfigError(no_group(group))
    config = build_config(values)
    check_choices(config)
    return config


def register() -> str:
    """Give Hydra the type and default of every setting: `schema`, model/NAME_schema. Returns the primary config's name."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for name, model in MODELS.items():
        store.store(group="model", name=f"{name}_schema", node=model)
    return "train"


def register_saved(folder: str) -> str:
    """The same with the settings of a run in place of the defaults; no file of conf/ is read unless it is asked for."""
    from seq2seq.runs.directory import Run  # torch takes its time

    saved = Run.open(folder).config
    register()
    store = ConfigStore.instance()
    store.store(name="schema", node=replace(saved, model=MISSING))
    store.store(group="model", name=f"{saved.model.name}_schema", node=saved.model)
    store.store(
        group="model", name="saved_schema", node={"defaults": [f"{saved.model.name}_schema", {"attention": None}]}
    )
    store.store(group="task", name="saved_schema", node={}, package="_global_")
    for name in MODELS:  # what a file of conf/model takes from its task is what was saved
        store.store(
            group="model/_task", name=f"{name}_saved_schema", node={"defaults": [{"/model/attention@attention": None}]}
        )
    chosen = [{"model": "saved_schema"}, {"task": "saved_schema"}, *({group: None} for group in OTHERS)]
    store.store(name="saved", node={"defaults": ["schema", *chosen, {"experiment": None}]})
    return "saved"


def conf_dir() -> Path:
    """The folder conf/: inside the package when installed from a wheel, else at the top of the checkout."""
    package = Path(__file__).resolve().parents[1]
    return next(folder for folder in (package / "conf", package.parent / "conf") if (folder / "train.yaml").is_file())


def appended(override: str) -> str:
    """experiment/NAME=... is not in the defaults list and has to be appended to it."""
    return f"+{override}" if re.match(r"experiment/[^=]+=", override) else override


@contextmanager
def one_sentence() -> Iterator[None]:
    """Errors of Hydra, OmegaConf and YAML become ConfigError."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigError(explain(error)) from None


def explain(error: BaseException) -> str:
    """What Hydra found wrong, in one describe: the setting, the value, the nearest right name, the choices."""
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} cannot be read: write SETTING=VALUE, a VALUE with blanks or brackets in two pairs of quotes: '{EXAMPLE}'"
    if isinstance(error, MissingConfigException) and error.options is not None:
        path, group = re.findall(r"(?:Could not find|options in) '([^']*)'", str(error))
        return no_file(path, group, [option for option in error.options if not option.endswith("schema")])
    if one := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '([^=']*)=([^']*)'", str(error)):
        return several(one[1], one[2])
    file = re.match(r"In '([^']*)'", str(error))
    place = f"{file[1]}.yaml: " if file else ""
    cause: BaseException | None = error
    while cause and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__ or cause.__context__
    if not isinstance(cause, OmegaConfBaseException):
        return " ".join(str(error).split())
    name = str(cause.full_key)
    return place + (no_group(name) if "/" in name else describe(cause))


def no_file(path: str, group: str, options: Sequence[str]) -> str:
    """The describe for a file, `path`, that a group does not have; `options` are those of `group`, which may be the one above."""
    own, _, name = path.rpartition("/")
    if own == "hydra/launcher" and name in AT_ONCE:
        return f"{own}={name} needs more packages: pip install 'seq2seq[sweep]'"
    if not name and (conf_dir() / own).is_dir():
        return f"{own}= has no value; choose one of: {', '.join(stems(conf_dir() / own))}"
    if (folder := conf_dir() / path).is_dir():
        return f"{own}={name} is a folder: write {path}=NAME; choose one of: {', '.join(stems(folder))}"
    if own == group:
        return unknown(own, name, options)
    return unknown(own, name, stems(conf_dir() / own)) if (conf_dir() / own).is_dir() else no_group(own)


def stems(folder: Path) -> list[str]:
    """The names of the files of a group."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def several(setting: str, values: str) -> str:
    """The describe for values that only a grid can have."""
    field = every_setting().get(setting)
    listed = f", or write {setting}=[{values}] for a list" if field and "list" in str(field.type) else ""
    return f"{setting}={values} are several values: add -m to run once for each{listed}"


def no_group(name: str) -> str:
    """The describe for a group that conf/ does not have."""
    groups = sorted(
        {str(path.parent.relative_to(conf_dir())) for path in conf_dir().rglob("*.yaml")} - {".", "model/_task"}
    )
    near = get_close_matches(name, groups, n=1)
    return f"{name} is no group{f' (did you mean {near[0]}?)' if near else ''}; choose one of: {', '.join(groups)}"
