"""What does a training do, from settings to a finished run directory? Everything is built here, in the order of the data."""

import logging
import math
import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import lightning as L
import torch
from torch import nn

from seq2seq.config import Config
from seq2seq.data.batch import TrainBatches, eval_batches
from seq2seq.data.module import TrainingData
from seq2seq.data.prepare import Prepared, prepare, reopen
from seq2seq.data.sampled import SampledCorpus
from seq2seq.errors import RunError, TrainingError
from seq2seq.evaluation.metrics import score
from seq2seq.files import write_json
from seq2seq.nn.build import EncoderDecoder, build_model, check_model
from seq2seq.nn.recording import CUDAGraphs
from seq2seq.process import available_cores
from seq2seq.runs import CONFIG, INFO, LAST, WEIGHTS, Run, check_fit, load_weights, locked, read_info, run_directory, tensors, versions
from seq2seq.settings import differences, write_config
from seq2seq.training.averaging import MovingAverage
from seq2seq.training.budget import sized
from seq2seq.training.callbacks import Average, Checkpoint, Log, PlainFile, RandomState, TimeLimit, seed_everything
from seq2seq.training.checks import check_attention, check_device, check_lengths, check_limits, check_monitor, metric_of, on_gpu
from seq2seq.training.clock import Clock
from seq2seq.training.costs import forget_peaks, parameters, peaks
from seq2seq.training.health import Watch
from seq2seq.training.log import logging_to
from seq2seq.training.loss import GUIDED_LOSSES, Guidance
from seq2seq.training.metrics import Metrics
from seq2seq.training.module import TrainingModule
from seq2seq.training.optimizer import OPTIMIZERS, Rates, decayed
from seq2seq.training.progress import Limits, Progress
from seq2seq.training.schedule import SCHEDULES, Course, Plateau
from seq2seq.training.validation import Dev, Kept, Validation, finish
from seq2seq.translator import Translator

log = logging.getLogger("seq2seq")
EARLY = 4  # batches that are made while a GPU learns from others
THESE = "the model of these settings"  # what weights to start from are expected to fit
PRECISION: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


class Plan(NamedTuple):
    """A training that has not begun."""

    config: Config
    prepared: Prepared
    start: Run | None  # whose weights it begins with
    folder: Path  # the run directory, which may be there already


def train(config: Config) -> Path:
    """Make a new run directory and train in it. ConfigError before any work for settings that cannot be; returns the directory.

    Whatever can be found wrong is found here; `work` then needs nothing but the directory and the prepared text in the cache."""
    plan = planned(config)
    plan.prepared.tell()
    refuse_existing(plan.folder)
    if not make_directory(plan):
        refuse_existing(plan.folder)
    with locked(plan.folder):
        return work(plan.folder)


def planned(config: Config) -> Plan:
    """The prepared text, and where the run of these settings belongs. ConfigError for settings that cannot be."""
    config.search.check_limit(check_model(config.model).max_source)
    check_limits(config.training)
    check_attention(config)
    check_device(config.trainer)
    config, start = starting(config)
    prepared = prepare(config.data, config.tokenizer, start.vocabularies if start else None, config.training.guided_alignment > 0)
    config = replace(config, model=sized(config.model, prepared.vocabularies.source.size, prepared.vocabularies.target.size))
    return Plan(config, prepared, start, run_directory(config, prepared.data_hash + prepared.links_hash))


def refuse_existing(folder: Path) -> None:
    """RunError if it is there: a finished run is never overwritten, an unfinished one never begun anew."""
    if folder.exists():
        if folder.joinpath(INFO).is_file() and read_info(folder).get("finished"):
            raise RunError(f"{folder} exists and is finished: delete it, or change a setting or the seed")
        raise RunError(f"{folder} exists: resume={folder} goes on with it")


def check_plan(config: Config, prepared: Prepared, start: Run | None) -> None:
    """Whether the text and the weights of `start` fit the model."""
    model = check_model(config.model, prepared.vocabularies.source.size, prepared.vocabularies.target.size)
    check_lengths(model, prepared, config.training.pad_to_multiple_of)
    if start:
        with tensors(start.folder / WEIGHTS) as file:
            check_fit(model, file, start.folder / WEIGHTS, THESE)


def starting(config: Config) -> tuple[Config, Run | None]:
    """The run of init_from, and the settings with its tokenizer, without which its weights mean nothing; tells what differs."""
    if not config.init_from:
        return config, None
    run = Run.open(config.init_from)
    for name, theirs, ours in differences(run.config, config):
        own = name.startswith("tokenizer.") and name != "tokenizer.sampling"
        log.info("init_from brings its tokenizer: %s=%s, not %s" if own else "differs from init_from: %s %s -> %s", name, theirs, ours)
    return replace(config, tokenizer=replace(run.config.tokenizer, sampling=config.tokenizer.sampling)), run


def make_directory(plan: Plan) -> bool:
    """The directory with settings and tokenizer, once these fit the text; there as a whole or not at all. False if another
    process was first."""
    config, prepared, start, folder = plan
    check_monitor(config, prepared)
    check_plan(config, prepared, start)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    temporary.mkdir(parents=True)
    try:
        write_config(config, temporary / CONFIG)
        prepared.vocabularies.save(temporary)
        info = {
            "id": uuid4().hex, "started": datetime.now(UTC).isoformat(timespec="seconds"), "versions": versions(), "seed": config.seed,
            "data": prepared.data_hash, "tokenizer": prepared.vocabularies.sha256, "corpus": prepared.report, "finished": False,
        }  # fmt: skip
        info |= {"links": prepared.links_hash} if prepared.links_hash else {}
        write_json(temporary / INFO, info)
        os.replace(temporary, folder)
    except OSError:
        if not folder.exists():
            raise
        return False
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return True


def make_model(config: Config, prepared: Prepared, start: Run | None) -> EncoderDecoder:
    """The model before its first update, from the seed or with the weights of `start`; all random numbers start here."""
    torch.set_num_threads(config.trainer.threads or available_cores())
    seed_everything(config.seed)
    model = build_model(config.model, prepared.vocabularies.source.size, prepared.vocabularies.target.size)
    if start:
        load_weights(model, start.folder / WEIGHTS, THESE)
    return model


def work(folder: Path) -> Path:
    """Train in an existing run directory that is locked, from its last checkpoint where it has one."""
    run = Run.open(folder)
    config, begun = run.config, (folder / LAST).exists()  # its weights are then those of the checkpoint
    vocabularies = run.vocabularies if config.init_from else None
    prepared = reopen(config.data, config.tokenizer, run.info["data"], vocabularies, run.info.get("links", ""))
    model = make_model(config, prepared, Run.open(config.init_from) if config.init_from and not begun else None)
    with logging_to(folder / "log.txt"):
        log.info("run directory: %s", folder)
        for line in parameter_table(model):
            log.info("%s", line)
        fit(folder, config, prepared, model)
    return folder


def fit(folder: Path, config: Config, prepared: Prepared, model: EncoderDecoder) -> None:
    """Everything that is Lightning's."""
    forget_peaks()
    t, last = config.training, folder / LAST
    corpus = sampled(config, prepared, model) if config.tokenizer.sampling else prepared.train
    batches = TrainBatches(
        corpus, t.batch_tokens, config.seed, accumulate=t.accumulate, copying=model.head.reads_weights, multiple=t.pad_to_multiple_of,
        early=EARLY if on_gpu(config.trainer) else 0, guided=t.guided_alignment > 0,
        sentences=t.normalization == "sentences",
    )  # fmt: skip
    total = min(t.max_updates or math.inf, t.max_epochs * batches.updates or math.inf)
    plateau = Plateau(t.plateau_patience, t.plateau_factor) if t.schedule == "plateau" else None
    course = Course(t.warmup, 0 if total == math.inf else int(total), t.halve_from, t.halve_every)
    module = make_module(config, model, course, plateau)
    clock, average = Clock(), MovingAverage(model, t.ema) if t.ema else None
    metrics = Metrics(folder, read_checkpoint(last)["global_step"] if last.exists() else 0)
    progress = Progress(Limits(course.total, t.max_minutes), config.trainer.progress)
    checkpoint = Checkpoint(folder, read_info(folder).get("id", ""), log.info)
    dev, kept = make_dev(config, prepared, model), Kept(folder, t.keep, t.average)
    validation = Validation(
        dev, kept, checkpoint, metrics, clock, average, every=t.validate_every, patience=t.patience, stop_at=t.stop_at, plateau=plateau
    )  # fmt: skip
    averaging = [Average(average)] if average else []
    figures = Log(metrics, progress, clock, batches, config.trainer.log_every)
    looking = [figures, TimeLimit(clock, t.max_minutes, log.info), validation]
    callbacks: list[L.Callback] = [clock, *averaging, RandomState(), *looking, checkpoint]
    trainer = make_trainer(folder, config, callbacks)
    try:
        trainer.fit(module, datamodule=TrainingData(batches), ckpt_path=last if last.exists() else None, weights_only=True)
    except SystemExit:  # Lightning's answer to a second Ctrl-C
        raise KeyboardInterrupt from None
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise TrainingError(f"memory is full: lower training.batch_tokens={t.batch_tokens}, and raise accumulate to match") from error
        raise
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
    log.info("finished: dev %s %.2f with the weights of update %s; %s", t.monitor, abs(final), " + ".join(map(str, updates)), folder)


def make_module(config: Config, model: EncoderDecoder, course: Course, plateau: Plateau | None) -> TrainingModule:
    """The model with its loss, optimizer and schedule."""
    t = config.training
    rates = Rates(t.learning_rate, t.beta1, t.beta2, t.weight_decay, fused=config.trainer.precision != "16")
    return TrainingModule(
        model,
        lambda m: OPTIMIZERS[t.optimizer](decayed(m, t.weight_decay), rates),
        lambda update: SCHEDULES[t.schedule](update, course) * (plateau.rate if plateau else 1.0),
        t.label_smoothing,
        t.coverage_loss,
        CUDAGraphs() if config.trainer.graphs else None,
        Guidance(GUIDED_LOSSES[t.guided_loss], t.guided_alignment) if t.guided_alignment else None,
    )


def sampled(config: Config, prepared: Prepared, model: EncoderDecoder) -> SampledCorpus:
    """The training pairs, segmented anew in each epoch, within what the model has positions for."""
    limits = model.max_source or math.inf, model.max_target or math.inf
    return prepared.sampled(config.tokenizer.sampling, config.seed, limits)


def make_trainer(folder: Path, config: Config, callbacks: list[L.Callback]) -> L.Trainer:
    """Lightning's loop with its own savers, loggers, bars and samplers off: ours do that."""
    t = config.training
    return L.Trainer(
        default_root_dir=folder, accelerator=config.trainer.accelerator, devices=config.trainer.devices,
        precision=PRECISION[config.trainer.precision], max_steps=t.max_updates or -1, max_epochs=t.max_epochs or -1,
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

    batches = partial(eval_batches, prepared.dev, t.batch_tokens, longest=config.data.max_tokens + 1, copying=model.head.reads_weights)
    watch = Watch(translator, config.model.attention, prepared.dev_pairs)
    return Dev(batches, None if t.monitor == "loss" else decode, t.monitor, watch)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What resuming needs; no code runs. RunError if it is missing or damaged."""
    try:
        return dict(torch.load(path, weights_only=True, map_location="cpu", mmap=True))
    except Exception as error:
        raise RunError(f"{path} cannot be read as a checkpoint: {str(error).split('. ')[0]}") from None


def parameter_table(model: nn.Module) -> list[str]:
    """Parameters by part; shared ones are counted where they first occur."""
    counts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        part = ".".join(name.split(".")[:2])
        counts[part] = counts.get(part, 0) + parameter.numel()
    rows = [f"  {part:<28}{count:>12,}" for part, count in counts.items()]
    return ["parameters", *rows, f"  {'all':<28}{sum(counts.values()):>12,}"]
