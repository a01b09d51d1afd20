"""Checkpoints of a run: writing and reading last.ckpt, and keeping the weights of the best validations.

All files are written atomically: a file is there as a whole or not at all."""

import logging
import os
import signal
import time
import zipfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO, NamedTuple

import lightning as L
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import nn

from seq2seq.distributed import ranks
from seq2seq.distributed.process import STARTED
from seq2seq.errors import RunError
from seq2seq.runs.directory import LAST, PREVIOUS, file_hash, record_hash
from seq2seq.runs.weights import save_weights
from seq2seq.runtime.signals import STOP_SIGNALS, Interrupted, handling, leave_terminal
from seq2seq.runtime.untrusted import library_path, open_file
from seq2seq.training.callbacks import update_ends
from seq2seq.training.module import TrainingModule
from seq2seq.utils import process
from seq2seq.utils.files import atomic_write, synchronize

log = logging.getLogger("seq2seq")

MAX_BYTES = 2**36  # of a checkpoint: the weights, their optimizer's state, and their average


class PlainCheckpointIO(TorchCheckpointIO):
    """Reads a checkpoint with `read_checkpoint`, and writes it straight to the given path, which is next to its target.

    Lightning's default writes through the system's temporary folder, which may be on another file system."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        try:
            with open(path, "wb") as file:
                torch.save(checkpoint, file)
        except RuntimeError as error:  # torch raises it over the error of a full disk, or a second Ctrl-C
            if isinstance(error.__context__, OSError | KeyboardInterrupt):
                raise error.__context__ from None
            raise

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return read_checkpoint(Path(path), mapped=False)


class SaveTimes(NamedTuple):
    """When checkpoints are saved apart from validations; 0: never."""

    updates: int  # between them
    minutes: float  # between them, of the wall clock
    end: float  # minutes of the wall clock after which training is stopped


class Checkpoint(L.Callback):
    """Saves checkpoints/last.ckpt, and stops training on a signal, or by itself before a limit of time.

    The signals are SIGINT (Ctrl-C), SIGTERM, SIGHUP (a closed terminal), and SIGUSR1, by which a cluster warns that the
    time is nearly over.

    The current update, and its validation, are finished first; a second signal raises Interrupted immediately.
    `stop_signal` is the signal that training was stopped by, None if there was none."""

    def __init__(self, folder: Path, run_id: str, keeper: "CheckpointKeeper", times: SaveTimes) -> None:
        """folder: of the run; run_id: its `id` in run.json, by which the checkpoint of another run is recognized;
        keeper: of the weights that the checkpoint names."""
        self.folder, self.run_id, self.keeper, self.times = folder, run_id, keeper, times
        self.stop_signal: int | None = None
        self._handling = ExitStack()
        self.saved_update = -1  # the last one that was saved
        self.saved_at = self.last_end = time.monotonic()
        self.began = float(os.environ.get(STARTED, process.BEGAN))  # the command, by time.time()
        self.longest = 0.0  # seconds of an update, its validation and its checkpoint

    def save(self, trainer: L.Trainer) -> None:
        """Write the checkpoint, in rank 0, and keep the one before it; it loads with weights_only=True.

        To be called by all processes. Wherever one is killed, both files are whole, and their hashes are listed in
        run.json."""
        self.saved_update, self.saved_at = trainer.global_step, time.monotonic()
        module = trainer.lightning_module
        assert isinstance(module, TrainingModule)
        module.gather_sums()
        if ranks.rank():
            return
        with atomic_write(self.folder / LAST) as temporary:
            trainer.save_checkpoint(temporary)
            digest = file_hash(temporary.parent, temporary.name, MAX_BYTES)
            record_hash(self.folder, LAST, digest, replaced=False)
            synchronize(temporary)  # before the older one goes, of which a moment later the last is the only copy
            keep_previous(self.folder)
        record_hash(self.folder, LAST, digest, replaced=True, kept=2)
        self.keeper.remove_unwanted()

    def save_first(self, trainer: L.Trainer) -> None:
        """Write the checkpoint if there is none."""
        if ranks.greatest(self._is_missing()):
            self.save(trainer)

    def _is_missing(self) -> bool:
        """Whether rank 0, which writes it, has no checkpoint yet."""
        return not ranks.rank() and not (self.folder / LAST).exists()

    def state_dict(self) -> dict[str, Any]:
        return {"run": self.run_id}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._handling.enter_context(handling(self.handle_signal, (*STOP_SIGNALS, signal.SIGUSR1)))

    def handle_signal(self, number: int, frame: FrameType | None) -> None:
        """Ask training to stop after the current update. Raises Interrupted the second time."""
        if number == signal.SIGHUP:
            leave_terminal()
        if self.stop_signal is not None:
            raise Interrupted(number)
        self.stop_signal = number
        log.info("stopping after this update; a second signal stops now and loses what follows the last checkpoint")

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not update_ends(trainer, batch_idx):
            return
        if self._time_is_over() and self.stop_signal is None:
            log.info("stopping: trainer.wall_minutes=%g are nearly over", self.times.end)
            self.stop_signal = signal.SIGUSR1
        # the first one after the first update: before any weights are kept, and while a full disk costs nothing
        due = self._is_missing() or self._is_due(trainer.global_step)
        wanted = ranks.greatest(2 * (self.stop_signal or 0) + due)  # of all processes
        if wanted and self.saved_update != trainer.global_step:
            self.save(trainer)
        if wanted > 1:
            self.stop_signal = wanted // 2
            trainer.should_stop = True

    def _time_is_over(self) -> bool:
        """Whether another update, validation and checkpoint may take longer than there is time for."""
        now = time.monotonic()
        self.longest, self.last_end = max(self.longest, now - self.last_end), now
        return bool(self.times.end) and time.time() + self.longest > self.began + 60 * self.times.end

    def _is_due(self, update: int) -> bool:
        """Whether it is time for a checkpoint; by the clock of rank 0, which is the one to write it."""
        by_updates = self.times.updates and update % self.times.updates == 0
        by_time = self.times.minutes and time.monotonic() - self.saved_at >= 60 * self.times.minutes
        return not ranks.rank() and bool(by_updates or by_time)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._handling.close()


@dataclass
class CheckpointKeeper:
    """Keeps the weights of the best updates, and of the last ones where their mean is wanted.

    They are saved as checkpoints/update-N.safetensors; weights.safetensors holds the best ones so far."""

    folder: Path  # of the run
    keep: int  # number of best updates, and of last updates, that are kept
    average: str  # a choice of training.average: none, best or last
    # update -> (score, minus the dev loss, which decides between equal scores)
    scores: dict[int, tuple[float, float]] = field(default_factory=dict)
    named: list[set[int]] = field(default_factory=list)  # the updates that the last two checkpoints name

    def ranked(self) -> list[int]:
        """The updates, best first; the earlier one of equals first."""
        return sorted(self.scores, key=lambda update: (*(-figure for figure in self.scores[update]), update))

    def result_updates(self) -> list[int]:
        """The updates whose weights, or the mean of them, are the result."""
        if self.average == "last":
            return self._last_updates()
        if self.average == "best":
            return self.ranked()[: self.keep]
        return self.ranked()[:1]

    def add(self, update: int, score: float, loss: float, model: nn.Module) -> bool:
        """Save the model's weights if they are among those to keep. Returns whether they are the best so far.

        Files that are no longer wanted stay until `remove_unwanted`."""
        self.scores[update] = score, -loss
        best = self.ranked()[0] == update
        wanted = self.ranked()[: self.keep]
        if self.average == "last":
            wanted += self._last_updates()
        if update in wanted and not ranks.rank():
            save_weights(dict(model.named_parameters()), self.folder, weights_name(update))
        if best and not ranks.rank():
            save_weights(dict(model.named_parameters()), self.folder)
        self.scores = {u: figures for u, figures in self.scores.items() if u in wanted}
        return best

    def remove_unwanted(self) -> None:
        """Delete the weights that are no longer kept, to be called after a checkpoint.

        A run that was killed needs all that its checkpoint names, or the one before it."""
        self.named = [*self.named[-1:], set(self.scores)]
        wanted = {self.folder / weights_name(update) for update in set().union(*self.named)}
        for path in (self.folder / "checkpoints").glob("update-*.safetensors"):
            if path not in wanted:
                path.unlink(missing_ok=True)

    def _last_updates(self) -> list[int]:
        return sorted(self.scores)[-self.keep :]


def keep_previous(folder: Path) -> None:
    """Make the last checkpoint of a run directory, if it has one, the one before the last as well."""
    last, previous = folder / LAST, folder / PREVIOUS
    if not last.is_file() or last.is_symlink():
        return
    linked = previous.with_suffix(".new")
    linked.unlink(missing_ok=True)
    try:
        os.link(last, linked)
    except OSError:  # a file system without links: for a moment there is only the one before
        linked = last
    os.replace(linked, previous)


def weights_name(update: int) -> str:
    """The file of the weights of an update that are kept, in the run directory."""
    return f"checkpoints/update-{update}.safetensors"


def read_checkpoint(path: Path, mapped: bool = True) -> dict[str, Any]:
    """The state that a run resumes from, on the CPU; loading it runs no code.

    mapped: tensors are read from the file when they are used.
    Raises RunError if the file is missing or damaged."""
    with open_file(path, MAX_BYTES) as file:
        try:
            _check_archive(file)
            return dict(torch.load(library_path(file), weights_only=True, map_location="cpu", mmap=mapped))
        except Exception as error:  # torch raises many types for a damaged file
            raise RunError(f"{path} cannot be read as a checkpoint: it is damaged, or another kind of file") from error


def _check_archive(file: BinaryIO) -> None:
    """Raise zipfile.BadZipFile unless a checkpoint's parts, stored in a zip file, have the checksums noted there."""
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise zipfile.BadZipFile("a part is compressed")
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(damaged)


def progress_of(checkpoint: dict[str, Any]) -> dict[str, float]:
    """The limits of training by their settings' names, each with how far the checkpoint is towards it."""
    callbacks = checkpoint["callbacks"]
    (batches,) = checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"]
    return {
        "max_updates": checkpoint["global_step"],
        "max_epochs": batches["epoch"],
        "max_minutes": callbacks["Clock"]["spent"][0] / 60,
        "patience": callbacks["Validation"]["waited"],
        "stop_at": callbacks["Validation"]["best"],
    }
