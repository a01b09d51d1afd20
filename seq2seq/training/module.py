"""The LightningModule of training: a model with its loss, optimizer and schedule."""

from collections.abc import Callable
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from seq2seq.data.batching import Batch
from seq2seq.distributed import ranks
from seq2seq.errors import TrainingError
from seq2seq.ids import PAD
from seq2seq.nn.cuda_graphs import Recorder
from seq2seq.nn.interface import Loss, Model
from seq2seq.nn.ops import devices
from seq2seq.training.cuda_graphs import GraphedLosses
from seq2seq.training.loss import LossOptions, coverage_loss

SHOWN_LINES = 5  # line numbers in the message about a loss that is not finite


class BatchLoss(NamedTuple):
    """The loss of a training batch, and which batch it was; update, epoch and batch count from 1."""

    update: int
    epoch: int
    batch: int
    pairs: Tensor  # (B,) their numbers in the corpus, from 0
    loss: Tensor  # ()

    def __str__(self) -> str:
        where = f"epoch {self.epoch}, batch {self.batch}, lines {_line_numbers(self.pairs)}"
        return f"{self.loss.item()} at update {self.update} ({where})"


class TrainingModule(L.LightningModule):
    """Minimizes the loss summed over an update's target tokens, divided by their number or by that of its sentences.

    The sum is over all devices and accumulated batches (batch.update_size counts them all), so one device with four
    accumulations, two with two and four with one take the same step."""

    def __init__(
        self,
        model: nn.Module,
        make_optimizer: Callable[[nn.Module], Optimizer],
        rate_factor: Callable[[int], float],
        options: LossOptions | None = None,
        record: Recorder | None = None,
    ) -> None:
        """rate_factor: update -> share of the peak learning rate; record: records batch shapes as graphs, or None."""
        super().__init__()
        self.model, self.make_optimizer, self.rate_factor = model, make_optimizer, rate_factor
        self.options = options or LossOptions()
        self.training_losses = GraphedLosses(self.losses, model.parameters(), record) if record else self.losses
        # sums since the last `pop_sums`; kept as tensors, because reading a number waits for the device
        self.nll, self.tokens = torch.zeros(()), torch.zeros(())
        self.unchecked: list[BatchLoss] = []  # since the last `check_finite`
        self.ends_update = False  # whether the batch that is trained on is the last of its update

    def losses(self, batch: Batch) -> Loss:
        """The batch's sums, in the model's mode and under the caller's autocast."""
        model: Model = self.model  # type: ignore[assignment]
        smoothing, coverage, guidance = self.options
        if batch.links is None:
            guidance = None
        memory = model.encode(batch.source, batch.copy)
        output = model.decode(batch.target_in, memory, attention=coverage > 0 or guidance is not None)
        total, nll = model.head.loss(output, memory, batch.target_out, smoothing)
        if coverage:
            assert output.weights is not None
            total = total + coverage * coverage_loss(output.weights, batch.target_out)
        if guidance:
            assert output.weights is not None
            assert batch.links is not None
            total = total + guidance.weight * guidance.loss(output.weights, batch.links)
        return Loss(total, nll)

    def training_step(self, batch: Batch, number: int) -> Tensor:
        torch.manual_seed(batch.seed)  # dropout is that of the batch, on whichever device it is
        self.ends_update = (number + 1) % self.trainer.accumulate_grad_batches == 0
        loss = self.training_losses(batch)
        update, epoch = self.trainer.global_step + 1, self.current_epoch + 1
        self.unchecked.append(BatchLoss(update, epoch, number + 1, batch.index, loss.total.detach()))
        if not devices.asynchronous(loss.total):
            self.check_finite()  # on a GPU it would wait for the device: there the log and validation check
        self.nll = self.nll.to(loss.nll.device) + loss.nll.detach()
        self.tokens = self.tokens.to(loss.nll.device) + (batch.target_out != PAD).sum()
        # Lightning divides by the accumulated batches, which is undone
        return loss.total / batch.update_size * self.trainer.accumulate_grad_batches

    def on_after_backward(self) -> None:
        """Sums the gradients of all devices once an update is complete."""
        if self.ends_update:
            ranks.sum_gradients(self.parameters())

    def sums(self) -> list[float]:
        """Summed negative log-likelihood in nats and number of target tokens since `reset_sums`, over all devices.

        Waits for the device."""
        return ranks.total(self.nll.item(), self.tokens.item())

    def reset_sums(self) -> None:
        self.nll, self.tokens = torch.zeros(()), torch.zeros(())

    def check_finite(self) -> None:
        """Raises TrainingError naming the first batch since the last call whose loss is not finite.

        Waits for the device."""
        steps, self.unchecked = self.unchecked, []
        if steps and not torch.stack([step.loss for step in steps]).isfinite().all():
            first = next(step for step in steps if not step.loss.isfinite())
            raise TrainingError(f"the loss is {first}; lower training.learning_rate or set training.clip")

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        """By norm. Lightning's own refuses fused optimizers in mixed precision, also where no gradient is scaled."""
        if gradient_clip_val:
            nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Frees the gradients after their use.

        Lightning keeps them until the next backward pass, and what is allocated before it has to find its place around
        them: up to a sixth more memory (docs/explanation/benchmarks.md)."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        optimizer.zero_grad()

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.model)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, self.rate_factor), "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["since_log"] = [self.nll.cpu(), self.tokens.cpu()]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.nll, self.tokens = checkpoint["since_log"]


def _line_numbers(index: Tensor) -> str:
    """Line numbers of the corpus, from 1: the first few, and how many there are beside them."""
    numbers = [str(i + 1) for i in index.tolist()]
    shown = ", ".join(numbers[:SHOWN_LINES])
    rest = len(numbers) - SHOWN_LINES
    return f"{shown} and {rest} more" if rest > 0 else shown
