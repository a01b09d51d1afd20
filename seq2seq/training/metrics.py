"""Writing the figures of training: metrics.csv always, TensorBoard files where TensorBoard is installed."""

import csv
import importlib.util
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seq2seq.runs.directory import METRICS
from seq2seq.runs.metrics import COLUMNS, read_metrics
from seq2seq.utils.files import error_filename, open_to_append, write_text

TENSORBOARD = "tensorboard"  # folder of TensorBoard's files


class MetricsWriter:
    """Appends rows to metrics.csv of a run directory; a column that a row does not have stays empty."""

    def __init__(self, folder: Path, update: int = 0) -> None:
        """Keeps the rows up to `update`; a resumed run writes the later ones again."""
        self.path = folder / METRICS
        old = read_metrics(self.path) if os.path.lexists(self.path) else []
        kept = [row for row in old if int(row["update"]) <= update]
        header = dict(zip(COLUMNS, COLUMNS, strict=True))
        write_text(self.path, "".join(_csv_line(row) for row in [header, *kept]))
        self.tensorboard = _tensorboard_writer(folder, update)

    def write(self, **row: Any) -> None:
        """Append a row, named by COLUMNS, and close the file; floats get six significant digits."""
        shown = {name: format(value, ".6g") if isinstance(value, float) else value for name, value in row.items()}
        with error_filename(self.path), open_to_append(self.path) as file:
            file.write(_csv_line(shown))
        if self.tensorboard:
            with error_filename(self.path.parent / TENSORBOARD):
                for name, value in row.items():
                    if name != "update" and not isinstance(value, str):
                        self.tensorboard.add_scalar(name, value, row["update"])

    def write_text(self, update: int, lines: Sequence[str]) -> None:
        """Hand lines of text to TensorBoard, which shows them as they are; nothing if there are none."""
        if self.tensorboard and lines:
            with error_filename(self.path.parent / TENSORBOARD):
                block = "".join(f"    {line}\n" for line in lines)  # Markdown's for text without markup
                self.tensorboard.add_text("dev", block, update)


class NoMetrics(MetricsWriter):
    """In place of a MetricsWriter in all processes but one: writes nothing."""

    def __init__(self, folder: Path, update: int = 0) -> None:
        pass

    def write(self, **row: Any) -> None:
        pass

    def write_text(self, update: int, lines: Sequence[str]) -> None:
        pass


def _csv_line(row: dict[str, Any]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, COLUMNS, lineterminator="\n").writerow(row)
    return text.getvalue()


def _tensorboard_writer(folder: Path, update: int) -> Any:
    """A SummaryWriter that drops what was logged after `update`; None where TensorBoard is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / TENSORBOARD), purge_step=update + 1 if update else None)
