"""The columns of a run's metrics.csv, and reading it; its last line may be incomplete after an interruption."""

import csv
import re
from pathlib import Path
from typing import Any

from seq2seq.errors import RunError, quoted
from seq2seq.runtime.untrusted import MIB, read_text

MAX_BYTES = 128 * MIB  # a million rows
MAX_CELL = 1 << 17  # characters
COLUMNS = (
    "update",
    "epoch",
    "seconds",
    "processor_seconds",
    "loss",
    "learning_rate",
    "gradient_norm",
    "target_tokens",
    "tokens_per_second",
    "waiting",
    "batches",
    "dev_loss",
    "dev_score",
)
UPDATE = re.compile("[0-9]{1,18}")


def read_metrics(path: Path) -> list[dict[str, str]]:
    """The complete rows of a metrics file, by column name. Raises RunError if it is damaged otherwise."""
    rows = [row for row in read_all_rows(path) if is_complete(row)]
    for row in rows:
        if not UPDATE.fullmatch(row.get("update", "")):
            raise RunError(f"{path} is damaged: update={quoted(row.get('update', ''))} is not the number of an update")
    return rows


def read_all_rows(path: Path) -> list[dict[Any, Any]]:
    """All rows of a metrics file, incomplete ones as well. Raises RunError if it is not CSV, or has other columns."""
    text = read_text(path, MAX_BYTES)
    csv.field_size_limit(MAX_CELL)
    try:
        rows = list(csv.DictReader(text.splitlines()))
    except csv.Error as error:
        raise RunError(f"{path} is damaged: it is not CSV") from error
    others = {name for row in rows[:1] for name in row if name is not None} - {*COLUMNS}
    if others:
        raise RunError(f"{path} is damaged: {quoted(min(others))} is not a column of it")
    return rows


def is_complete(row: dict[Any, Any]) -> bool:
    """Whether `row` has as many fields as the first line; the remains of two interrupted lines have too many."""
    return None not in row and None not in row.values()
