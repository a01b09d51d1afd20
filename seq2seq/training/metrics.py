"""Where do training's figures go? A CSV file always, TensorBoard where it is installed."""

import csv
import importlib.util
import io
from pathlib import Path
from typing import Any

from seq2seq.runs.metrics import read_metrics
from seq2seq.utils.files import error_filename, write_text

BOARD = "tensorboard"  # folder of TensorBoard's files

COLUMNS = (
    "update", "epoch", "seconds", "processor_seconds", "loss", "learning_rate", "gradient_norm", "target_tokens", "tokens_per_second",
    "waiting", "batches", "dev_loss", "dev_score",
)  # fmt: skip


class Metrics:
    """Appends rows to metrics.csv; a column that a row does not have stays empty."""

    def __init__(self, folder: Path, update: int = 0) -> None:
        """Keep the rows up to `update`: a resumed run writes the later ones anew."""
        self.path = folder / "metrics.csv"
        old = read_metrics(self.path) if self.path.exists() else []
        kept = [row for row in old if int(row["update"]) <= update]
        write_text(self.path, "".join(map(line, [dict(zip(COLUMNS, COLUMNS, strict=True)), *kept])))
        self.board = board(folder, update)

    def write(self, **row: Any) -> None:
        """One row, on disk at once."""
        with error_filename(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(line({name: format(v, ".6g") if isinstance(v, float) else v for name, v in row.items()}))
        if self.board:
            with error_filename(self.path.parent / BOARD):
                for name, value in row.items():
                    if name != "update" and not isinstance(value, str):
                        self.board.add_scalar(name, value, row["update"])


def line(row: dict[str, Any]) -> str:
    """One line of CSV."""
    text = io.StringIO()
    csv.DictWriter(text, COLUMNS, lineterminator="\n").writerow(row)
    return text.getvalue()


def board(folder: Path, update: int) -> Any:
    """A TensorBoard writer, if TensorBoard is installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / BOARD), purge_step=update + 1 if update else None)
