"""What does a training do, from settings to a finished run directory?"""

import logging
import os
import platform
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import torch
from torch import nn

import seq2seq
from seq2seq.config import Config
from seq2seq.config.io import differences, write_config
from seq2seq.data.prepare import Prepared, prepare, reopen
from seq2seq.errors import RunError
from seq2seq.nn.build import EncoderDecoder, build_model
from seq2seq.runs.directory import CONFIG, INFO, LAST, WEIGHTS, Run, locked, read_info, run_directory
from seq2seq.runs.weights import load_weights
from seq2seq.training.budget import sized
from seq2seq.training.callbacks import seed_everything
from seq2seq.training.checks import THESE, check_monitor, check_plan, check_settings
from seq2seq.training.fit import fit
from seq2seq.utils.console import logging_to
from seq2seq.utils.files import write_json
from seq2seq.utils.process import available_cores

log = logging.getLogger("seq2seq")


class TrainingPlan(NamedTuple):
    """A training that has not begun."""

    config: Config
    prepared: Prepared
    start: Run | None  # whose weights it begins with
    folder: Path  # the run directory, which may be there already


def train(config: Config) -> Path:
    """Make a new run directory and train in it. ConfigError before any work for settings that cannot be; returns the directory.

    Whatever can be found wrong is found here; `work` then needs nothing but the directory and the prepared text in the cache."""
    plan = planned(config)
    plan.prepared.log_report()
    refuse_existing(plan.folder)
    if not make_directory(plan):
        refuse_existing(plan.folder)
    with locked(plan.folder):
        return work(plan.folder)


def planned(config: Config) -> TrainingPlan:
    """The prepared text, and where the run of these settings belongs. ConfigError for settings that cannot be."""
    check_settings(config)
    config, start = starting(config)
    prepared = prepare(
        config.data, config.tokenizer, start.vocabularies if start else None, config.training.guided_alignment > 0
    )
    config = replace(
        config, model=sized(config.model, prepared.vocabularies.source.size, prepared.vocabularies.target.size)
    )
    return TrainingPlan(config, prepared, start, run_directory(config, prepared.data_hash + prepared.links_hash))


def refuse_existing(folder: Path) -> None:
    """RunError if it is there: a finished run is never overwritten, an unfinished one never begun anew."""
    if folder.exists():
        if folder.joinpath(INFO).is_file() and read_info(folder).get("finished"):
            raise RunError(f"{folder} exists and is finished: delete it, or change a setting or the seed")
        raise RunError(f"{folder} exists: resume={folder} goes on with it")


def starting(config: Config) -> tuple[Config, Run | None]:
    """The run of init_from, and the settings with its tokenizer, without which its weights mean nothing; tells what differs."""
    if not config.init_from:
        return config, None
    run = Run.open(config.init_from)
    for name, theirs, ours in differences(run.config, config):
        own = name.startswith("tokenizer.") and name != "tokenizer.sampling"
        log.info(
            "init_from brings its tokenizer: %s=%s, not %s" if own else "differs from init_from: %s %s -> %s",
            name,
            theirs,
            ours,
        )
    return replace(config, tokenizer=replace(run.config.tokenizer, sampling=config.tokenizer.sampling)), run


BEGUN = (
    "id",
    "started",
    "versions",
    "seed",
    "data",
    "tokenizer",
    "corpus",
    "links",
)  # what run.json says before anything is learnt


def make_directory(plan: TrainingPlan) -> bool:
    """The directory with settings and tokenizer, once these fit the text; there as a whole or not at all. False if another
    process was first."""
    config, prepared, start, folder = plan
    check_monitor(config, prepared)
    check_plan(config, prepared, start)
    temporary = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}")
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


def parameter_table(model: nn.Module) -> list[str]:
    """Parameters by part; shared ones are counted where they first occur."""
    counts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        part = ".".join(name.split(".")[:2])
        counts[part] = counts.get(part, 0) + parameter.numel()
    rows = [f"  {part:<28}{count:>12,}" for part, count in counts.items()]
    return ["parameters", *rows, f"  {'all':<28}{sum(counts.values()):>12,}"]


def versions() -> dict[str, str]:
    """The versions that run.json records."""
    return {"seq2seq": seq2seq.__version__, "torch": torch.__version__, "python": platform.python_version()}
