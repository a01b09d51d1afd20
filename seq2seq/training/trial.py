"""The largest batches are tried before training, so that one too large for the memory is found in the first seconds.

On a GPU the batches themselves are tried. On the CPU, where a process that needs too much is killed, so small a part of
the largest batch that it fits, and only where it could matter."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import lightning as L
import torch

from seq2seq.config import TrainingConfig
from seq2seq.data.batching import Batch
from seq2seq.distributed import ranks
from seq2seq.errors import ConfigError
from seq2seq.nn.ops.devices import asynchronous, free_memory, is_memory_error, no_autocast
from seq2seq.training.module import TrainingModule
from seq2seq.training.resources import MIB, peak_memory, reset_peak_memory
from seq2seq.utils.memory import gib

COPIES = 64  # floats for each activation of a token that no batch exceeds, temporary ones included
MARGIN = 0.8  # of the free memory, that the batches which are advised take


@dataclass
class Trial(L.Callback):
    """Raises ConfigError, with a size of batches that fits, if the memory is too small for the largest one."""

    training: TrainingConfig
    largest: Callable[[], Batch]  # of training
    largest_dev: Callable[[], Batch | None]
    activations: int  # floats of one token that the backward pass reads

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, TrainingModule)
        message = ""
        try:
            with trainer.precision_plugin.forward_context():
                self.check(pl_module)
        except ConfigError as error:
            message = str(error)
        if message := next(filter(None, ranks.gathered(message)), ""):
            raise ConfigError(message)
        reset_peak_memory()

    def check(self, module: TrainingModule) -> None:
        """Try the batches. All gradients are None afterwards."""
        batch, free = self.largest(), free_memory(module.device)
        if module.device.type == "cpu":
            free //= ranks.local_world_size()
        if asynchronous(next(module.parameters())):
            self._try(module, batch)
        elif (at_most := 4 * COPIES * self.activations * batch.padded) > free:
            part = batch.split(math.ceil(2 * at_most / free))[0]
            needed = len(batch.source) / len(part.source) * memory_taken(module, part)
            if needed > free:
                reason = f"would take about {gib(needed)} of memory, and {gib(free)} are free"
                raise self._error(batch, needed / (MARGIN * free), reason)

    def _try(self, module: TrainingModule, batch: Batch) -> None:
        """Train on the batch, in ever smaller parts until one fits, and compute the loss of the largest dev batch."""
        parts = 1
        while parts <= len(batch.source):
            dev = self.largest_dev()
            if has_memory(module, batch.split(parts)[0]) and (
                dev is None or has_memory(module, dev.split(parts)[0], train=False)
            ):
                break
            parts *= 2
        if parts > 1:
            raise self._error(batch, parts, "fills the memory")

    def _error(self, batch: Batch, times: float, reason: str) -> ConfigError:
        """times: how many times smaller batches have to be."""
        t, times = self.training, math.ceil(times)
        return ConfigError(
            f"training.batch_tokens={t.batch_tokens} is too large: a batch of {batch.padded:,} tokens {reason}; set "
            f"training.batch_tokens={max(1, t.batch_tokens // times)} and training.accumulate={t.accumulate * times} "
            "for updates of the same size"
        )


def train_once(module: TrainingModule, batch: Batch) -> None:
    """The forward and backward pass of a batch, whose gradients are dropped."""
    total = module.losses(batch.map(lambda x: x.to(module.device))).total
    with no_autocast(total):
        total.backward()
    module.zero_grad(set_to_none=True)


def has_memory(module: TrainingModule, batch: Batch, train: bool = True) -> bool:
    """Whether the memory suffices to train on a batch, or to compute its loss."""
    try:
        if train:
            train_once(module, batch)
        else:
            with torch.inference_mode():
                module.losses(batch.map(lambda x: x.to(module.device)))
        return True
    except (RuntimeError, MemoryError) as error:
        if not is_memory_error(error):
            raise
    module.zero_grad(set_to_none=True)
    torch.cuda.empty_cache()
    return False


def memory_taken(module: TrainingModule, batch: Batch) -> float:
    """Bytes by which the memory of this process grows while it trains on a batch, without the gradients."""
    gradients = sum(p.numel() * p.element_size() for p in module.parameters() if p.requires_grad)
    reset_peak_memory()
    before = peak_memory()["peak_memory"]
    train_once(module, batch)
    return max(0.0, (peak_memory()["peak_memory"] - before) * MIB - gradients)
