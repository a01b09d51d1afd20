"""How is a model fitted to prepared text? Everything that is Lightning's is put together here."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch

from seq2seq.config import Config, TrainingConfig
from seq2seq.data.batching import BatchOptions, TrainBatches, eval_batches
from seq2seq.data.prepare import Prepared
from seq2seq.errors import TrainingError
from seq2seq.evaluation.metrics import score
from seq2seq.nn.build import EncoderDecoder
from seq2seq.nn.cuda_graphs import CUDAGraphRecorder
from seq2seq.runs.checkpoint import read_checkpoint
from seq2seq.runs.directory import INFO, LAST, read_info
from seq2seq.training.averaging import MovingAverage
from seq2seq.training.callbacks import Log, RandomState, TimeLimit
from seq2seq.training.checkpoint import Checkpoint, PlainFile
from seq2seq.training.checks import metric_of, on_gpu
from seq2seq.training.loss import GUIDED_LOSSES, Guidance
from seq2seq.training.metrics import Metrics
from seq2seq.training.module import TrainingModule
from seq2seq.training.optim import OPTIMIZERS, SCHEDULES, Plateau, Rates, Schedule, decayed
from seq2seq.training.progress import Progress, TrainingLimits
from seq2seq.training.resources import Clock, forget_peaks, parameters, peaks
from seq2seq.training.validation import CheckpointKeeper, Dev, Validation, Watch, finish
from seq2seq.translator import Translator
from seq2seq.utils.files import write_json


class TrainingData(L.LightningDataModule):
    """The training batches; what was consumed is saved with each checkpoint, since they have a state_dict."""

    def __init__(self, batches: TrainBatches) -> None:
        super().__init__()
        self.batches = batches

    def train_dataloader(self) -> TrainBatches:
        return self.batches


log = logging.getLogger("seq2seq")
PREFETCH = 4  # batches prepared ahead of a GPU
# trainer.precision -> precision of Lightning: weights in float32, bf16 and 16 by autocast
LIGHTNING_PRECISION: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def fit(folder: Path, config: Config, prepared: Prepared, model: EncoderDecoder) -> None:
    """Train it to one of its limits, score the dev set with the weights to keep, and say in run.json that the run is finished.

    KeyboardInterrupt after a signal, once the state is saved; TrainingError for what the machine cannot hold."""
    forget_peaks()
    t, last = config.training, folder / LAST
    batches = make_batches(config, prepared, model)
    course = make_course(t, batches.updates_per_epoch)
    plateau = Plateau(t.plateau_patience, t.plateau_factor) if t.schedule == "plateau" else None
    module = make_module(config, model, course, plateau)
    clock, average = Clock(), MovingAverage(model, t.ema) if t.ema else None
    metrics = Metrics(folder, begin(last))
    progress = Progress(TrainingLimits(course.total, t.max_minutes), config.trainer.progress)
    checkpoint = Checkpoint(folder, read_info(folder).get("id", ""), log.info)
    dev, kept = make_dev(config, prepared, model), CheckpointKeeper(folder, t.keep, t.average)
    validation = Validation(
        dev, kept, checkpoint, metrics, clock, average, every=t.validate_every, patience=t.patience, stop_at=t.stop_at, plateau=plateau
    )  # fmt: skip
    averaging = [average] if average else []
    figures = Log(metrics, progress, clock, batches, config.trainer.log_every)
    looking = [figures, TimeLimit(clock, t.max_minutes, log.info), validation]
    trainer = make_trainer(folder, config, [clock, *averaging, RandomState(), *looking, checkpoint])
    try:
        with full_memory_told(t.batch_tokens):
            trainer.fit(
                module, datamodule=TrainingData(batches), ckpt_path=last if last.exists() else None, weights_only=True
            )
    finally:
        progress.stop()
    if checkpoint.signal is not None:
        log.info("stopped at update %d; go on with: seq2seq train resume=%s", trainer.global_step, folder)
        raise KeyboardInterrupt
    module.to(trainer.strategy.root_device)  # from where Lightning has taken it
    if validation.last < trainer.global_step:  # resumed with a limit that was already reached
        validation.validate(trainer, module)
    updates, final = finish(kept, dev, module)
    reached = {"finished": True, "updates": trainer.global_step, "weights_from": list(updates), "dev_score": final}
    seen = {"parameters": parameters(model), "target_tokens": figures.tokens(module), "batches": batches.checksum}
    took = {"seconds": clock.read()[0], "processor_seconds": clock.read()[1], **peaks()}
    write_json(folder / INFO, read_info(folder) | reached | seen | took)
    log.info(
        "finished: dev %s %.2f with the weights of update %s; %s",
        t.monitor,
        abs(final),
        " + ".join(map(str, updates)),
        folder,
    )


def begin(last: Path) -> int:
    """The update that training goes on after, told if it is not the first."""
    done = int(read_checkpoint(last)["global_step"]) if last.exists() else 0
    if done:
        log.info("going on after update %d", done)
    return done


def make_batches(config: Config, prepared: Prepared, model: EncoderDecoder) -> TrainBatches:
    """The training pairs in the order of the seed, segmented anew in each epoch where subwords are sampled."""
    t = config.training
    limits = model.max_source or math.inf, model.max_target or math.inf
    sampling = config.tokenizer.sampling
    return TrainBatches(
        prepared.sampled_corpus(sampling, config.seed, limits) if sampling else prepared.train,
        t.batch_tokens,
        config.seed,
        BatchOptions(model.head.reads_weights, t.guided_alignment > 0, t.pad_to_multiple_of),
        accumulate=t.accumulate,
        prefetch=PREFETCH if on_gpu(config.trainer) else 0,
        count_sentences=t.normalization == "sentences",
    )


def make_course(t: TrainingConfig, updates: int) -> Schedule:
    """What a schedule goes by; an epoch has `updates`."""
    total = min(t.max_updates or math.inf, t.max_epochs * updates or math.inf)
    return Schedule(t.warmup, 0 if total == math.inf else int(total), t.halve_from, t.halve_every)


@contextmanager
def full_memory_told(batch_tokens: int) -> Iterator[None]:
    """TrainingError, with what to lower, where the memory is full; a second Ctrl-C stays one."""
    try:
        yield
    except SystemExit:  # Lightning's answer to it
        raise KeyboardInterrupt from None
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise TrainingError(
                f"memory is full: lower training.batch_tokens={batch_tokens}, and raise accumulate to match"
            ) from error
        raise


def make_module(config: Config, model: EncoderDecoder, course: Schedule, plateau: Plateau | None) -> TrainingModule:
    """The model with its loss, optimizer and schedule."""
    t = config.training
    rates = Rates(t.learning_rate, t.beta1, t.beta2, t.weight_decay, fused=config.trainer.precision != "16")
    return TrainingModule(
        model,
        lambda m: OPTIMIZERS[t.optimizer](decayed(m, t.weight_decay), rates),
        lambda update: SCHEDULES[t.schedule](update, course) * (plateau.rate if plateau else 1.0),
        t.label_smoothing,
        t.coverage_loss,
        CUDAGraphRecorder() if config.trainer.graphs else None,
        Guidance(GUIDED_LOSSES[t.guided_loss], t.guided_alignment) if t.guided_alignment else None,
    )


def make_trainer(folder: Path, config: Config, callbacks: list[L.Callback]) -> L.Trainer:
    """Lightning's loop with its own savers, loggers, bars and samplers off: ours do that."""
    t = config.training
    return L.Trainer(
        default_root_dir=folder, accelerator=config.trainer.accelerator, devices=config.trainer.devices,
        precision=LIGHTNING_PRECISION[config.trainer.precision], max_steps=t.max_updates or -1, max_epochs=t.max_epochs or -1,
        accumulate_grad_batches=t.accumulate, gradient_clip_val=t.clip or None, plugins=[PlainFile()],
        callbacks=callbacks, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False, num_sanity_val_steps=0, reload_dataloaders_every_n_epochs=1,
    )  # fmt: skip


def make_dev(config: Config, prepared: Prepared, model: EncoderDecoder) -> Dev:
    """The dev set, decoded by the same code and with the same settings as a test set."""
    t = config.training
    translator = Translator([model], prepared.vocabularies, config.search, truncate=config.data.truncate_source)
    pairs = prepared.dev_pairs[: t.dev_lines or None]
    references = [[pair.target for pair in pairs]]

    def decode() -> float:
        hypotheses = translator.translate(pair.source for pair in pairs)
        return score(hypotheses, references, [metric_of(t.monitor)], language=config.data.target, bootstrap=0)[0].value

    batches = partial(
        eval_batches, prepared.dev, t.batch_tokens, longest=config.data.max_tokens + 1, copying=model.head.reads_weights
    )
    watch = Watch(translator, config.model, prepared.dev_pairs)
    return Dev(batches, None if t.monitor == "loss" else decode, t.monitor, watch)
