"""How good is the model now, and which checkpoints are worth keeping?"""

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import nn

from seq2seq.config import ModelConfig
from seq2seq.data.batching import Batch
from seq2seq.data.readers import Pair
from seq2seq.errors import TrainingError
from seq2seq.evaluation.attention_maps import attention_health, compute_attention_maps
from seq2seq.runs.directory import WEIGHTS
from seq2seq.runs.weights import load_weights, save_weights
from seq2seq.training.averaging import MovingAverage, mean_weights
from seq2seq.training.callbacks import epoch_ends, training_ends, update_ends
from seq2seq.training.checkpoint import Checkpoint
from seq2seq.training.metrics import Metrics
from seq2seq.training.module import TrainingModule
from seq2seq.training.optim import Plateau
from seq2seq.training.resources import Clock
from seq2seq.translator import Translator

log = logging.getLogger("seq2seq")

SAMPLE = 64  # pairs: a small part of a validation

IN_A_ROW = 3  # validations that find the same before it is told: every attention begins by looking everywhere


class Watch:
    """Tells what is wrong with the attention, each thing once, when several validations have found it."""

    def __init__(self, translator: Translator, model: ModelConfig, pairs: Sequence[Pair]) -> None:
        self.translator, self.model, self.pairs = translator, model, pairs[:SAMPLE]
        self.found: Counter[str] = Counter()  # the kind of a warning -> validations in a row that found it

    def __call__(self) -> None:
        """Once for each validation, the model being in its place and in evaluation mode."""
        health = attention_health(self.model)
        if not health.learnt:
            return
        whole = ((pair.source, pair.target) for pair in self.pairs if pair.source.strip() and pair.target.strip())
        given = list(self.translator.forced_decode(whole))
        for _, looked in compute_attention_maps(self.translator, given):
            health.add(looked.weights, looked.centers)
        warnings = health.warnings()
        self.found = Counter({kind: self.found[kind] + 1 for kind in warnings})
        for kind, sentence in warnings.items():
            if self.found[kind] == IN_A_ROW:
                log.warning("attention: %s", sentence)


log = logging.getLogger("seq2seq")


@dataclass
class Dev:
    """The development set and the figure that is watched."""

    batches: Callable[[], Iterable[Batch]]
    decode: (
        Callable[[], float] | None
    )  # the score of the translations by the current weights, higher is better; None: the loss decides
    monitor: str
    watch: Callable[[], object] = lambda: None  # looks at the attention

    def loss(self, module: TrainingModule) -> float:
        """Negative log-likelihood in nats per target token, no smoothing."""
        nll, tokens = torch.zeros((), dtype=torch.float64), 0
        for batch in self.batches():
            moved = module.transfer_batch_to_device(batch, module.device, 0)
            nll += module.losses(moved).nll.double().cpu()
            tokens += int((batch.target_out != 0).sum())
        return nll.item() / max(tokens, 1)

    def figures(self, module: TrainingModule) -> tuple[float, float]:
        """dev loss, dev score (higher is better). TrainingError for weights that give no number."""
        training, model = module.training, module.model
        model.eval()
        with torch.inference_mode():
            loss = self.loss(module)
        if not math.isfinite(loss):
            raise TrainingError(
                f"the dev loss is {loss}, these weights are not kept; lower training.learning_rate or set training.clip"
            )
        score = -loss if self.decode is None else self.decode()
        self.watch()
        model.train(training)
        return loss, score


@dataclass
class CheckpointKeeper:
    """Checkpoints on disk: the `keep` best, and the last ones where their mean is wanted."""

    folder: Path  # of the run
    keep: int
    average: str  # none, best, last
    scores: dict[int, tuple[float, float]] = field(
        default_factory=dict
    )  # update -> score and, where that is a tie, minus the dev loss

    def path(self, update: int) -> Path:
        """Where the weights of an update are."""
        return self.folder / "checkpoints" / f"update-{update}.safetensors"

    def chosen(self) -> list[int]:
        """The updates whose weights make the result, best first."""
        best = self.ranked()
        return {"none": best[:1], "best": best[: self.keep], "last": sorted(self.scores)[-self.keep :]}[self.average]

    def ranked(self) -> list[int]:
        """The updates, best first; of equals the earlier."""
        return sorted(self.scores, key=lambda update: (*(-figure for figure in self.scores[update]), update))

    def add(self, update: int, score: float, loss: float, model: nn.Module) -> bool:
        """Keep these weights if they are wanted; whether they are the best so far. Others wait for `drop`."""
        self.scores[update] = score, -loss
        best = self.ranked()[0] == update
        wanted = self.ranked()[: self.keep]
        wanted += sorted(self.scores)[-self.keep :] if self.average == "last" else []
        if update in wanted:
            save_weights(dict(model.named_parameters()), self.path(update))
        if best:
            save_weights(dict(model.named_parameters()), self.folder / WEIGHTS)
        self.scores = {u: figures for u, figures in self.scores.items() if u in wanted}
        return best

    def drop(self) -> None:
        """Remove weights that are not wanted: once no checkpoint names them, so that what goes on after a kill finds its own."""
        wanted = {self.path(update) for update in self.scores}
        for path in (self.folder / "checkpoints").glob("update-*.safetensors"):
            if path not in wanted:
                path.unlink(missing_ok=True)


class Validation(L.Callback):
    """Looks at the development set every few updates; keeps checkpoints, lowers the rate on a plateau, stops early."""

    def __init__(
        self,
        dev: Dev,
        kept: CheckpointKeeper,
        checkpoint: Checkpoint,
        metrics: Metrics,
        clock: Clock,
        average: MovingAverage | None,
        *,
        every: int,
        patience: int,
        stop_at: float,
        plateau: Plateau | None,
    ) -> None:
        """every: updates, 0 for the end of each epoch; patience: validations without progress, 0 for no end."""
        self.dev, self.kept, self.checkpoint, self.metrics, self.clock, self.average = (
            dev,
            kept,
            checkpoint,
            metrics,
            clock,
            average,
        )
        self.every, self.patience, self.stop_at, self.plateau = every, patience, stop_at or math.inf, plateau
        self.last, self.waited, self.best = 0, 0, -math.inf

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not update_ends(trainer, batch_idx):
            return
        due = trainer.global_step % self.every == 0 if self.every else epoch_ends(trainer, batch_idx)
        if due or training_ends(trainer, batch_idx):
            self.validate(trainer, pl_module)

    def validate(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """One look; the weights are the moving average where there is one."""
        assert isinstance(module, TrainingModule)
        module.require_finite()  # before anything is kept
        place: AbstractContextManager[None] = self.average.in_place() if self.average else nullcontext()
        with self.clock.paused():
            with place:
                loss, score = self.dev.figures(module)
                if not self.checkpoint.path.exists():  # weights without one could not be gone on with
                    self.checkpoint.save(trainer)
                best = self.kept.add(trainer.global_step, score, loss, module.model)
            self.last, self.waited = trainer.global_step, 0 if best else self.waited + 1
            self.best = max(self.best, score)
            if self.plateau:
                self.plateau.tell(score)
            seconds, processor = self.clock.read()
            self.metrics.write(
                update=trainer.global_step,
                epoch=trainer.current_epoch + 1,
                seconds=seconds,
                processor_seconds=processor,
                dev_loss=loss,
                dev_score=score,
            )
            log.info(
                "update %d  dev loss %.3f  dev %s %.2f%s",
                self.last,
                loss,
                self.dev.monitor,
                abs(score),
                "  (best)" if best else "",
            )
            self.decide(trainer)
            self.checkpoint.save(trainer)
            self.kept.drop()

    def decide(self, trainer: L.Trainer) -> None:
        """Stop when the score is reached or nothing has improved for long enough."""
        if self.best >= self.stop_at:
            log.info("training.stop_at=%g is reached", self.stop_at)
            trainer.should_stop = True
        elif self.patience and self.waited >= self.patience:
            log.info("no progress in training.patience=%d validations", self.patience)
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        plateau = self.plateau.state() if self.plateau else {}
        return {
            "last": self.last,
            "waited": self.waited,
            "best": self.best,
            "scores": dict(self.kept.scores),
            "plateau": plateau,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.last, self.waited, self.best = state_dict["last"], state_dict["waited"], state_dict["best"]
        self.kept.scores.update({int(update): tuple(figures) for update, figures in state_dict["scores"].items()})
        if self.plateau and state_dict["plateau"]:
            self.plateau.restore(state_dict["plateau"])


def finish(kept: CheckpointKeeper, dev: Dev, module: TrainingModule) -> tuple[Sequence[int], float]:
    """Put the chosen weights, or their mean, into the model and into the run. Returns the updates they come from and their score."""
    updates = kept.chosen()
    if len(updates) == 1:
        load_weights(module.model, kept.path(updates[0]))
        save_weights(dict(module.model.named_parameters()), kept.folder / WEIGHTS)
        return updates, kept.scores[updates[0]][0]
    save_weights(mean_weights([kept.path(update) for update in updates]), kept.folder / WEIGHTS)
    load_weights(module.model, kept.folder / WEIGHTS)
    return updates, dev.figures(module)[1]
