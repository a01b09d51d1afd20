"""How are settings saved, read again, compared and told apart by a hash?"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

import seq2seq
from seq2seq.config import MODELS, SCHEMA, Config, ModelConfig
from seq2seq.errors import ConfigError, RunError, choose
from seq2seq.utils.files import write_text

# Where something lies, runs or is shown; everything else, the precision of the trainer too, makes another run.
NOT_THE_RESULT = {"resume", "runs", "data.root", "data.cache", "data.how", "data.licence"} | {
    f"trainer.{name}" for name in ("accelerator", "devices", "threads", "log_every", "progress", "graphs")
}


FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, in C
MOST_TEXT, DEEPEST = 1 << 20, 20  # characters and levels of a saved config; ours have some 5,000 and 4


def to_yaml(config: Config) -> str:
    """Every setting as plain YAML."""
    return str(yaml.safe_dump(dataclasses.asdict(config), sort_keys=False, allow_unicode=True, width=1000))


def write_config(config: Config, path: Path) -> None:
    """Write every setting, under a comment that names the version; whole or not at all."""
    write_text(path, f"# written by seq2seq {seq2seq.__version__}\n{to_yaml(config)}")


def read_config(path: Path) -> Config:
    """Read what `write_config` wrote. It can run no code: plain YAML, no interpolation, no key that is not a setting.

    Raises RunError, one sentence with the path: missing, no YAML, another schema, an unknown setting or an impossible one."""
    try:
        text = path.read_text(encoding="utf-8")
        return build_config(_parse(text))
    except FileNotFoundError:
        raise RunError(f"{path} does not exist") from None
    except UnicodeDecodeError as error:
        raise RunError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None
    except yaml.YAMLError as error:
        raise RunError(f"{path} is not valid YAML{_place(error)}") from None
    except ConfigError as error:
        raise RunError(f"{path}: {' '.join(str(error).split())}") from None


def _place(error: yaml.YAMLError) -> str:
    """Where PyYAML stopped reading, counted from 1, or '' if it does not say."""
    mark = getattr(error, "problem_mark", None)
    return f": line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def _refuse_bombs(text: str) -> None:
    """What is short to write and long to read has no place in a saved config, which may be a stranger's."""
    if len(text) > MOST_TEXT:
        raise ConfigError(f"{len(text)} characters are too many for a saved config")
    depth = 0
    for event in yaml.parse(text, Loader=FAST):
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError("aliases (*name) have no place in a saved config")
        if tag := getattr(event, "tag", None):
            raise ConfigError(f"tags ({tag[:40]}) have no place in a saved config")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ConfigError("it is nested too deeply for a saved config")


def _parse(text: str) -> dict[str, Any]:
    _refuse_bombs(text)
    saved = OmegaConf.to_container(OmegaConf.create(text), resolve=False) if text.strip() else None
    if "${" in json.dumps(saved):  # an escape in YAML hides it from the text
        raise ConfigError("'${' has no place in a saved config: there is nothing to interpolate")
    if not isinstance(saved, dict) or "schema" not in saved:
        raise ConfigError("no saved config: it has no `schema`")
    if saved["schema"] != SCHEMA:
        writer = re.match(r"# written by (seq2seq \S+)", text)
        by = writer[1] if writer else "another version of seq2seq"
        raise ConfigError(
            f"schema {saved['schema']} was written by {by}, and seq2seq {seq2seq.__version__} reads schema {SCHEMA}"
        )
    return saved  # type: ignore[return-value]


def build_config(values: Mapping[str, Any]) -> Config:
    """From nested plain values to dataclasses, each of which checks itself; `model.name` picks the class of the model.

    Raises ConfigError: a key that is no setting, a value of another type, a combination that cannot work."""
    model = values.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("name"), str):
        raise ConfigError(f"model.name is missing; choose one of: {', '.join(MODELS)}")
    choose(MODELS, model["name"], "model.name")
    try:
        return OmegaConf.to_object(OmegaConf.merge(typed(model["name"]), values))  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ConfigError(sentence(error)) from None


@cache
def typed(family: str) -> DictConfig:
    """Type and default of every setting; made once for each family, since it takes as long as reading the values."""
    whole = OmegaConf.structured(Config)
    whole.model = OmegaConf.structured(MODELS[family])
    return whole


def sentence(error: OmegaConfBaseException) -> str:
    """What OmegaConf found wrong, in one sentence: the setting, the nearest right name, or the type that is wanted."""
    name = error.full_key or str(error.key or "")
    if isinstance(error, ConfigKeyError | ConfigAttributeError):
        return unknown_setting(name, error.object_type)
    if isinstance(error, MissingMandatoryValue):
        return f"{name} has no value"
    if "is not a ListConfig" in str(error):
        return f"{name} is a list: write {name}=[...], with commas in between"
    if "is not Optional" in str(error):
        return f"{name}=null is no value; for the default leave it out"
    if wrong := re.match(r"Value '(.*)' of type '.*' could not be converted to (\w+)", str(error.msg)):
        return f"{name}={wrong[1]} is no {wrong[2].lower()}"
    return f"{name}: {str(error.msg or error).splitlines()[0].strip()}"


def unknown_setting(name: str, group: Any = Config) -> str:
    """The sentence for the dotted `name`, which is no setting of the dataclass `group`."""
    above, _, last = name.rpartition(".")
    if not dataclasses.is_dataclass(group):
        return f"{name} is new: write +{name}=... to add it"
    owner = [key for key, model in MODELS.items() if above == "model" and last in _names(model)]
    if owner:
        return f"{name} is a setting of model={owner[0]} only"
    elsewhere = [found for found in every_setting() if found.rpartition(".")[2] == last]
    here = [f"{above}.{known}".lstrip(".") for known in _names(group)]
    near = elsewhere or get_close_matches(name, here, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"{name} is no setting{hint}; choose one of: {', '.join(here)}"


def _names(group: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(group)]


def every_setting() -> dict[str, dataclasses.Field[Any]]:
    """Dotted name -> field of every setting there is, of all model families."""
    return dict(_walk(Config, ""))


def _walk(group: type[Any], prefix: str) -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    for field in dataclasses.fields(group):
        inner = (
            list(MODELS.values())
            if field.type is ModelConfig
            else [field.type]
            if dataclasses.is_dataclass(field.type)
            else []
        )
        for kind in inner:
            yield from _walk(kind, f"{prefix}{field.name}.")  # type: ignore[arg-type]
        if not inner:
            yield prefix + field.name, field


def flatten(config: Config) -> dict[str, Any]:
    """Dotted name -> value of every setting; `data.test` is one value."""
    return dict(_values(config, ""))


def _values(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(group):
        value = getattr(group, field.name)
        if dataclasses.is_dataclass(value):
            yield from _values(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, value


def differences(a: Config, b: Config) -> list[tuple[str, Any, Any]]:
    """(dotted name, value in `a`, value in `b`) of each setting that differs; None where one has no such setting."""
    left, right = flatten(a), flatten(b)
    return [(name, left.get(name), right.get(name)) for name in {**left, **right} if left.get(name) != right.get(name)]


def settings_hash(config: Config, data_hash: str) -> str:
    """8 hexadecimal digits over what defines the result of a run: the text and all settings but NOT_THE_RESULT."""
    defining = {name: value for name, value in flatten(config).items() if name not in NOT_THE_RESULT}
    return hashlib.sha256(json.dumps([defining, data_hash], sort_keys=True).encode()).hexdigest()[:8]
