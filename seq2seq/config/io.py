"""Saving, reading, comparing and hashing of settings."""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    GrammarParseError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

import seq2seq
from seq2seq.config import MODELS, SCHEMA, Config, ModelConfig
from seq2seq.errors import ConfigError, RunError, choose, nearest_hint, shortened
from seq2seq.runtime.fields import default_value, type_name
from seq2seq.runtime.untrusted import LARGEST, read_text
from seq2seq.utils.files import write_text

# Paths, devices, display, when to save and when to stop. Every other setting makes another run, trainer.precision too.
NOT_HASHED = {
    "resume", "runs", "data.root", "data.cache", "data.how", "data.licence",
    "training.save_every", "training.save_minutes", "training.max_skipped", "training.show",
    "trainer.accelerator", "trainer.devices", "trainer.nodes", "trainer.rendezvous", "trainer.wall_minutes",
    "trainer.threads", "trainer.log_every", "trainer.progress", "trainer.graphs",
}  # fmt: skip

# Settings newer than the first runs: at their default they are no part of a hash, so runs keep their names.
ADDED = {
    "data.targets", "model.output", "model.pooling", "model.hops", "model.hop_penalty", "model.crf", "model.bio",
    "training.class_weights",
}  # fmt: skip

LIMITS = ("max_updates", "max_epochs", "max_minutes", "patience", "stop_at")
MAY_CHANGE = NOT_HASHED - {"runs"} | {f"training.{name}" for name in LIMITS}  # on resuming

PLAIN = ("null", "bool", "int", "float")  # what text without quotes in a saved config may stand for, besides itself
# of a saved config; ours have about 5,000 characters, 150 values in 4 levels, and more only if many files are named
MAX_BYTES, MAX_VALUES, MAX_DEPTH = 1 << 18, 10_000, 20
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # controls but tab and newline; half surrogates


def to_yaml(config: Config) -> str:
    """Every setting as plain YAML."""
    return str(yaml.safe_dump(dataclasses.asdict(config), sort_keys=False, allow_unicode=True, width=1000))


def write_config(config: Config, path: Path) -> None:
    """Write every setting to `path`, atomically, under a comment that names this version."""
    write_text(path, saved_text(config))


def saved_text(config: Config) -> str:
    """The content of a saved config."""
    return f"# written by seq2seq {seq2seq.__version__}\n{to_yaml(config)}"


def read_config(path: Path) -> Config:
    """Read what `write_config` wrote. Runs no code: plain YAML, no interpolation, no key that is not a setting.

    Raises RunError, which names `path`, if the file is missing, not YAML, of another schema, or has an unknown setting
    or an impossible value."""
    return parse_config(read_text(path, MAX_BYTES), path)


def parse_config(text: str, path: str | Path) -> Config:
    """The same from the text of the file `path`."""
    try:
        return build_config(_parse(text))
    except yaml.YAMLError as error:
        raise RunError(f"{path} is not valid YAML{_position(error)}") from error
    except ConfigError as error:
        raise RunError(f"{path}: {error}") from error


def _position(error: yaml.YAMLError) -> str:
    """`: line 2, column 5`, counted from 1, or '' if PyYAML does not know."""
    mark = getattr(error, "problem_mark", None)
    return f": line {mark.line + 1}, column {mark.column + 1}" if mark else ""


class _PlainLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # in C where PyYAML has it
    """Loads mappings of unique names, lists, text, numbers, true, false and null; everything else is refused."""

    # without dates, and without the merge key and the value key, which become text
    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in PLAIN]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
        names = set()
        for key, _ in node.value:
            where = f"line {key.start_mark.line + 1}"
            if key.tag != "tag:yaml.org,2002:str":
                raise ConfigError(f"{where}: a name of a setting is text")
            if key.value in names:
                raise ConfigError(f"{where}: {shortened(key.value)} is there twice")
            names.add(key.value)
        return dict(super().construct_mapping(node, deep))

    def construct_number(self, node: Any) -> int | float:
        name = node.tag.rpartition(":")[2]
        try:
            value = getattr(self, f"construct_yaml_{name}")(node)
        except ValueError:  # more digits than Python reads
            value = math.nan
        if not abs(value) < LARGEST:
            raise ConfigError(
                f"line {node.start_mark.line + 1}: {shortened(node.value)} is no number that a setting can have"
            )
        return value  # type: ignore[no-any-return]


_PlainLoader.add_constructor("tag:yaml.org,2002:int", _PlainLoader.construct_number)
_PlainLoader.add_constructor("tag:yaml.org,2002:float", _PlainLoader.construct_number)


def _parse(text: str) -> dict[str, Any]:
    """The nested values of a saved config; ConfigError unless it is one of this schema."""
    _refuse_expansion(text)
    saved = yaml.load(text, Loader=_PlainLoader)
    _check_text(saved)
    if not isinstance(saved, dict) or "schema" not in saved:
        raise ConfigError("not a saved config: it has no `schema`")
    if saved["schema"] != SCHEMA:
        writer = re.match(r"# written by (seq2seq \S+)", text)
        by = shortened(writer[1]) if writer else "another version of seq2seq"
        schema = shortened(saved["schema"])
        raise ConfigError(
            f"schema {schema} was written by {by}, and seq2seq {seq2seq.__version__} reads schema {SCHEMA}"
        )
    return saved


def _check_text(value: Any) -> None:
    """ConfigError for text in nested values that OmegaConf would interpolate, or that has control characters."""
    if isinstance(value, str):  # in the values, since YAML escapes can hide it in the text
        if "${" in value:
            raise ConfigError("'${' is not allowed in a saved config: there is nothing to interpolate")
        if UNPRINTABLE.search(value):
            raise ConfigError(f"{shortened(value)} has characters that are not text")
    elif isinstance(value, dict):
        _check_text([*value, *value.values()])
    elif isinstance(value, list):
        for entry in value:
            _check_text(entry)


def _refuse_expansion(text: str) -> None:
    """ConfigError for YAML that is short to write and long to read, since a config may come from someone else."""
    depth = values = 0
    for event in yaml.parse(text, Loader=_PlainLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ConfigError("aliases (*name, &name) are not allowed in a saved config")
        if tag := getattr(event, "tag", None):
            raise ConfigError(f"tags ({shortened(tag, 40)}) are not allowed in a saved config")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        values += isinstance(event, yaml.NodeEvent)
        if depth > MAX_DEPTH:
            raise ConfigError("it is nested too deeply for a saved config")
        if values > MAX_VALUES:
            raise ConfigError(f"more than {MAX_VALUES:,} values are too many for a saved config")


def build_config(values: Mapping[str, Any]) -> Config:
    """Turn nested plain values into dataclasses, which check themselves; `model.name` picks the class of the model.

    Raises ConfigError for a key that is not a setting, a value of another type, or a combination that cannot work."""
    model = values.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("name"), str):
        raise ConfigError(f"model.name is missing; choose one of: {', '.join(MODELS)}")
    choose(MODELS, model["name"], "model.name")
    check_shapes(Config, values)
    if _is_plain(Config, values):
        return _made(Config, values)  # type: ignore[no-any-return]
    try:
        merged = OmegaConf.merge(_typed_defaults(model["name"]), values)
        return OmegaConf.to_object(merged)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ConfigError(describe(error)) from None


def _is_plain(group: Any, values: Mapping[str, Any]) -> bool:
    """Whether every value is of exactly the type of its setting, as in a saved config.

    OmegaConf returns these as they are, and takes ten times as long as `_made` does."""
    fields = {field.name: field for field in dataclasses.fields(group)}
    for name, value in values.items():
        if name not in fields:
            return False
        subgroup = _subgroup(fields[name], value)
        if not (_is_plain(subgroup, value) if subgroup else _is_exact(type_name(fields[name]), value)):
            return False
    return True


def _is_exact(wanted: str, value: Any) -> bool:
    """Whether `value` is of the type `wanted`, and no text that OmegaConf would interpolate or take for missing."""
    if wanted.startswith("dict"):
        return (
            type(value) is dict
            and all(type(name) is str for name in value)
            and _is_exact("list[list[str]]", list(value.values()))
        )
    if wanted.startswith("list"):
        return type(value) is list and all(_is_exact(wanted[5:-1], entry) for entry in value)
    return type(value).__name__ in wanted.split(" | ") and not (type(value) is str and re.search(r"\$\{|\?\?\?", value))


def _made(group: Any, values: Mapping[str, Any]) -> Any:
    """The dataclass `group` of values for which `_is_plain` holds."""
    given = {field.name: (field, values[field.name]) for field in dataclasses.fields(group) if field.name in values}
    return group(
        **{
            name: _made(subgroup, value) if (subgroup := _subgroup(field, value)) else deepcopy(value)
            for name, (field, value) in given.items()
        }
    )


def _subgroup(field: dataclasses.Field[Any], value: Any) -> Any:
    """The dataclass that the mapping `value` of a field stands for, None for the value of a setting."""
    if not isinstance(value, Mapping) or not dataclasses.is_dataclass(field.type):
        return None
    return MODELS[value["name"]] if field.type is ModelConfig else field.type


def check_shapes(group: Any, values: Mapping[str, Any], prefix: str = "") -> None:
    """ConfigError for a value where a mapping belongs, as OmegaConf's own error would not name the setting.

    Also for a list or mapping inside a list of names or integers, which OmegaConf accepts."""
    for field in dataclasses.fields(group):
        name, value = prefix + field.name, values.get(field.name)
        subgroup = field.type
        if name == "model" and isinstance(value, Mapping):
            subgroup = MODELS.get(str(value.get("name")), ModelConfig)
        if dataclasses.is_dataclass(subgroup):
            if isinstance(value, Mapping):
                check_shapes(subgroup, value, f"{name}.")
            elif value is not None:
                raise ConfigError(f"{name} is a group of settings, not a value")
        elif value is not None and not _has_shape(type_name(field), value):
            raise ConfigError(f"{name} is not {TYPES[type_name(field)]}")


def _has_shape(wanted: str, value: Any) -> bool:
    """Whether `value` is a mapping if the type `wanted` is a dict and else none, and its lists hold no such either."""
    if wanted.startswith("list") and isinstance(value, Mapping):
        return False
    if wanted.startswith("dict"):
        return isinstance(value, Mapping) and all(_has_shape("list", entry) for entry in value.values())
    return not isinstance(value, list) or not any(isinstance(entry, list | Mapping) for entry in value)


@cache
def _typed_defaults(family: str) -> DictConfig:
    """Type and default of every setting. Cached, since making it takes as long as reading the values."""
    defaults = OmegaConf.structured(Config)
    defaults.model = OmegaConf.structured(MODELS[family])
    return defaults


OTHER_TYPE = "has a value of another type than it takes"


def describe(error: OmegaConfBaseException, name: str = "") -> str:
    """OmegaConf's error in one sentence of ours: the setting, and the nearest name or the type that is expected.

    name: the setting, if the error does not name it."""
    name = name or error.full_key or str(error.key or "")
    if isinstance(error, ConfigKeyError | ConfigAttributeError):
        return unknown_setting(name, error.object_type)
    if isinstance(error, MissingMandatoryValue):
        return f"{name} has no value"
    message = str(error.msg or error)
    if "is not a subclass of" in message:
        return f"{name} is a group of settings: write {name.replace('.', '/')}=NAME"
    if re.search("(?<!dict) is not a ListConfig", message):
        return f"{name} is a list: write {name}=[...], separated by commas"
    if re.search("is not Optional|Incompatible value 'None'", message):
        return f"{name} cannot be null; leave it out for the default"
    settings, setting = every_setting(), name.split("[")[0]
    while setting and setting not in settings:  # an entry of a dict, such as data.test.NAME
        setting = setting.rpartition(".")[0]
    if isinstance(error, InterpolationResolutionError | GrammarParseError):
        return f"{name} {_interpolation_error(message)}"
    if not setting:  # one of Hydra's own
        return f"{name} {OTHER_TYPE}".lstrip()
    value = re.match(r"Value '(.*)' (?:of type|is not a valid)", message)
    given = f"{name}={shortened(value[1])}" if value and name == setting else setting
    return f"{given} is not {TYPES[type_name(settings[setting])]}"


def _interpolation_error(message: str) -> str:
    """What is wrong with a value that holds ${...}, by OmegaConf's message."""
    if missing := re.search("Interpolation key '(.*)' not found", message):
        return f"refers to ${{{missing[1]}}}, which is not a setting"
    if variable := re.search("Environment variable '(.*)' not found", message):
        return f"refers to the environment variable {variable[1]}, which is not set"
    if resolver := re.search(r"Unsupported interpolation type (\S+)", message):
        return f"refers to ${{{resolver[1]}:...}}, which is unknown; there are ${{SETTING}} and ${{oc.env:VARIABLE}}"
    if "Recursive" in message:
        return "refers to itself"
    return "holds a ${...} that has no value"


TYPES = {  # type of a setting -> how a sentence names it
    "int": "an integer",
    "int | str": "an integer or auto",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "list[str]": "a list of names",
    "list[int]": "a list of integers",
    "dict[str, list[str]]": "a list of names for each test set, as +data.test.NAME=[FILE] adds one",
}


def unknown_setting(name: str, group: Any = Config) -> str:
    """The error sentence for the dotted `name`, which is not a setting of the dataclass `group`."""
    above, _, last = name.rpartition(".")
    if not dataclasses.is_dataclass(group):
        return f"{name} is new: write +{name}=... to add it"
    for family, model in MODELS.items():
        if above == "model" and last in _names(model):
            return f"{name} is a setting of model={family} only"
    elsewhere = [found for found in every_setting() if found.rpartition(".")[2] == last]
    here = [f"{above}.{known}".lstrip(".") for known in _names(group)]
    hint = f" (did you mean {elsewhere[0]}?)" if elsewhere else nearest_hint(name, here, str)
    return f"{shortened(name)} is not a setting{hint}; choose one of: {', '.join(here)}"


def _names(group: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(group)]


def every_setting() -> dict[str, dataclasses.Field[Any]]:
    """Dotted name -> field of every setting, of all model families."""
    return dict(_fields(Config, ""))


def _fields(group: type[Any], prefix: str) -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    for field in dataclasses.fields(group):
        subgroups: list[Any] = []
        if field.type is ModelConfig:
            subgroups = list(MODELS.values())
        elif dataclasses.is_dataclass(field.type):
            subgroups = [field.type]
        else:
            yield prefix + field.name, field
        for subgroup in subgroups:
            yield from _fields(subgroup, f"{prefix}{field.name}.")


def flatten(config: Config) -> dict[str, Any]:
    """Dotted name -> value of every setting; the dict `data.test` is one value."""
    return flatten_values(dataclasses.asdict(config))


def flatten_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same of nested plain values, which may be settings that cannot work."""
    return dict(_values(values, ""))


def _values(group: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in group.items():
        if isinstance(value, Mapping) and prefix + name != "data.test":
            yield from _values(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def differences(a: Config, b: Config) -> list[tuple[str, Any, Any]]:
    """(dotted name, value in `a`, value in `b`) of each setting that differs; None where one has no such setting."""
    return _differences(flatten(a), flatten(b))


def _differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(name, left.get(name), right.get(name)) for name in {**left, **right} if left.get(name) != right.get(name)]


def refuse_changes(saved: Mapping[str, Any], given: Mapping[str, Any], folder: Path) -> None:
    """Raise ConfigError for the first setting that differs from the saved one of the run `folder` and may not change.

    Both as `flatten` returns them."""
    training = sorted(name.partition(".")[2] for name in MAY_CHANGE if name.startswith("training."))
    for name, before, now in _differences(saved, given):
        if name not in MAY_CHANGE:
            raise ConfigError(
                f"{name}={shortened(now)} is given, but the run was started with {name}={before}: on resuming only "
                f"training.{', '.join(training)}, data.root, data.cache and trainer settings other than precision may "
                f"change; init_from={folder} starts a new run from its weights, with other settings"
            )


def settings_hash(config: Config, data_hash: str) -> str:
    """8 hexadecimal digits that identify a run: of the hash of its text and of all settings, without NOT_HASHED, and
    without those of ADDED that are at their default."""
    defaults = {name: default_value(field) for name, field in every_setting().items() if name in ADDED}
    defining = {
        name: value
        for name, value in flatten(config).items()
        if name not in NOT_HASHED and not (name in ADDED and value == defaults[name])
    }
    return hashlib.sha256(json.dumps([defining, data_hash], sort_keys=True).encode()).hexdigest()[:8]
