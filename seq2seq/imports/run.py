"""Writes a model of another toolkit as a run directory, after comparing it with what that toolkit computed."""

import math
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor

import seq2seq
from seq2seq.config import Config
from seq2seq.config.io import write_config
from seq2seq.data.folders import new_folder
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.errors import ConfigError, RunError
from seq2seq.imports.parity import Parity, compare_with_reference, read_reference
from seq2seq.nn.build import build_meta_model
from seq2seq.runs.directory import CONFIG, INFO, UNKNOWN_TEXT
from seq2seq.runs.weights import save_weights
from seq2seq.utils.files import write_json

PARITY = "parity.json"


@dataclass(frozen=True)
class ImportedModel:
    """A model of another toolkit in our terms."""

    config: Config
    vocabularies: Vocabularies
    weights: Mapping[str, Tensor]  # by the names of our parameters; those of tied ones may come twice
    origin: dict[str, Any] = field(default_factory=dict)  # for run.json


def write_run(model: ImportedModel, folder: Path, reference: Path | None = None) -> Parity | None:
    """Write a new run directory. Returns the comparison with `reference`, if there is one.

    Raises RunError for weights that do not fit the settings, and for a model that does not compute what the reference
    says; ConfigError if there is something at `folder` already. Nothing is written then."""
    recorded = read_reference(reference) if reference else None
    weights = fitting(model)
    with new_folder(folder) as temporary:
        variant = re.sub(r"[^\w.,=+-]", "-", folder.name)  # by which `compare` calls it
        write_config(replace(model.config, variant=variant), temporary / CONFIG)
        model.vocabularies.save(temporary)
        write_json(temporary / INFO, info(model, weights))
        save_weights(weights, temporary)
        if recorded is None:
            return None
        parity = compare_with_reference(temporary, recorded)
        parity.check()
        write_json(temporary / PARITY, parity.as_dict())
        return parity


def fitting(model: ImportedModel) -> dict[str, Tensor]:
    """The weights of all parameters. Raises RunError unless each is there, in its shape and with finite numbers."""
    sizes = model.vocabularies.source.size, model.vocabularies.target.size
    try:
        parameters = dict(build_meta_model(model.config.model, *sizes).named_parameters())
    except ConfigError as error:
        raise RunError(f"the model cannot be represented: {error}") from error
    for name, parameter in parameters.items():
        if name not in model.weights or model.weights[name].shape != parameter.shape:
            raise RunError(f"the model cannot be represented: its weights do not fit {name}")
        if not model.weights[name].isfinite().all():
            raise RunError(f"the model cannot be represented: {name} has values that are not finite")
    return {name: model.weights[name].contiguous() for name in parameters}


def info(model: ImportedModel, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The content of run.json; the training text is not known."""
    return {
        "id": uuid4().hex,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"seq2seq": seq2seq.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "seed": model.config.seed,
        "data": UNKNOWN_TEXT,
        "tokenizer": model.vocabularies.sha256,
        "parameters": sum(math.prod(x.shape) for x in weights.values()),
        "imported": model.origin,
        "finished": True,
    }
