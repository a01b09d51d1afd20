"""What does Lightning train? The model with its loss, optimizer and schedule; nothing else."""

from collections.abc import Callable
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from seq2seq.data.batching import Batch
from seq2seq.errors import TrainingError
from seq2seq.nn.cuda_graphs import Recorder
from seq2seq.nn.interface import Loss, Model
from seq2seq.nn.ops import devices
from seq2seq.training.cuda_graphs import Graphs
from seq2seq.training.loss import Guidance, coverage_loss


class BatchLoss(NamedTuple):
    """A batch that was learnt from."""

    update: int
    epoch: int
    batch: int
    pairs: Tensor  # (B,) their numbers in the corpus
    loss: Tensor  # ()

    def __str__(self) -> str:
        return f"{self.loss.item()} at update {self.update} (epoch {self.epoch}, batch {self.batch}, lines {lines(self.pairs)})"


class TrainingModule(L.LightningModule):
    """Minimises the sum of the loss over an update's target tokens, divided by their number or by that of the sentences.

    The sum is over all devices and accumulated batches (batch.update_size counts them all), so one device with four
    accumulations, two with two and four with one take the same step."""

    def __init__(
        self,
        model: nn.Module,
        make_optimizer: Callable[[nn.Module], Optimizer],
        factor: Callable[[int], float],
        smoothing: float = 0.0,
        coverage: float = 0.0,
        record: Recorder | None = None,
        guidance: Guidance | None = None,
    ) -> None:
        """factor: update -> share of the peak learning rate; coverage: weight of the coverage loss; record: how to do each shape of
        batch as a graph, None: not at all; guidance: how attention learns from the links of a batch that has them, None: not."""
        super().__init__()
        self.model, self.make_optimizer, self.factor = model, make_optimizer, factor
        self.smoothing, self.coverage, self.guidance = smoothing, coverage, guidance
        self.learn = Graphs(self.losses, model.parameters(), record) if record else self.losses
        self.nll, self.tokens = (
            torch.zeros(()),
            torch.zeros(()),
        )  # since the last line of the log; no host synchronisation
        self.unseen: list[BatchLoss] = []  # whose losses nobody has looked at

    def losses(self, batch: Batch) -> Loss:
        """The batch's sums, in the model's mode and under the caller's autocast."""
        model: Model = self.model  # type: ignore[assignment]
        memory = model.encode(batch.source, batch.copy)
        guidance = self.guidance if batch.links is not None else None
        output = model.decode(batch.target_in, memory, attention=self.coverage > 0 or guidance is not None)
        total, nll = model.head.loss(output, memory, batch.target_out, self.smoothing)
        if self.coverage:
            assert output.weights is not None
            total = total + self.coverage * coverage_loss(output.weights, batch.target_out)
        if guidance:
            assert output.weights is not None
            assert batch.links is not None
            total = total + guidance.weight * guidance.loss(output.weights, batch.links)
        return Loss(total, nll)

    def training_step(self, batch: Batch, number: int) -> Tensor:
        loss = self.learn(batch)
        self.unseen.append(
            BatchLoss(
                self.trainer.global_step + 1, self.current_epoch + 1, number + 1, batch.index, loss.total.detach()
            )
        )
        if not devices.asynchronous(loss.total):  # else Log looks every few updates
            self.require_finite()
        self.nll = self.nll.to(loss.nll.device) + loss.nll.detach()
        self.tokens = self.tokens.to(loss.nll.device) + (batch.target_out != 0).sum()
        # Lightning divides by the accumulated batches, and devices average: both are undone
        parts = self.trainer.accumulate_grad_batches * self.trainer.world_size
        return loss.total / batch.update_size * parts

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        """By norm; Lightning's own refuses fused optimizers in mixed precision, also where no gradient is scaled."""
        if gradient_clip_val:
            nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Gradients go as soon as they are used. Lightning keeps them until the next way back, and what comes before that would have
        to find its place around them: up to a sixth more memory (docs/explanation/benchmarks.md)."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        optimizer.zero_grad()

    def require_finite(self) -> None:
        """Stop with a sentence if a loss since the last look is not a number to go on with. TrainingError names the batch."""
        steps, self.unseen = self.unseen, []
        if steps and not torch.stack([step.loss for step in steps]).isfinite().all():
            first = next(step for step in steps if not step.loss.isfinite())
            raise TrainingError(f"the loss is {first}; lower training.learning_rate or set training.clip")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["since_log"] = [self.nll.cpu(), self.tokens.cpu()]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.nll, self.tokens = checkpoint["since_log"]

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.model)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, self.factor), "interval": "step"},
        }


def lines(index: Tensor) -> str:
    """Line numbers of the corpus, from 1, shortened."""
    numbers = [str(i + 1) for i in index.tolist()]
    return ", ".join(numbers[:5]) + (f" and {len(numbers) - 5} more" if len(numbers) > 5 else "")
