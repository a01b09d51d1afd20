"""The LightningModule of training: a model with its loss, optimizer and schedule."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from seq2seq.data.batching import Batch
from seq2seq.distributed import ranks
from seq2seq.ids import PAD
from seq2seq.nn.cuda_graphs import Recorder
from seq2seq.nn.interface import Loss, Model
from seq2seq.nn.ops import devices
from seq2seq.training.cuda_graphs import GraphedLosses
from seq2seq.training.divergence import SkippedUpdates
from seq2seq.training.full_memory import BatchSplitter
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


@dataclass
class UpdateSums:
    """The batches of an update so far, and what they add up to."""

    batches: list[Batch] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)  # of the batches, in the epoch of this device, from 1
    losses: list[BatchLoss] = field(default_factory=list)
    nll: Tensor = field(default_factory=lambda: torch.zeros(()))  # in nats, over all target tokens
    tokens: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.long))  # target tokens

    def wrong_loss(self) -> str:
        """`loss is nan at update 3 (...)` for the first loss that is not finite; '' if all are."""
        if torch.stack([one.loss for one in self.losses]).isfinite().all():
            return ""
        return f"loss is {next(one for one in self.losses if not one.loss.isfinite())}"


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
        max_skipped: int = 0,
    ) -> None:
        """rate_factor: update -> share of the peak learning rate; record: records batch shapes as graphs, or None;
        max_skipped: updates in a row that may be skipped because a loss or gradient is not finite."""
        super().__init__()
        self.model, self.make_optimizer, self.rate_factor = model, make_optimizer, rate_factor
        self.options = options or LossOptions()
        self.training_losses = GraphedLosses(self.losses, model.parameters(), record) if record else self.losses
        # sums since the last `reset_sums`; kept as tensors, because reading a number waits for the device
        self.nll, self.tokens = torch.zeros(()), torch.zeros(())
        self.update = UpdateSums()
        self.splitter = BatchSplitter()
        self.skipped = SkippedUpdates(max_skipped)
        self.split_batches = 0  # batches that the memory was too small for

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
        """Adds the gradients of a batch to those of its update. The result is not used."""
        if number % self.trainer.accumulate_grad_batches == 0:
            self.update = UpdateSums()
        self.update.batches.append(batch)
        self.update.numbers.append(number + 1)
        self.splitter.train(self.update.batches, self._add_gradients, self._start_over)
        return torch.zeros(())

    def _add_gradients(self, place: int, batch: Batch) -> None:
        """Add the gradients of batch number `place` of the update, or of a part of it."""
        torch.manual_seed(batch.seed)  # dropout is that of the batch, on whichever device it is
        loss = self.training_losses(batch)
        with devices.no_autocast(loss.total):
            self._scaled(loss.total / batch.update_size).backward()
        self.update.nll = self.update.nll + loss.nll.detach()
        self.update.tokens = self.update.tokens + (batch.target_out != PAD).sum()
        update, epoch = self.trainer.global_step + 1, self.current_epoch + 1
        self.update.losses.append(
            BatchLoss(update, epoch, self.update.numbers[place], batch.index, loss.total.detach())
        )

    def _scaled(self, loss: Tensor) -> Tensor:
        """The loss as mixed precision with float16 has it: its gradients would otherwise underflow."""
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        return scaler.scale(loss) if scaler else loss

    def _start_over(self) -> None:
        """Forget the gradients and sums of the update."""
        self.zero_grad(set_to_none=True)
        self.update = UpdateSums(self.update.batches, self.update.numbers)

    def backward(self, loss: Tensor) -> None:
        """Does nothing: `training_step` has done it, where it can be repeated with parts of the batch."""

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
        """Does nothing: Lightning would call it between `training_step` and `backward`. See `optimizer_step`."""

    def on_after_backward(self) -> None:
        """Sums the gradients of all devices once an update is complete."""
        if len(self.update.batches) < self.trainer.accumulate_grad_batches:
            return
        ranks.sum_gradients(self.parameters())
        self.split_batches += sum(len(self.splitter.parts(batch)) > 1 for batch in self.update.batches)

    def sums(self) -> list[float]:
        """Summed negative log-likelihood in nats and number of target tokens since `reset_sums`, over all devices.

        Waits for the device."""
        return ranks.total(self.nll.item(), self.tokens.item())

    def gather_sums(self) -> None:
        """Make the sums of all devices those of rank 0, whose checkpoint all of them resume from."""
        nll, tokens = self.sums()
        self.reset_sums()
        if not ranks.rank():
            self.nll, self.tokens = torch.tensor(nll), torch.tensor(tokens)

    def reset_sums(self) -> None:
        self.nll, self.tokens = torch.zeros(()), torch.zeros(())

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        """Clips by norm, or leaves the update out, on all devices, if a loss or the norm is not finite.

        The weights and the optimizer's state are then as before; the schedule goes on. With float16 the scaler leaves
        out updates whose gradients overflow. Lightning's own clipping refuses fused optimizers in mixed precision, also
        where no gradient is scaled. Raises TrainingError after too many in a row."""
        update = self.trainer.global_step + 1
        is_scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        norm = nn.utils.get_total_norm([p.grad for p in self.parameters() if p.grad is not None])
        wrong = self.update.wrong_loss()
        if not (wrong or is_scaled or norm.isfinite()):
            wrong = f"norm of the gradient is {norm} at update {update}"
        if ranks.greatest(bool(wrong)):
            self.skipped.add(update, next(filter(None, ranks.gathered(wrong))))
            if not is_scaled:  # else the scaler does so, and needs them
                self.zero_grad(set_to_none=True)
            return
        self.skipped.in_a_row = 0
        self.nll = self.nll.to(self.update.nll.device) + self.update.nll
        self.tokens = self.tokens.to(self.update.tokens.device) + self.update.tokens
        if gradient_clip_val:
            nn.utils.clip_grads_with_norm_(self.parameters(), gradient_clip_val, norm)

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
        checkpoint["skipped"] = {"count": self.skipped.count, "in_a_row": self.skipped.in_a_row}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if not ranks.rank():
            self.nll, self.tokens = checkpoint["since_log"]
        if "skipped" in checkpoint:  # not in those of early versions
            self.skipped.count, self.skipped.in_a_row = (checkpoint["skipped"][name] for name in ("count", "in_a_row"))


def _line_numbers(index: Tensor) -> str:
    """Line numbers of the corpus, from 1: the first few, and how many there are beside them."""
    numbers = [str(i + 1) for i in index.tolist()]
    shown = ", ".join(numbers[:SHOWN_LINES])
    rest = len(numbers) - SHOWN_LINES
    return f"{shown} and {rest} more" if rest > 0 else shown
