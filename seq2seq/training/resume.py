"""How does a run go on where it was cut off? Under its own settings, of which only limits, logging and devices may be given anew."""

import logging
from dataclasses import replace
from pathlib import Path

from seq2seq.config import Config, TrainingConfig
from seq2seq.config.io import NOT_HASHED, differences, write_config
from seq2seq.data.prepare import Prepared, prepare
from seq2seq.errors import ConfigError, RunError
from seq2seq.runs.checkpoint import progress, read_checkpoint
from seq2seq.runs.directory import CONFIG, INFO, LAST, WEIGHTS, Run, inside, locked
from seq2seq.training.checks import check_device, check_limits, check_plan
from seq2seq.training.metrics import BOARD
from seq2seq.training.optim import needs_total
from seq2seq.training.run import BEGUN, make_directory, planned, work
from seq2seq.utils.files import write_json

log = logging.getLogger("seq2seq")

LIMITS = ("max_updates", "max_epochs", "max_minutes", "patience", "stop_at")
FREE = NOT_HASHED - {"runs"} | {f"training.{name}" for name in LIMITS}


def resume(config: Config) -> Path:
    """Go on with the run directory `config.resume`; `config` holds its saved settings and what was given beside them.

    ConfigError for a setting that may not change, RunError for a run that is missing, damaged, over, or whose text changed."""
    folder, config = Run.open(config.resume).folder, replace(config, resume="")
    with locked(folder):
        return go_on(Run.open(folder), config)


def complete(config: Config) -> tuple[Path, bool]:
    """The run of these settings, finished, however far it was before: not begun, cut off, or finished already. Whether that took
    any work. Limits that it was given since are its own. BusyError if another process trains in it."""
    if config.resume:
        raise ConfigError(f"resume={config.resume} goes on with one run: it cannot be swept with -m")
    plan = planned(config)
    if not plan.folder.exists():
        make_directory(plan)  # this process or another
    with locked(plan.folder):
        run = Run.open(plan.folder)
        if not (finished := bool(run.info.get("finished"))):
            training = with_limits(plan.config.training, run.config.training)
            go_on(run, replace(plan.config, runs=run.config.runs, training=training), plan.prepared)
    return plan.folder, not finished


def with_limits(training: TrainingConfig, saved: TrainingConfig) -> TrainingConfig:
    """The same with the limits of `saved`, which `resume` may have raised."""
    return replace(training, **{name: getattr(saved, name) for name in LIMITS})


def go_on(run: Run, config: Config, prepared: Prepared | None = None) -> Path:
    """The same in a directory that is locked; prepared: the text, where it was read already."""
    refuse_changes(run.config, config)
    for name in (Path(LAST).parent.name, BOARD):
        inside(run.folder, name)
    check_limits(config.training)
    check_device(config.trainer)
    refuse_over(run, config.training)
    if prepared is None:
        guided = config.training.guided_alignment > 0
        prepared = prepare(config.data, config.tokenizer, run.vocabularies if config.init_from else None, guided)
    run.check_text(prepared.data_hash, prepared.vocabularies.sha256, prepared.links_hash)
    begun = (run.folder / LAST).exists()  # its weights are then those of the checkpoint
    check_plan(config, prepared, Run.open(config.init_from) if config.init_from and not begun else None)
    prepared.log_report()
    tell_changes(run.config, config)
    write_config(config, run.folder / CONFIG)
    said = {
        name: value for name, value in run.info.items() if name in BEGUN
    }  # the rest was true of an end that is none
    write_json(run.folder / INFO, said | {"finished": False})
    return work(run.folder)


def refuse_changes(saved: Config, given: Config) -> None:
    """ConfigError for the first setting that is given another value than the saved one and is not free to change."""
    for name, before, now in differences(saved, given):
        if name not in FREE:
            free = f"only training.{', '.join(LIMITS)}, data.root, data.cache and trainer settings other than precision may change"
            raise ConfigError(f"{name}={now} is given, but the run goes on with its own {name}={before}: {free}")


def tell_changes(saved: Config, given: Config) -> None:
    """What the run goes on with that it did not begin with, to the log."""
    for change in differences(saved, given):
        log.info("changed on resuming: %s %s -> %s", *change)
    if needs_total(given.training.schedule) and saved.training != given.training:
        log.info("training.schedule=%s is from now on that of the longer or shorter training", given.training.schedule)


def refuse_over(run: Run, training: TrainingConfig) -> None:
    """RunError if the run is finished and a limit that it has reached still stands, or if it is past its last epoch."""
    path = run.folder / LAST
    if not path.exists():
        if (run.folder / WEIGHTS).exists():
            raise RunError(
                f"{run.folder} has weights but no {LAST} to go on from; init_from={run.folder} starts a new run from them"
            )
        return
    checkpoint = read_checkpoint(path)
    done = progress(checkpoint, path)
    if checkpoint["callbacks"].get("Checkpoint", {}).get("run", "") != run.info.get("id", ""):
        raise RunError(f"{path} is the checkpoint of another run")
    reached = [
        f"training.{name}={limit:g}"
        for name, value in done.items()
        if (limit := getattr(training, name)) and value >= limit
    ]
    if reached and run.info.get("finished"):
        raise RunError(f"{run.folder} is finished, {' and '.join(reached)} being reached: raise the limit to go on")
    if training.max_epochs and done["max_epochs"] > training.max_epochs:
        raise RunError(
            f"{run.folder} is past training.max_epochs={training.max_epochs}: {done['max_epochs']} epochs are over"
        )
