"""Names that settings and options can take, and the check that they do. They stand here as text, because importing the
tables themselves would import torch; a test holds each entry equal to the keys of its table."""

import dataclasses
from typing import Any

from seq2seq.config import Config
from seq2seq.errors import ConfigError, unknown

CHOICES: dict[str, tuple[str, ...]] = {  # table -> its keys, in its order
    "TASKS": ("translation", "summarization"),
    "SCORERS": (
        "dot", "scaled_dot", "general", "scaled_general", "concat", "concat_identity", "additive", "normed_additive",
        "location", "cosine", "euclidean", "uniform",
    ),
    "WINDOWS": ("everywhere", "local_m", "local_p", "last"),
    "NORMALIZERS": ("softmax", "entmax", "sparsemax"),
    "HEADS": ("vocabulary", "copy", "pointer"),
    "CELLS": ("lstm", "gru", "gru_cho"),
    "READOUTS": ("tanh", "linear", "maxout", "state"),
    "BRIDGES": ("dense", "backward", "copy", "copy_all", "directions", "reduce", "zero"),
    "INITIALIZERS": ("uniform", "bahdanau"),
    "NORMS": ("layer", "rms"),
    "ACTIVATIONS": ("relu", "gelu", "swiglu"),
    "OPTIMIZERS": ("sgd", "adam", "adamw", "adagrad", "adadelta", "adafactor"),
    "SCHEDULES": ("constant", "inverse_sqrt", "luong", "plateau", "cosine"),
    "GUIDED_LOSSES": ("cross_entropy", "squared_error"),
    "FORMATS": ("terminal", "markdown", "csv", "json", "latex"),
    "SYMMETRIZATIONS": ("intersection", "union", "grow-diag", "grow-diag-final", "grow-diag-final-and"),
    "METRICS": ("bleu", "chrf", "chrf++", "ter", "rouge1", "rouge2", "rougeL", "rougeLsum"),
}  # fmt: skip


def choices(field: "dataclasses.Field[Any]") -> tuple[str, ...]:
    """All values that the setting can take; () for a setting that is not chosen from a list."""
    table = field.metadata.get("table", "")
    return CHOICES[table] if table else tuple(field.metadata.get("choices", ()))


def check_names(config: Config) -> None:
    """ConfigError, with the nearest name and the choices, for a setting whose value is not in its table."""
    _check(config, "")


def _check(group: Any, prefix: str) -> None:
    for field in dataclasses.fields(group):
        value, allowed = getattr(group, field.name), choices(field)
        if dataclasses.is_dataclass(value):
            _check(value, f"{prefix}{field.name}.")
        elif allowed and value not in allowed:
            raise ConfigError(unknown(prefix + field.name, str(value), allowed))
