"""Reading of a run's metrics.csv."""

import csv
import re
from pathlib import Path
from typing import Any

from seq2seq.errors import RunError

UPDATE = re.compile("[0-9]{1,18}")


def read_lines(path: Path) -> list[dict[Any, Any]]:
    """Every line of a metrics file, those that were cut off among them. RunError for a file that is damaged otherwise."""
    try:
        return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{path} is damaged: {error}") from None


def whole(row: dict[Any, Any]) -> bool:
    """Whether it has as many cells as the first line; what is left of two lines that were cut off has too many."""
    return None not in row and None not in row.values()


def read_metrics(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics file; lines that were cut off are left out. RunError for a file that is damaged otherwise."""
    rows = [row for row in read_lines(path) if whole(row)]
    for row in rows:
        if not UPDATE.fullmatch(row.get("update", "")):
            raise RunError(f"{path} is damaged: {row.get('update', '')[:40]!r} is no number of an update")
    return rows
