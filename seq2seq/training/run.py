"""Training from settings to a finished run directory: planning, creating the directory, and training in it."""

import logging
import os
import platform
import random
import shutil
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import torch
from torch import nn

import seq2seq
from seq2seq.config import Config
from seq2seq.config.io import NOT_HASHED, differences, to_yaml, write_config
from seq2seq.data.prepare import Prepared, open_cached, prepare
from seq2seq.distributed import ranks, shared_work
from seq2seq.distributed.launch import start_processes
from seq2seq.errors import ConfigError, RunError
from seq2seq.export.formats import ruled_out
from seq2seq.nn.build import EncoderDecoder, build_model
from seq2seq.runs.directory import CONFIG, HASHES, INFO, LAST, LOG, Run, locked, read_info, run_directory
from seq2seq.runs.weights import load_weights, read_entries
from seq2seq.runtime.cpu import available_cores
from seq2seq.training.budget import resize_to_budget
from seq2seq.training.checks import check_accumulation, check_monitor, check_plan, check_settings
from seq2seq.training.fit import fit
from seq2seq.training.footprint import check_memory
from seq2seq.utils import process
from seq2seq.utils.console import logging_to
from seq2seq.utils.files import write_json
from seq2seq.utils.overrides import resume_word

log = logging.getLogger("seq2seq")

# the entries of run.json that a resumed run keeps; a finished run has more
INITIAL_INFO = ("id", "started", "versions", "seed", "data", "tokenizer", "corpus", "links", HASHES)


class TrainingPlan(NamedTuple):
    """A training that has not begun."""

    config: Config
    prepared: Prepared
    start: Run | None  # the run of init_from, whose weights it starts with
    folder: Path  # the run directory, which may exist already


def train(config: Config) -> Path:
    """Create a run directory and train in it. Returns the directory.

    Raises ConfigError or DataError for settings or text that cannot be trained on, before the directory is created, and
    RunError if it exists. After this `train_directory` needs only the directory and the prepared text in the cache."""
    plan = plan_training(config)
    plan.prepared.log_report()
    refuse_existing(plan.folder)
    if not create_directory(plan):
        refuse_existing(plan.folder)
    with locked(plan.folder):
        return train_directory(plan.folder)


def as_launched(config: Config) -> Config:
    """The settings with the devices that there are where torchrun, or another launcher, has started the processes."""
    if ranks.world_size() == 1:
        return config
    devices = ranks.local_world_size()
    return replace(
        config, trainer=replace(config.trainer, devices=devices, nodes=max(1, ranks.world_size() // devices))
    )


def plan_training(config: Config) -> TrainingPlan:
    """Prepare the text, and determine model and run directory. Raises ConfigError for settings that cannot work."""
    config = as_launched(config)
    check_settings(config)
    if not config.model.parameters:
        check_memory(config)  # first for the smallest vocabulary, as preparing the text may take hours
    config, start = resolve_init_from(config)
    vocabularies = start.vocabularies if start else None
    prepared = prepare(config.data, config.tokenizer, vocabularies, config.training.guided_alignment > 0)
    sizes = prepared.vocabularies.source.size, prepared.vocabularies.target.size
    config = replace(config, tokenizer=prepared.tokenizer, model=resize_to_budget(config.model, *sizes))
    return TrainingPlan(config, prepared, start, run_directory(config, prepared.data_hash + prepared.links_hash))


def resolve_init_from(config: Config) -> tuple[Config, Run | None]:
    """The settings, and the run init_from, whose tokenizer they have to name, as its weights depend on it.

    Logs the settings in which they differ. Raises ConfigError for another tokenizer."""
    if not config.init_from:
        return config, None
    run = Run.open(config.init_from)
    for name, theirs, ours in differences(run.config, config):
        if name.startswith("tokenizer.") and name != "tokenizer.sampling":
            raise ConfigError(
                f"{name}={ours} is given, but init_from={config.init_from} brings its tokenizer, with {name}={theirs}"
            )
        if name not in NOT_HASHED and name != "init_from":
            log.info("differs from init_from: %s %s -> %s", name, theirs, ours)
    return config, run


def refuse_existing(folder: Path) -> None:
    """Raises RunError if the run directory exists: finished runs are not overwritten, others not restarted."""
    if folder.exists():
        if folder.joinpath(INFO).is_file() and read_info(folder).get("finished"):
            raise RunError(f"{folder} exists and is finished: delete it, or change a setting or the seed")
        raise RunError(f"{folder} exists and is not finished: {resume_word(folder)} resumes it")


def create_directory(plan: TrainingPlan) -> bool:
    """Create the run directory with settings, tokenizer and run.json, as a whole or not at all.

    Returns False if another process was first.
    Raises ConfigError, DataError or RunError if the settings do not fit the text or the weights of init_from."""
    config, prepared, start, folder = plan
    check_monitor(config, prepared)
    check_accumulation(config, prepared)
    check_plan(config, prepared, start)
    temporary = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}")
    temporary.mkdir(parents=True)
    try:
        write_config(config, temporary / CONFIG)
        prepared.vocabularies.save(temporary)
        write_json(temporary / INFO, initial_info(config, prepared))
        os.replace(temporary, folder)
    except OSError:
        if not folder.exists():
            raise
        return False
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return True


def initial_info(config: Config, prepared: Prepared) -> dict[str, Any]:
    """The content of run.json before training: entries of INITIAL_INFO, and that the run is not finished."""
    info = {
        "id": uuid4().hex,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"seq2seq": seq2seq.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "seed": config.seed,
        "data": prepared.data_hash,
        "tokenizer": prepared.vocabularies.sha256,
        "corpus": prepared.report,
        "finished": False,
    }
    if prepared.links_hash:
        info["links"] = prepared.links_hash
    return info


def train_directory(folder: Path) -> Path:
    """Train in a run directory that exists and is locked, from its last checkpoint if it has one, in a process for each
    device. Returns the directory."""
    if shared_work.active():  # they are there already
        shared_work.call("train", folder.absolute())
        return train_here(folder)
    devices = Run.open(folder).config.trainer.devices
    if devices == 1:
        return train_here(folder)
    start_processes("seq2seq.training.worker", [str(folder)], devices)
    return folder


def train_here(folder: Path) -> Path:
    """The same in this process, alone or with others that were started with it.

    Raises TrainingError if they are of other versions, or see other settings or text."""
    process.keep_freed_memory()
    run = Run.open(folder)
    config = run.config
    vocabularies = run.vocabularies if config.init_from else None
    prepared = open_cached(config.data, config.tokenizer, run.info["data"], vocabularies, run.info.get("links", ""))
    ranks.agree(
        {
            "versions of seq2seq and torch": (seq2seq.__version__, torch.__version__),
            "settings or another run directory": (run.info.get("id"), to_yaml(config)),
            "text in data.cache": (prepared.data_hash, prepared.train.checksum),
        }
    )
    resumed = (folder / LAST).exists()  # then the weights are those of the checkpoint
    model = make_model(config, prepared, None if resumed else initial_run(config))
    with logging_to(folder / LOG) if ranks.rank() == 0 else nullcontext():
        log.info("run directory: %s", folder)
        for line in parameter_table(model):
            log.info("%s", line)
        for line in ruled_out(config):
            log.info("%s", line)
        try:
            fit(folder, config, prepared, model, lambda: make_model(config, prepared, initial_run(config)))
        except ConfigError:  # before the first update
            if ranks.rank() == 0 and not (folder / LAST).exists():
                shutil.rmtree(folder)
            raise
    return folder


def initial_run(config: Config) -> Run | None:
    """The run whose weights training starts from, None without init_from."""
    return Run.open(config.init_from) if config.init_from else None


def make_model(config: Config, prepared: Prepared, start: Run | None) -> EncoderDecoder:
    """The model before its first update, initialized from the seed or with the weights of `start`.

    All random generators are seeded here."""
    torch.set_num_threads(config.trainer.threads or max(1, available_cores() // ranks.local_world_size()))
    seed_everything(config.seed)
    model = build_model(config.model, prepared.vocabularies.source.size, prepared.vocabularies.target.size)
    read_entries(model, prepared.vocabularies)
    weigh_classes(model, config, prepared)
    if start:
        load_weights(model, start.folder)
    return model


def weigh_classes(model: EncoderDecoder, config: Config, prepared: Prepared) -> None:
    """Set the weights of the labels in the loss, by their numbers in the training text."""
    if config.training.class_weights == "balanced":
        target, counts = prepared.vocabularies.target, torch.from_numpy(prepared.train.target_counts()).double()
        labels = torch.tensor([label for label in target.labels if counts[label]])
        weights = torch.ones(target.size)
        weights[labels] = (counts[labels].mean() / counts[labels]).float()
        model.head.class_weights = weights


def seed_everything(seed: int) -> None:
    """Seed the random generators of Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def parameter_table(model: nn.Module) -> list[str]:
    """Lines with the number of parameters by part of the model; shared ones count where they first occur."""
    counts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        part = ".".join(name.split(".")[:2])
        counts[part] = counts.get(part, 0) + parameter.numel()
    rows = [f"  {part:<28}{count:>12,}" for part, count in counts.items()]
    return ["parameters", *rows, f"  {'all':<28}{sum(counts.values()):>12,}"]
