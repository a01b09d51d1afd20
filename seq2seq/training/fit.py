"""Fitting a model to prepared text with Lightning: the loop, its callbacks, and the weights that are the result."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L

from seq2seq.config import Config, TrainingConfig
from seq2seq.data.batching import BatchOptions, TrainBatches, eval_batches, largest_eval_batch
from seq2seq.data.prepare import Prepared
from seq2seq.distributed import ranks
from seq2seq.errors import TrainingError
from seq2seq.evaluation.metrics import score, sentence_metric
from seq2seq.evaluation.output_health import output_warnings
from seq2seq.nn.build import EncoderDecoder
from seq2seq.nn.cuda_graphs import CUDAGraphRecorder
from seq2seq.nn.ops.devices import memory_errors
from seq2seq.runs.directory import INFO, LAST, PREVIOUS, read_info
from seq2seq.runs.weights import load_weights, save_weights
from seq2seq.runtime.signals import Interrupted
from seq2seq.training.averaging import MovingAverage, mean_weights
from seq2seq.training.callbacks import Log, ResumedProgress, TimeLimit
from seq2seq.training.checkpoint import (
    Checkpoint,
    CheckpointKeeper,
    PlainCheckpointIO,
    SaveTimes,
    read_checkpoint,
    weights_name,
)
from seq2seq.training.checks import metric_tokenizers, monitored_metric, uses_gpu
from seq2seq.training.divergence import FinalLoss, divergence_error
from seq2seq.training.footprint import units
from seq2seq.training.loss import GUIDED_LOSSES, Guidance, LossOptions
from seq2seq.training.metrics import MetricsWriter, NoMetrics
from seq2seq.training.module import TrainingModule
from seq2seq.training.optim import OPTIMIZERS, SCHEDULES, OptimizerOptions, Plateau, ScheduleOptions, parameter_groups
from seq2seq.training.progress import TrainingLimits, TrainingProgress
from seq2seq.training.resources import Clock, reset_peak_memory, resources_used
from seq2seq.training.trial import Trial
from seq2seq.training.validation import (
    AttentionMonitor,
    DevExample,
    DevFigures,
    DevSet,
    EarlyStopping,
    Validation,
    dev_examples,
)
from seq2seq.translator import Translator
from seq2seq.utils.files import write_json
from seq2seq.utils.overrides import resume_word

log = logging.getLogger("seq2seq")

PREFETCH = 4  # batches that are prepared while a GPU trains on others
# trainer.precision -> precision of Lightning: weights in float32, bf16 and 16 by autocast
LIGHTNING_PRECISION: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


class TrainingData(L.LightningDataModule):
    """The training batches. They have a `state_dict`, so each checkpoint records which of them were consumed."""

    def __init__(self, batches: TrainBatches) -> None:
        super().__init__()
        self.batches = batches

    def train_dataloader(self) -> TrainBatches:
        return self.batches


def fit(
    folder: Path, config: Config, prepared: Prepared, model: EncoderDecoder, untrained: Callable[[], EncoderDecoder]
) -> None:
    """Train until a limit is reached, save the weights of the result, and mark the run as finished.

    Resumes from the last checkpoint of the run directory `folder` if it has one. untrained: builds the model as it was
    before its first update.
    Raises Interrupted after a signal, once the state is saved, and TrainingError for a loss that is not finite,
    if memory runs out, and, once the result is saved, for a training that has diverged."""
    reset_peak_memory()
    t, last = config.training, folder / LAST
    batches = make_batches(config, prepared, model)
    schedule = schedule_options(t, batches.updates_per_epoch)
    plateau = Plateau(t.plateau_patience, t.plateau_factor) if t.schedule == "plateau" else None
    module = make_module(config, model, schedule, plateau)

    clock, average = Clock(), MovingAverage(model, t.ema) if t.ema else None
    is_main = ranks.rank() == 0
    metrics = (MetricsWriter if is_main else NoMetrics)(folder, resume_point(last))
    shown = config.trainer.progress if is_main else "none"
    progress = TrainingProgress(TrainingLimits(schedule.total, t.max_minutes), shown)
    dev, keeper = make_dev_set(config, prepared, model), CheckpointKeeper(folder, t.keep, t.average)
    times = SaveTimes(t.save_every, t.save_minutes, config.trainer.wall_minutes)
    checkpoint = Checkpoint(folder, read_info(folder).get("id", ""), keeper, times)
    stopping = EarlyStopping(t.patience, t.stop_at)
    validation = Validation(
        dev, keeper, checkpoint, metrics, clock,
        every=t.validate_every, stopping=stopping, average=average, plateau=plateau,
    )  # fmt: skip
    training_log = Log(metrics, progress, clock, batches, config.trainer.log_every)
    # in this order: validation evaluates the updated average, and a signal is acted on after validation
    averaging = [average] if average else []
    copying, longest = model.head.reads_weights, config.data.max_tokens + 1
    largest_dev = partial(largest_eval_batch, prepared.dev, t.batch_tokens, max_length=longest, copying=copying)
    activations = units(config.model) + prepared.vocabularies.target.size
    # a run that goes on may split batches that are too large
    trial = [] if last.exists() else [Trial(t, batches.largest, largest_dev, activations)]
    callbacks = [
        *trial,
        ResumedProgress(batches),
        clock,
        *averaging,
        training_log,
        TimeLimit(clock, t.max_minutes),
        validation,
        checkpoint,
    ]
    trainer = make_trainer(folder, config, callbacks)
    try:
        with training_errors(t.batch_tokens):
            start = last if last.exists() else None
            trainer.fit(module, datamodule=TrainingData(batches), ckpt_path=start, weights_only=True)
    finally:
        progress.stop()
    if checkpoint.stop_signal is not None:
        ranks.gathered(None)  # rank 0 has saved: the launcher ends all processes once one has ended
        log.info("stopped at update %d; resume with: seq2seq train %s", trainer.global_step, resume_word(folder))
        raise Interrupted(checkpoint.stop_signal)

    module.to(trainer.strategy.root_device)  # Lightning has moved it to the CPU
    validation.validate_final(trainer, module)
    updates, figures = save_result(keeper, dev, module)
    vocabulary = prepared.vocabularies.target.size
    loss = FinalLoss(figures.loss, training_log.recent_loss(module), trainer.global_step, vocabulary)
    diverged = loss.diverged(lambda: dev.loss_of(untrained(), module))
    info = {
        "finished": True,
        **({"diverged": True} if diverged else {}),
        "updates": trainer.global_step,
        "weights_from": list(updates),
        "dev_score": figures.score,
        "target_tokens": training_log.total_tokens(module),
        "batches": batches.checksum,
        "skipped_updates": module.skipped.count,
        "split_batches": int(ranks.total(module.split_batches)[0]),
    }
    resources = resources_used(model, clock)
    if is_main:
        write_json(folder / INFO, read_info(folder) | info | resources)
        (folder / PREVIOUS).unlink(missing_ok=True)  # of use only to a training that goes on
        keeper.remove_unwanted()
    if diverged:
        raise divergence_error(loss, config, folder)
    names = " + ".join(str(update) for update in updates)
    for sentence in validation.warnings:
        log.warning("dev outputs: %s", sentence)
    log.info("finished: dev %s %.2f with the weights of update %s; %s", t.monitor, abs(figures.score), names, folder)


def resume_point(last: Path) -> int:
    """The update that the run resumes after, which is logged; 0 without a checkpoint `last`."""
    updates = int(read_checkpoint(last)["global_step"]) if last.exists() else 0
    if updates:
        log.info("resuming after update %d", updates)
    return updates


def make_batches(config: Config, prepared: Prepared, model: EncoderDecoder) -> TrainBatches:
    """The training batches in the order of the seed; with tokenizer.sampling each epoch has a new segmentation."""
    t = config.training
    limits = model.max_source or math.inf, model.max_target or math.inf
    sampling = config.tokenizer.sampling
    return TrainBatches(
        prepared.sampled_corpus(alpha=sampling, seed=config.seed, limits=limits) if sampling else prepared.train,
        t.batch_tokens,
        config.seed,
        BatchOptions(model.head.reads_weights, t.guided_alignment > 0, t.pad_to_multiple_of),
        accumulate=t.accumulate // ranks.world_size(),
        rank=ranks.rank(),
        world=ranks.world_size(),
        prefetch=PREFETCH if uses_gpu(config.trainer) else 0,
        count_sentences=t.normalization == "sentences",
    )


def schedule_options(t: TrainingConfig, updates_per_epoch: int) -> ScheduleOptions:
    """The lengths that the learning rate schedule depends on; `total` by max_updates or max_epochs, the earlier one."""
    total = min(t.max_updates or math.inf, t.max_epochs * updates_per_epoch or math.inf)
    return ScheduleOptions(
        warmup=t.warmup,
        total=0 if total == math.inf else int(total),
        halve_from=t.halve_from,
        halve_every=t.halve_every,
    )


def make_module(
    config: Config, model: EncoderDecoder, schedule: ScheduleOptions, plateau: Plateau | None
) -> TrainingModule:
    """The model with its loss, optimizer and schedule."""
    t = config.training
    hyperparameters = OptimizerOptions(
        learning_rate=t.learning_rate,
        beta1=t.beta1,
        beta2=t.beta2,
        weight_decay=t.weight_decay,
        fused=config.trainer.precision != "16",
    )
    guidance = Guidance(GUIDED_LOSSES[t.guided_loss], t.guided_alignment) if t.guided_alignment else None

    def rate_factor(update: int) -> float:
        return SCHEDULES[t.schedule](update, schedule) * (plateau.scale if plateau else 1.0)

    return TrainingModule(
        model,
        lambda m: OPTIMIZERS[t.optimizer](parameter_groups(m, t.weight_decay, t.learning_rate), hyperparameters),
        rate_factor,
        LossOptions(t.label_smoothing, t.coverage_loss, guidance),
        CUDAGraphRecorder() if config.trainer.graphs else None,
        t.max_skipped,
    )


def make_trainer(folder: Path, config: Config, callbacks: list[L.Callback]) -> L.Trainer:
    """Lightning's loop, without its own checkpoints, loggers, progress bars and samplers: ours replace them."""
    t = config.training
    return L.Trainer(
        default_root_dir=folder,
        accelerator=config.trainer.accelerator,
        devices=[ranks.local_rank()] if uses_gpu(config.trainer) and ranks.world_size() > 1 else 1,
        precision=LIGHTNING_PRECISION[config.trainer.precision],
        max_steps=t.max_updates or -1,
        max_epochs=t.max_epochs or -1,
        accumulate_grad_batches=t.accumulate // ranks.world_size(),
        gradient_clip_val=t.clip or None,
        plugins=[PlainCheckpointIO()],
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
    )


def make_dev_set(config: Config, prepared: Prepared, model: EncoderDecoder) -> DevSet:
    """The dev set, decoded by the same code and with the same settings as a test set."""
    t = config.training
    truncate = config.data.truncate_source
    translator = Translator([model], prepared.vocabularies, config.search, truncate=truncate, shared=True)
    pairs = prepared.dev_pairs[: t.dev_lines or None]
    references = [[pair.target for pair in pairs]]
    metric, tokenizers = monitored_metric(t.monitor), metric_tokenizers(config)

    def decode() -> tuple[float, Sequence[str], Sequence[DevExample]]:
        sources = [pair.source for pair in pairs]
        hypotheses = translator.translate(sources)
        warnings = output_warnings(sources, hypotheses, references[0], sentence_metric([metric]))
        value = score(hypotheses, references, [metric], **tokenizers, bootstrap=0)[0].value
        return value, [*warnings.values()], dev_examples(pairs, hypotheses, t.show)

    batches = partial(
        eval_batches,
        prepared.dev,
        t.batch_tokens,
        max_length=config.data.max_tokens + 1,
        rank=ranks.rank(),
        world=ranks.world_size(),
        copying=model.head.reads_weights,
    )
    monitor = AttentionMonitor(translator, config.model, prepared.dev_pairs)
    return DevSet(batches, None if t.monitor == "loss" else decode, t.monitor, monitor)


@contextmanager
def training_errors(batch_tokens: int) -> Iterator[None]:
    """Raises TrainingError, naming what to lower, if memory runs out, and KeyboardInterrupt for a second Ctrl-C."""
    try:
        advice = f"lower training.batch_tokens={batch_tokens}, and raise training.accumulate to match, in a new run"
        with memory_errors(advice, TrainingError):
            yield
    except SystemExit as end:  # what Lightning makes of KeyboardInterrupt
        raise end.__context__ if isinstance(end.__context__, KeyboardInterrupt) else KeyboardInterrupt() from None


def save_result(keeper: CheckpointKeeper, dev: DevSet, module: TrainingModule) -> tuple[Sequence[int], DevFigures]:
    """Write the weights of the result, or their mean, to the run's weights.safetensors and into the model.

    Returns the updates that they come from, and their dev figures."""
    updates = keeper.result_updates()
    ranks.gathered(None)  # rank 0 has written the weights
    if len(updates) == 1:
        load_weights(module.model, keeper.folder, weights_name(updates[0]))
        if not ranks.rank():
            save_weights(dict(module.model.named_parameters()), keeper.folder)
        score, negative_loss = keeper.scores[updates[0]]
        return updates, DevFigures(-negative_loss, score)
    if not ranks.rank():
        names = [weights_name(update) for update in updates]
        save_weights(mean_weights(module.model, keeper.folder, names), keeper.folder)
    ranks.gathered(None)
    load_weights(module.model, keeper.folder)
    return updates, dev.evaluate(module)
