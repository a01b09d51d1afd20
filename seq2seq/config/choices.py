"""Names that settings and options can take.

They are listed as text, since importing the tables themselves imports torch; a test compares each entry with the keys
of its table."""

import dataclasses
from typing import Any

from seq2seq.config import Config
from seq2seq.errors import ConfigError, unknown

CHOICES: dict[str, tuple[str, ...]] = {  # table -> its keys, in the same order
    "TASKS": ("translation", "summarization", "classification", "multilabel", "labeling"),
    "SCORERS": (
        "dot", "scaled_dot", "general", "scaled_general", "concat", "concat_identity", "additive", "normed_additive",
        "location", "cosine", "euclidean", "uniform",
    ),
    "WINDOWS": ("everywhere", "local_m", "local_p", "last"),
    "NORMALIZERS": ("softmax", "entmax", "sparsemax"),
    "POOLINGS": ("attention", "structured", "mean", "max", "last"),
    "HEADS": ("vocabulary", "copy", "pointer"),
    "CELLS": ("lstm", "gru", "gru_cho"),
    "READOUTS": ("tanh", "linear", "maxout", "state"),
    "BRIDGES": ("dense", "backward", "copy", "copy_all", "directions", "reduce", "zero"),
    "INITIALIZERS": ("uniform", "bahdanau"),
    "NORMS": ("layer", "rms"),
    "ACTIVATIONS": ("relu", "gelu", "swish", "swiglu"),
    "PRECISIONS": ("32", "bf16", "16", "int8", "64"),
    "OPTIMIZERS": ("sgd", "adam", "adamw", "adagrad", "adadelta", "adafactor"),
    "SCHEDULES": ("constant", "inverse_sqrt", "luong", "plateau", "cosine"),
    "GUIDED_LOSSES": ("cross_entropy", "squared_error"),
    "FORMATS": ("terminal", "markdown", "csv", "json", "latex"),
    "SYMMETRIZATIONS": ("intersection", "union", "grow-diag", "grow-diag-final", "grow-diag-final-and"),
    "METRICS": (
        "bleu", "chrf", "chrf++", "ter", "rouge1", "rouge2", "rougeL", "rougeLsum",
        "accuracy", "exact_match", "macro_f1", "micro_f1", "entity_f1",
    ),
}  # fmt: skip


def field_choices(field: "dataclasses.Field[Any]") -> tuple[str, ...]:
    """All values that the setting can take; () if it is not chosen from a list."""
    table = field.metadata.get("table", "")
    return CHOICES[table] if table else tuple(field.metadata.get("choices", ()))


def check_choices(config: Config) -> None:
    """Raise ConfigError, with the nearest name and the choices, for a setting whose value is not in its table."""
    _check_group(config, "")


def _check_group(group: Any, prefix: str) -> None:
    for field in dataclasses.fields(group):
        value, allowed = getattr(group, field.name), field_choices(field)
        if dataclasses.is_dataclass(value):
            _check_group(value, f"{prefix}{field.name}.")
        elif allowed and value not in allowed:
            raise ConfigError(unknown(prefix + field.name, str(value), allowed))
