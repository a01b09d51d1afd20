"""Validation during training: dev loss and score, checks of the attention, and early stopping."""

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor, nn

from seq2seq.config import ModelConfig
from seq2seq.data.batching import Batch
from seq2seq.data.readers import Pair
from seq2seq.distributed import ranks
from seq2seq.errors import TrainingError, shortened
from seq2seq.evaluation.attention_maps import attention_health, compute_attention_maps
from seq2seq.ids import PAD
from seq2seq.runtime.words import is_blank
from seq2seq.training.averaging import MovingAverage
from seq2seq.training.callbacks import epoch_ends, training_ends, update_ends
from seq2seq.training.checkpoint import Checkpoint, CheckpointKeeper
from seq2seq.training.metrics import MetricsWriter
from seq2seq.training.module import TrainingModule
from seq2seq.training.optim import Plateau
from seq2seq.training.resources import Clock
from seq2seq.translator import Translator

log = logging.getLogger("seq2seq")

MONITORED_PAIRS = 64  # whose attention is checked: a small part of a validation's time
MONITORED_CHARACTERS = 2000  # of a target: a longer one would take as long as all the others
EXAMPLE_CHARACTERS = 300  # of a text that is logged
VALIDATIONS_IN_A_ROW = 3  # that find the same before it is logged: attention starts out uniform in every training


class AttentionMonitor:
    """Checks the attention on the first dev pairs.

    Each warning is logged once, when several validations in a row found it."""

    def __init__(self, translator: Translator, model: ModelConfig, pairs: Sequence[Pair]) -> None:
        self.translator, self.model = translator, model
        first = pairs[:MONITORED_PAIRS]
        self.pairs = [(pair.source, pair.target) for pair in first if self._is_monitored(pair)]
        self.in_a_row: Counter[str] = Counter()  # kind of warning -> validations in a row that found it

    @staticmethod
    def _is_monitored(pair: Pair) -> bool:
        """Whether a pair has attention to be checked, and writing its target costs little."""
        return not any(map(is_blank, pair)) and len(pair.target) <= MONITORED_CHARACTERS

    def check(self) -> None:
        """To be called in each validation, with the model in evaluation mode."""
        health = attention_health(self.model)
        if not health.learned:
            return
        for _, attention in compute_attention_maps(self.translator, list(self.translator.forced_decode(self.pairs))):
            health.add(attention.weights, attention.centers)
        warnings = health.warnings()
        self.in_a_row = Counter({kind: self.in_a_row[kind] + 1 for kind in warnings})
        for kind, sentence in warnings.items():
            if self.in_a_row[kind] == VALIDATIONS_IN_A_ROW:
                log.warning("attention: %s", sentence)


class DevExample(NamedTuple):
    """A dev sentence and its translation."""

    line: int  # of the dev set, from 1
    source: str
    reference: str
    hypothesis: str

    def rows(self) -> list[str]:
        """A line for each text: escaped, and no longer than EXAMPLE_CHARACTERS."""
        texts = {name: getattr(self, name) for name in ("source", "reference", "hypothesis")}
        return [f"dev {self.line}  {name:<10}  {shortened(text, EXAMPLE_CHARACTERS)}" for name, text in texts.items()]


def dev_examples(pairs: Sequence[Pair], hypotheses: Sequence[str], count: int) -> list[DevExample]:
    """`count` of the pairs with their translations, all if there are fewer; spread evenly, and always the same."""
    chosen = [(2 * k + 1) * len(pairs) // (2 * count) for k in range(count)]
    return [DevExample(i + 1, pairs[i].source, pairs[i].target, hypotheses[i]) for i in dict.fromkeys(chosen)]


class DevFigures(NamedTuple):
    """What a validation finds."""

    loss: float  # negative log-likelihood in nats per target token, without label smoothing
    score: float  # higher is better; minus the loss with training.monitor=loss
    warnings: Sequence[str] = ()  # about the outputs
    examples: Sequence[DevExample] = ()


@dataclass
class DevSet:
    """The development set, and how the current weights are scored on it."""

    batches: Callable[[], Iterable[Batch]]
    # translates the dev set; returns score, warnings about the outputs, and examples. None: the loss is the score
    decode: Callable[[], tuple[float, Sequence[str], Sequence[DevExample]]] | None
    monitor: str  # a choice of training.monitor, for messages
    attention: AttentionMonitor | None = None

    def loss(self, module: TrainingModule) -> float:
        """Negative log-likelihood in nats per target token, in the model's mode."""
        own: list[tuple[Tensor, int]] = []
        for batch in self.batches():
            moved = module.transfer_batch_to_device(batch, module.device, 0)
            own.append((module.losses(moved).nll.double(), int((batch.target_out != PAD).sum())))
        shares = ranks.gathered([(nll.item(), tokens) for nll, tokens in own])
        # in the order of the batches, so that the sum is the same for any number of devices
        found = [one for turn in zip_longest(*shares, fillvalue=(0.0, 0)) for one in turn]
        return sum(nll for nll, _ in found) / max(sum(tokens for _, tokens in found), 1)

    def loss_of(self, model: nn.Module, module: TrainingModule) -> float:
        """As `loss`, of another model, which `module` gets in place of its own."""
        module.model = model.to(module.device).eval()
        with torch.inference_mode():
            return self.loss(module)

    def evaluate(self, module: TrainingModule) -> DevFigures:
        """The figures of the model's weights. Raises TrainingError if the loss is not finite."""
        training, model = module.training, module.model
        model.eval()
        with torch.inference_mode():
            loss = self.loss(module)
        if not math.isfinite(loss):
            raise TrainingError(
                f"the dev loss is {loss}, these weights are not kept; lower training.learning_rate or set training.clip"
            )
        score, warnings, examples = (-loss, (), ()) if self.decode is None else self.decode()
        if self.attention:
            self.attention.check()
        model.train(training)
        return DevFigures(loss, score, warnings, examples)


@dataclass
class EarlyStopping:
    """Ends training once a score is reached, or once validations no longer improve."""

    patience: int  # validations without improvement; 0: no limit
    stop_at: float  # score; 0: none
    best: float = -math.inf  # score
    waited: int = 0  # validations since the last improvement

    def step(self, score: float, improved: bool) -> None:
        """Take a validation into account; improved: its weights are the best so far."""
        self.best = max(self.best, score)
        self.waited = 0 if improved else self.waited + 1

    def stop_reason(self) -> str | None:
        """Why training should stop now; None if it should not."""
        if self.stop_at and self.best >= self.stop_at:
            return f"training.stop_at={self.stop_at:g} is reached"
        if self.patience and self.waited >= self.patience:
            return f"no improvement in training.patience={self.patience} validations"
        return None


class Validation(L.Callback):
    """Evaluates the dev set every few updates and after the last one, keeps checkpoints, and stops early."""

    def __init__(
        self,
        dev: DevSet,
        keeper: CheckpointKeeper,
        checkpoint: Checkpoint,
        metrics: MetricsWriter,
        clock: Clock,
        *,
        every: int,
        stopping: EarlyStopping,
        average: MovingAverage | None,
        plateau: Plateau | None,
    ) -> None:
        """every: updates between validations, 0 for the end of each epoch; average: evaluated and kept instead of the
        model's own weights; plateau: is given each score."""
        self.dev, self.keeper, self.checkpoint, self.metrics, self.clock = dev, keeper, checkpoint, metrics, clock
        self.every, self.stopping, self.average, self.plateau = every, stopping, average, plateau
        self.last_update = 0  # that was validated
        self.warnings: Sequence[str] = ()  # about the outputs of the best weights

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not update_ends(trainer, batch_idx):
            return
        due = trainer.global_step % self.every == 0 if self.every else epoch_ends(trainer, batch_idx)
        if due or training_ends(trainer, batch_idx):
            self.validate(trainer, pl_module)

    def validate_final(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Validate after training unless that was done: a resumed run may have reached its limit already."""
        if self.last_update < trainer.global_step:
            self.validate(trainer, module)

    def validate(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """One validation of the model's weights, or of their moving average; the training clock stands still."""
        assert isinstance(module, TrainingModule)
        update = trainer.global_step
        with self.clock.paused():
            with self._averaged():
                figures = self.dev.evaluate(module)
            self.checkpoint.save_first(trainer)  # a run with weights but no checkpoint could not be resumed
            with self._averaged():
                best = self.keeper.add(update, figures.score, figures.loss, module.model)
            self.last_update = update
            self.warnings = figures.warnings if best else self.warnings
            self.stopping.step(figures.score, best)
            if self.plateau:
                self.plateau.step(figures.score)
            self._report(trainer, figures, best)
            reason = self.stopping.stop_reason()
            if reason:
                log.info("%s", reason)
                trainer.should_stop = True
            self.checkpoint.save(trainer)

    def _averaged(self) -> AbstractContextManager[None]:
        """A context in which the model has the weights that are evaluated and kept."""
        return self.average.in_place() if self.average else nullcontext()

    def _report(self, trainer: L.Trainer, figures: DevFigures, best: bool) -> None:
        elapsed = self.clock.read_all()
        self.metrics.write(
            update=trainer.global_step,
            epoch=trainer.current_epoch + 1,
            seconds=elapsed.seconds,
            processor_seconds=elapsed.cpu_seconds,
            dev_loss=figures.loss,
            dev_score=figures.score,
        )
        log.info(
            "update %d  dev loss %.3f  dev %s %.2f%s",
            trainer.global_step,
            figures.loss,
            self.dev.monitor,
            abs(figures.score),
            "  (best)" if best else "",
        )
        rows = [row for example in figures.examples for row in example.rows()]
        for row in rows:
            log.info("%s", row)
        self.metrics.write_text(trainer.global_step, rows)

    def state_dict(self) -> dict[str, Any]:
        return {
            "last": self.last_update,
            "waited": self.stopping.waited,
            "best": self.stopping.best,
            "scores": dict(self.keeper.scores),
            "plateau": self.plateau.state_dict() if self.plateau else {},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.last_update = state_dict["last"]
        self.stopping.waited, self.stopping.best = state_dict["waited"], state_dict["best"]
        self.keeper.scores.update({int(update): tuple(figures) for update, figures in state_dict["scores"].items()})
        self.keeper.named = [set(self.keeper.scores)]
        if self.plateau and state_dict["plateau"]:
            self.plateau.load_state_dict(state_dict["plateau"])
