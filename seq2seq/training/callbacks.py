"""Lightning callbacks for the log, random states and the time limit, and when updates, epochs and the training end."""

import math
import random
from collections.abc import Callable
from typing import Any

import lightning as L
import numpy as np
import torch

from seq2seq.data.batching import TrainBatches
from seq2seq.training.metrics import Metrics
from seq2seq.training.module import TrainingModule
from seq2seq.training.progress import Progress
from seq2seq.training.resources import Clock


def update_ends(trainer: L.Trainer, batch_idx: int) -> bool:
    """Whether this batch was the last of its update."""
    return (batch_idx + 1) % trainer.accumulate_grad_batches == 0


def epoch_ends(trainer: L.Trainer, batch_idx: int) -> bool:
    """Whether this batch was the last of its epoch."""
    return batch_idx + 1 == trainer.num_training_batches


def training_ends(trainer: L.Trainer, batch_idx: int) -> bool:
    """Whether no update follows."""
    last_epoch = trainer.current_epoch + 1 == trainer.max_epochs and epoch_ends(trainer, batch_idx)
    return trainer.should_stop or trainer.global_step == trainer.max_steps or last_epoch


class RandomState(L.Callback):
    """Puts the random numbers of a resumed run back to where they were.

    Only before the first batch: whatever Lightning draws until then must not count."""

    def __init__(self) -> None:
        self.saved: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        state = {"torch": torch.get_rng_state()}
        return state | ({"cuda": torch.cuda.get_rng_state_all()} if torch.cuda.is_available() else {})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.saved = state_dict

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.saved is not None:
            torch.set_rng_state(self.saved["torch"].cpu())
            if "cuda" in self.saved and len(self.saved["cuda"]) == torch.cuda.device_count():
                torch.cuda.set_rng_state_all([state.cpu() for state in self.saved["cuda"]])
            self.saved = None


class Log(L.Callback):
    """A row of figures, and a sign of life, every few updates."""

    def __init__(self, metrics: Metrics, progress: Progress, clock: Clock, batches: TrainBatches, every: int) -> None:
        self.metrics, self.progress, self.clock, self.batches, self.every = metrics, progress, clock, batches, every
        self.norm, self.last, self.total_tokens = 0.0, 0.0, 0.0  # last: seconds of training at the last row
        self.waited = 0.0  # seconds for batches, at the last row

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.progress.start(trainer.global_step, self.clock.read()[0])

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        if (trainer.global_step + 1) % self.every == 0:
            norms = [p.grad.norm() for p in pl_module.parameters() if p.grad is not None]
            self.norm = torch.stack(norms).norm().item()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, TrainingModule)
        if not update_ends(trainer, batch_idx):
            return
        if trainer.global_step % self.every == 0:
            self.write(trainer, pl_module)
        self.progress.tell(trainer.global_step, self.clock.read()[0])

    def write(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """One row; on an accelerator the only moment when the host waits for it."""
        module.require_finite()
        tokens, loss = module.tokens.item(), module.nll.item() / max(module.tokens.item(), 1)
        module.nll, module.tokens = torch.zeros(()), torch.zeros(())
        seconds, processor = self.clock.read()
        self.total_tokens += tokens
        passed, waited = max(seconds - self.last, 1e-9), self.batches.wait_seconds - self.waited
        self.last, self.waited = seconds, self.batches.wait_seconds
        self.metrics.write(
            update=trainer.global_step, epoch=trainer.current_epoch + 1, seconds=seconds, processor_seconds=processor, loss=loss,
            learning_rate=trainer.optimizers[0].param_groups[0]["lr"], gradient_norm=self.norm,
            target_tokens=self.total_tokens, tokens_per_second=tokens / passed, waiting=waited / passed, batches=self.batches.checksum,
        )  # fmt: skip
        self.progress.line(trainer.global_step, trainer.current_epoch + 1, loss, tokens / passed, seconds)

    def tokens(self, module: TrainingModule) -> int:
        """Target tokens learnt from, those since the last row as well."""
        return round(self.total_tokens + module.tokens.item())

    def state_dict(self) -> dict[str, Any]:
        return {"total_tokens": self.total_tokens, "last": self.last}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.total_tokens, self.last = state_dict["total_tokens"], state_dict["last"]


class TimeLimit(L.Callback):
    """Stops once an update ends after so many minutes of training."""

    def __init__(self, clock: Clock, minutes: float, say: Callable[[str], None]) -> None:
        self.clock, self.minutes, self.say = clock, minutes or math.inf, say

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if update_ends(trainer, batch_idx) and self.clock.read()[0] >= 60 * self.minutes:
            self.say(f"training.max_minutes={self.minutes:g} is over")
            trainer.should_stop = True


def seed_everything(seed: int) -> None:
    """Python's, NumPy's and torch's random numbers."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
