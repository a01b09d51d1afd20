"""Lightning callbacks that log figures and limit the time; the ends of updates and epochs."""

import logging
import math
from typing import Any

import lightning as L
import torch

from seq2seq.data.batching import TrainBatches
from seq2seq.distributed import ranks
from seq2seq.training.metrics import MetricsWriter
from seq2seq.training.module import TrainingModule
from seq2seq.training.progress import TrainingProgress
from seq2seq.training.resources import Clock

log = logging.getLogger("seq2seq")


def update_ends(trainer: L.Trainer, batch_idx: int) -> bool:
    """Whether this batch was the last of its update."""
    return (batch_idx + 1) % trainer.accumulate_grad_batches == 0


def epoch_ends(trainer: L.Trainer, batch_idx: int) -> bool:
    """Whether this batch was the last of its epoch."""
    return batch_idx + 1 == trainer.num_training_batches


def training_ends(trainer: L.Trainer, batch_idx: int) -> bool:
    """Whether no update follows this batch."""
    last_epoch = trainer.current_epoch + 1 == trainer.max_epochs and epoch_ends(trainer, batch_idx)
    return trainer.should_stop or trainer.global_step == trainer.max_steps or last_epoch


class Log(L.Callback):
    """Writes a row of metrics, and reports to the progress display, every few updates."""

    def __init__(
        self, metrics: MetricsWriter, progress: TrainingProgress, clock: Clock, batches: TrainBatches, every: int
    ) -> None:
        """every: updates between rows."""
        self.metrics, self.progress, self.clock, self.batches, self.every = metrics, progress, clock, batches, every
        self.gradient_norm = 0.0
        self.loss = math.nan  # of the last row
        self.target_tokens = 0.0  # up to the last row
        self.last_seconds = 0.0  # of training, at the last row
        self.last_waited = 0.0  # seconds that training waited for batches, at the last row

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.progress.start(trainer.global_step, self.clock.read().seconds)

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        if (trainer.global_step + 1) % self.every == 0:
            norms = [p.grad.norm() for p in pl_module.parameters() if p.grad is not None]
            self.gradient_norm = torch.stack(norms).norm().item()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, TrainingModule)
        if not update_ends(trainer, batch_idx):
            return
        if trainer.global_step % self.every == 0:
            self.write(trainer, pl_module)
        self.progress.advance(trainer.global_step, self.clock.read().seconds)

    def write(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """One row."""
        nll, tokens = module.sums()
        module.reset_sums()
        self.loss = loss = nll / max(tokens, 1)
        elapsed = self.clock.read_all()
        seconds = max(elapsed.seconds - self.last_seconds, 1e-9)  # since the last row
        waited = self.batches.wait_seconds - self.last_waited
        self.target_tokens += tokens
        self.last_seconds, self.last_waited = elapsed.seconds, self.batches.wait_seconds
        update, epoch = trainer.global_step, trainer.current_epoch + 1
        self.metrics.write(
            update=update,
            epoch=epoch,
            seconds=elapsed.seconds,
            processor_seconds=elapsed.cpu_seconds,
            loss=loss,
            learning_rate=trainer.optimizers[0].param_groups[0]["lr"],
            gradient_norm=self.gradient_norm,
            target_tokens=self.target_tokens,
            tokens_per_second=tokens / seconds,
            waiting=waited / seconds,
            batches=self.batches.checksum,
        )
        self.progress.report(update=update, epoch=epoch, loss=loss, speed=tokens / seconds, seconds=elapsed.seconds)

    def total_tokens(self, module: TrainingModule) -> int:
        """All target tokens that were trained on, those since the last row included."""
        return round(self.target_tokens + module.sums()[1])

    def recent_loss(self, module: TrainingModule) -> float:
        """Training loss in nats per token since the last row, or of that row; nan if a resumed run has neither."""
        nll, tokens = module.sums()
        return nll / tokens if tokens else self.loss

    def state_dict(self) -> dict[str, Any]:
        return {"total_tokens": self.target_tokens, "last": self.last_seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.target_tokens, self.last_seconds = state_dict["total_tokens"], state_dict["last"]


class ResumedProgress(L.Callback):
    """Counts the batches of the epoch that a resumed run has trained on as this number of devices shares them."""

    def __init__(self, batches: TrainBatches) -> None:
        self.batches = batches

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        loop = checkpoint["loops"]["fit_loop"]
        (state,), progress = loop["state_dict"]["combined_loader"], loop["epoch_loop.batch_progress"]["current"]
        whole = len(self.batches) if not state["done"] else 0  # the checkpoint is of the end of an epoch
        count = whole or state["done"] // self.batches.batches_per_update * self.batches.accumulate
        loop["epoch_loop.batch_progress"]["current"] = {
            name: count - (progress["ready"] - value) for name, value in progress.items()
        }


class TimeLimit(L.Callback):
    """Stops training at the end of the first update after so many minutes; 0: no limit."""

    def __init__(self, clock: Clock, minutes: float) -> None:
        self.clock, self.minutes = clock, minutes or math.inf

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not update_ends(trainer, batch_idx) or self.minutes == math.inf:
            return
        if ranks.greatest(self.clock.read().seconds >= 60 * self.minutes):
            log.info("training.max_minutes=%g is reached", self.minutes)
            trainer.should_stop = True
