"""The models that are served, and which of them answers a request: by name, by language pair, or the only one."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from seq2seq.config import ModelConfig, TransformerConfig
from seq2seq.config.ignored import check_given
from seq2seq.config.languages import language_name, text_direction
from seq2seq.errors import ConfigError, nearest_hint, quoted, unknown
from seq2seq.runs.bundles import open_run
from seq2seq.runs.directory import is_artifact
from seq2seq.runtime.bundle import Bundle
from seq2seq.runtime.search_config import SearchConfig
from seq2seq.serve.batching import Batcher
from seq2seq.serve.languages import language_tag, match_language
from seq2seq.serve.refusals import RefusedError

SERVER_SETTINGS = ("batch", "window", "max_source", "long_source")  # search settings that a request cannot choose
AT_MOST_OWN = (
    "max_length",
    "max_ratio",
    "min_length",
    "min_ratio",
)  # those that it can lower only: they bound the time of a request
Check = Callable[[SearchConfig, set[str]], None]  # raises ConfigError for a setting without effect


@dataclass(frozen=True)
class ModelInfo:
    """A run directory or bundle that is to be served."""

    path: Path
    name: str
    task: str
    source: str  # languages, as tags; '' if the run does not say
    target: str
    check_search: Check = lambda search, given: None
    layers: int = 0  # whose attention a request may choose; 0: none
    heads: int = 0  # in each layer


def read_model(word: str, name: str = "") -> ModelInfo:
    """What `MODEL` or `NAME=MODEL` of the command line names, or the model `word` called `name`.

    Raises RunError if it is no run or bundle."""
    path = Path(word)
    if not name:
        named = re.fullmatch(r"([\w.-]+)=(.+)", word)
        if named and not path.exists():
            path, name = Path(named[2]), named[1]
        name = name or (path.stem if path.is_file() else path.resolve().name)
    if is_artifact(path) and (bundle := Bundle.open(path)).config.kind == "onnx":
        task, languages, check = bundle.config.task, bundle.config.languages, bundle.config.check_given
        layers = heads = 0  # its graphs give the mean only
    else:
        config = open_run(path).config
        task, languages = config.task, config.data.languages()
        layers, heads = _attention_size(config.model)

        def check(search: SearchConfig, given: Iterable[str]) -> None:
            check_given(replace(config, search=search), {f"search.{name}" for name in given})

    source, target = (language and language_tag(language) for language in languages)
    return ModelInfo(path, name, task, source, target, check, layers, heads)


def _attention_size(model: ModelConfig) -> tuple[int, int]:
    """The layers that attend to the source, and the heads of each."""
    if isinstance(model, TransformerConfig):
        return model.decoder_layers, model.heads
    return 1, model.attention.heads


@dataclass(frozen=True)
class ServedModel:
    """A model that answers requests."""

    info: ModelInfo
    batcher: Batcher

    def search(self, options: dict[str, Any], beam: int) -> SearchConfig:
        """The settings of the model with those that a request chose; beam: the widest that it may choose.

        Raises ConfigError, and RefusedError, for settings that cannot work or that a request cannot choose."""
        own = self.batcher.translator.search
        if not options:
            return own
        choices = [name for name in vars(own) if name not in SERVER_SETTINGS]
        for name, value in options.items():
            if name not in choices:
                raise RefusedError(unknown("search setting", name, choices))
            for most in _upper_limits(name, getattr(own, name), beam):
                if isinstance(value, int | float) and value > most:
                    raise RefusedError(f"search.{name}={value} is more than this server allows: at most {most}")
        search = own.changed(**options)
        self.info.check_search(search, set(options))
        return search

    def description(self, beam: int) -> dict[str, Any]:
        """What a request may choose of the model; beam: the widest."""
        info, own = self.info, self.batcher.translator.search
        settings = []
        for field in fields(own):
            if field.name in SERVER_SETTINGS:
                continue
            value, bounds = getattr(own, field.name), field.metadata["bounds"]
            most = bounds and min([bounds.most, *_upper_limits(field.name, value, beam)])
            given = {"name": field.name, "type": type(field.default).__name__, "value": value}
            limits = {"least": bounds and bounds.least, "most": most, "choices": field.metadata["choices"]}
            settings.append(given | limits | {"help": field.metadata["help"]})
        languages = {"source": _described(info.source), "target": _described(info.target)}
        sizes = {"layers": info.layers, "heads": info.heads}
        return {"name": info.name, "task": info.task} | languages | sizes | {"search": settings}


def _upper_limits(name: str, own: Any, beam: int) -> list[Any]:
    """The most that a request may choose of a search setting, if that is bounded; own: its value in the model."""
    return [beam] if name in ("beam", "n_best") else [own] if name in AT_MOST_OWN else []


def _described(language: str) -> dict[str, str] | None:
    """A language with its name and the direction of its script; None for ''."""
    names = {"code": language, "name": language_name(language), "direction": text_direction(language)}
    return names if language else None


class Models:
    """All models of a server. Raises ConfigError for two of one name."""

    def __init__(self, models: Sequence[ServedModel]) -> None:
        self.models = {model.info.name: model for model in models}
        for model in models:
            if (other := self.models[model.info.name]) is not model:
                raise ConfigError(
                    f"{other.info.path} and {model.info.path} are both called {other.info.name}: give one of them"
                    " another name, as NAME=MODEL"
                )

    @cached_property
    def pairs(self) -> dict[tuple[str, str], ServedModel]:
        """The first model of each language pair."""
        found: dict[tuple[str, str], ServedModel] = {}
        for model in self.models.values():
            if model.info.task == "translation" and model.info.source and model.info.target:
                found.setdefault((model.info.source, model.info.target), model)
        return found

    @property
    def sources(self) -> list[str]:
        """The languages that are translated from."""
        return list(dict.fromkeys(source for source, _ in self.pairs))

    def targets(self, source: str) -> list[str]:
        """The languages that `source` is translated to."""
        return [target for known, target in self.pairs if known == source]

    def languages(self) -> list[dict[str, Any]]:
        """Each source language with its name and targets, as LibreTranslate lists them."""
        return [{"code": code, "name": language_name(code), "targets": self.targets(code)} for code in self.sources]

    def of_pair(self, source: str, target: str) -> ServedModel:
        """The model of a language pair. Raises RefusedError, which names the pairs that there are."""
        known = match_language(source, self.sources)
        wanted = match_language(target, self.targets(known)) if known else None
        if known and wanted:
            return self.pairs[known, wanted]
        pairs = ", ".join(f"{source}-{target}" for source, target in self.pairs) or "none"
        raise RefusedError(f"{quoted(f'{source}-{target}')} is not translated here; the language pairs are: {pairs}")

    def named(self, name: str, *tasks: str) -> ServedModel:
        """The model of this name, or with '' the only one of the tasks. Raises RefusedError."""
        names = [other for other, model in self.models.items() if model.info.task in tasks]
        if name in names:
            return self.models[name]
        if not name and len(names) == 1:
            return self.models[names[0]]
        kind = {"translation": "translates", "summarization": "summarizes"}.get(tasks[0], "labels")
        if not names:
            raise RefusedError(f"no model of this server {kind}")
        if not name:
            raise RefusedError(
                f"several models {kind.removesuffix('s')}: choose one by `model`, of: {', '.join(names)}"
            )
        hint = nearest_hint(name, names)
        raise RefusedError(f"model={quoted(name)} is unknown{hint}; these {kind.removesuffix('s')}: {', '.join(names)}")
