"""Resuming a run from its last checkpoint under its own settings, apart from limits, logging, devices and folders."""

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from seq2seq.config import Config, TrainingConfig
from seq2seq.config.io import LIMITS, differences, flatten, refuse_changes, write_config
from seq2seq.data.prepare import Prepared, prepare
from seq2seq.errors import ConfigError, RunError, TrainingError
from seq2seq.nn.build import build_meta_model
from seq2seq.runs.directory import (
    CONFIG,
    INFO,
    LAST,
    LOG,
    METRICS,
    PREVIOUS,
    WEIGHTS,
    Run,
    checked_hash,
    file_hash,
    locked,
    path_inside,
    record_hash,
)
from seq2seq.runs.metrics import read_metrics
from seq2seq.runs.weights import MODEL_OF_RUN, check_fit, open_tensors
from seq2seq.training.checkpoint import MAX_BYTES, progress_of, read_checkpoint, weights_name
from seq2seq.training.checks import check_device, check_limits, check_plan, check_shares
from seq2seq.training.metrics import TENSORBOARD
from seq2seq.training.optim import needs_total
from seq2seq.training.run import INITIAL_INFO, as_launched, create_directory, plan_training, train_directory
from seq2seq.training.saved_state import described, first_wrong_part, run_id
from seq2seq.utils.files import remove_temporary_files, why_no_folder, write_json

log = logging.getLogger("seq2seq")

DAMAGED = "checkpoints/damaged.ckpt"  # where a damaged checkpoint is kept


def resume(config: Config) -> Path:
    """Resume the run directory `config.resume`; `config` holds its saved settings and those given on the command line.

    Raises ConfigError for a setting that may not change, and RunError for a run that is missing, damaged or finished,
    or whose text has changed; BusyError if another process trains in it."""
    folder, config = Run.open(config.resume).folder, as_launched(replace(config, resume=""))
    with locked(folder):
        return resume_directory(Run.open(folder), config)


def complete(config: Config) -> tuple[Path, bool]:
    """Finish the run of these settings, whether it is new, interrupted or finished already.

    Returns the run directory, and whether there was anything to train. An existing run keeps its own limits, which
    `resume` may have raised.

    Raises BusyError if another process trains in it, TrainingError if it has diverged."""
    if config.resume:
        raise ConfigError(f"resume={config.resume} continues one run: it cannot be swept with -m")
    plan = plan_training(config)
    if not plan.folder.exists():
        create_directory(plan)  # by this process or another one
    with locked(plan.folder):
        run = Run.open(plan.folder)
        finished = bool(run.info.get("finished"))
        if run.info.get("diverged"):
            raise TrainingError(f"{plan.folder} has diverged: delete it, or change training.learning_rate")
        if not finished:
            training = with_limits_of(run.config.training, plan.config.training)
            resume_directory(run, replace(plan.config, runs=run.config.runs, training=training), plan.prepared)
    return plan.folder, not finished


def with_limits_of(saved: TrainingConfig, training: TrainingConfig) -> TrainingConfig:
    """`training` with the limits of `saved`."""
    return replace(training, **{name: getattr(saved, name) for name in LIMITS})


def resume_directory(run: Run, config: Config, prepared: Prepared | None = None) -> Path:
    """Resume a run whose directory is locked. prepared: its text, None to prepare it. Raises the errors of `resume`.

    Nothing is written before all checks have passed."""
    refuse_changes(flatten(run.config), flatten(config), run.folder)
    check_places(run.folder)
    check_limits(config.training)
    check_device(config.trainer)
    check_shares(config)
    check_resumable(run, config.training)
    if os.path.lexists(run.folder / METRICS):
        read_metrics(run.folder / METRICS)
    if prepared is None:
        guided = config.training.guided_alignment > 0
        prepared = prepare(config.data, config.tokenizer, run.vocabularies if config.init_from else None, guided)
    run.check_text(prepared.data_hash, prepared.vocabularies.sha256, prepared.links_hash)
    resumed = (run.folder / LAST).exists()  # then the weights are those of the checkpoint
    check_plan(config, prepared, Run.open(config.init_from) if config.init_from and not resumed else None)
    prepared.log_report()
    for folder in (run.folder, path_inside(run.folder, Path(LAST).parent.name)):
        remove_temporary_files(folder)
    log_changes(run.config, config)
    write_config(config, run.folder / CONFIG)
    # what else run.json holds describes an end that is no longer the end
    initial = {name: value for name, value in run.info.items() if name in INITIAL_INFO}
    write_json(run.folder / INFO, initial | {"finished": False})
    if (run.folder / LAST).exists():  # the list begins with the checkpoint that is there
        record_hash(run.folder, LAST, file_hash(run.folder, LAST, MAX_BYTES), replaced=True)
    return train_directory(run.folder)


def check_places(folder: Path) -> None:
    """Raises RunError for what is in the place of the files and folders that training writes to."""
    for name in (Path(LAST).parent.name, TENSORBOARD):
        if os.path.lexists(path_inside(folder, name)) and not (folder / name).is_dir():
            raise RunError(f"{folder / name} is not a folder: training would write its files there")
    for name in (CONFIG, INFO, LAST, LOG, METRICS, PREVIOUS, WEIGHTS):
        if (folder / name).is_dir():
            raise RunError(f"{folder / name} is a folder: training would write a file there")
    if reason := why_no_folder(folder):
        raise RunError(f"nothing can be written to {folder}: {reason}")


def log_changes(saved: Config, given: Config) -> None:
    """Log the settings that differ from the saved ones."""
    for change in differences(saved, given):
        log.info("changed on resuming: %s %s -> %s", *change)
    if needs_total(given.training.schedule) and saved.training != given.training:
        log.info("training.schedule=%s now spans the changed length of training", given.training.schedule)


def check_resumable(run: Run, training: TrainingConfig) -> None:
    """Raises RunError unless the run can be resumed under these limits.

    It cannot if it is finished and one of the limits that it reached still stands, if it is past its last epoch, and if
    its checkpoint is damaged, another run's, or missing although there are weights."""
    if not any((run.folder / name).exists() for name in (LAST, PREVIOUS)):
        if (run.folder / WEIGHTS).exists():
            raise RunError(f"{run.folder} has weights but no {LAST} to resume from; {_way_on(run)}")
        return
    progress = _read_progress(run)
    limits = {name: getattr(training, name) for name in progress}
    reached = [f"training.{name}={limit:g}" for name, limit in limits.items() if limit and progress[name] >= limit]
    if reached and run.info.get("finished"):
        verb = "is" if len(reached) == 1 else "are"
        raise RunError(f"{run.folder} is finished: {' and '.join(reached)} {verb} reached; raise the limit to resume")
    if training.max_epochs and progress["max_epochs"] > training.max_epochs:
        raise RunError(
            f"{run.folder} is past training.max_epochs={training.max_epochs}: "
            f"{progress['max_epochs']} epochs are complete"
        )


def _read_progress(run: Run) -> dict[str, float]:
    """`progress_of` the run's last checkpoint, or, if that is damaged, of the one before it, which takes its place.

    Raises RunError if neither can be resumed from: it, or kept weights that it names, are missing, damaged, of another
    run or of another model."""
    try:
        return progress_of(_read_whole(run, LAST))
    except RunError as error:
        try:
            checkpoint = _read_whole(run, PREVIOUS)
        except RunError:
            raise RunError(f"{error}; {_way_on(run)}") from None
        updates, path = checkpoint["global_step"], run.folder / LAST
        log.warning("%s; resuming from the checkpoint before it, of update %d", error, updates)
        if os.path.lexists(path):
            os.replace(path, path_inside(run.folder, DAMAGED))
        os.replace(run.folder / PREVIOUS, path)
        return progress_of(checkpoint)


def _read_whole(run: Run, name: str) -> dict[str, Any]:
    """The checkpoint `name` of a run. Raises RunError as `_read_progress`."""
    path = run.folder / name
    model = build_meta_model(run.config.model, run.vocabularies.source.size, run.vocabularies.target.size)
    checkpoint = read_checkpoint(path)
    if run_id(checkpoint) != run.info.get("id", ""):
        raise RunError(f"{path} is the checkpoint of another run, or of another program")
    if wrong := first_wrong_part(checkpoint, described(run.config, model, checkpoint)):
        raise RunError(f"{path} is damaged: {wrong} is missing, or not what it has to be")
    checked_hash(run.folder, name, LAST, MAX_BYTES)
    for update in checkpoint["callbacks"]["Validation"]["scores"]:
        kept = run.folder / weights_name(update)
        with open_tensors(kept, root=run.folder) as file:
            check_fit(model, file, kept, MODEL_OF_RUN)
        checked_hash(run.folder, weights_name(update))
    return checkpoint


def _way_on(run: Run) -> str:
    """What is left to do with a run whose checkpoint cannot be resumed from."""
    if (run.folder / WEIGHTS).exists():
        return f"init_from={run.folder} starts a new run from its weights"
    return f"there are no weights yet: delete {run.folder / LAST} and resume again to train from the start"
