"""What can be found wrong with a training before any work? ConfigError in one sentence."""

import os
from pathlib import Path

import torch

from seq2seq.config import Config, TrainerConfig, TrainingConfig
from seq2seq.data.prepare import Prepared, cache_root
from seq2seq.errors import ConfigError
from seq2seq.evaluation.metrics import score
from seq2seq.nn.attention.scorers import SCORERS
from seq2seq.nn.attention.windows import WINDOWS
from seq2seq.nn.build import EncoderDecoder, build_meta_model
from seq2seq.runs.directory import WEIGHTS, Run
from seq2seq.runs.weights import check_fit, tensors
from seq2seq.training.optim import check_schedule
from seq2seq.training.resources import parameters

THESE = "the model of these settings"  # what weights to start from are expected to fit
MOST_THREADS = 1024  # far more of them take down whatever else runs


def check_settings(config: Config) -> None:
    """All that needs no text."""
    check_folder("runs", Path(config.runs))
    check_folder("data.cache", cache_root(config.data))
    config.search.check_limit(build_meta_model(config.model).max_source)
    check_limits(config.training)
    check_attention(config)
    check_device(config.trainer)


def check_folder(setting: str, folder: Path) -> None:
    """ConfigError where no folder of that name is, or can be made."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ConfigError(f"{setting}={folder} cannot be a folder: {there} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"{setting}={folder} cannot be written to: {there} does not let you")


def check_limits(training: TrainingConfig) -> None:
    """A training without an end would never hand anything out."""
    if not (
        training.max_updates or training.max_epochs or training.max_minutes or training.patience or training.stop_at
    ):
        raise ConfigError("training has no end: set training.max_updates, max_epochs, max_minutes, patience or stop_at")
    if training.stop_at and training.monitor == "loss":
        raise ConfigError(
            f"training.stop_at={training.stop_at:g} would be ignored: it is a score to reach, not a training.monitor=loss"
        )
    check_schedule(training.schedule, training.max_updates or training.max_epochs)


def check_attention(config: Config) -> None:
    """A loss of the attention moves nothing where the weights are not learnt."""
    attention = config.model.attention
    for name in ("coverage_loss", "guided_alignment"):
        given = getattr(config.training, name)
        if given and not SCORERS[attention.scorer].reads and not WINDOWS[attention.window].gains:
            mend = f"set training.{name}=0" + (f", which task={config.task} raises" if name == "coverage_loss" else "")
            raise ConfigError(
                f"training.{name}={given} would be ignored: scorer={attention.scorer} learns no weights; {mend}"
            )


def check_device(trainer: TrainerConfig) -> None:
    """Refuse what this machine, or this version, cannot do, before any work."""
    if trainer.devices != 1:
        raise ConfigError(f"trainer.devices={trainer.devices} is more than this version trains on: 1")
    if trainer.threads > MOST_THREADS:
        raise ConfigError(
            f"trainer.threads={trainer.threads} is more than a machine can take: at most {MOST_THREADS}, 0 takes all cores"
        )
    if trainer.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("trainer.accelerator=gpu, but torch finds no GPU here; choose auto or cpu")
    if trainer.precision == "16" and not on_gpu(trainer):
        raise ConfigError("trainer.precision=16 needs a GPU; on the processor there are 32 and bf16")
    if trainer.graphs and not on_gpu(trainer):
        raise ConfigError("trainer.graphs=true needs a GPU; the processor has nothing to record")
    if trainer.graphs and trainer.precision == "16":
        raise ConfigError(
            "trainer.graphs=true cannot be with trainer.precision=16, whose losses are scaled too late for it; choose bf16 or 32"
        )


def on_gpu(trainer: TrainerConfig) -> bool:
    """Whether a GPU learns."""
    return trainer.accelerator != "cpu" and torch.cuda.is_available()


def check_monitor(config: Config, prepared: Prepared) -> None:
    """Refuse to watch a figure that the dev set cannot have, such as ROUGE of a script that it does not read."""
    if config.training.monitor != "loss":
        references = [pair.target for pair in prepared.dev_pairs[: config.training.dev_lines or None]]
        score(references, [references], [metric_of(config.training.monitor)], language=config.data.target, bootstrap=0)


def metric_of(monitor: str) -> str:
    """What a monitor is called among the metrics."""
    return {"rouge": "rougeL"}.get(monitor, monitor)


def check_lengths(model: EncoderDecoder, prepared: Prepared, multiple: int) -> None:
    """Text that the model has no positions for is refused before it is met."""
    for name, pairs in (("training", prepared.train), ("dev", prepared.dev)):
        for side, limit, lengths in (
            ("source", model.max_source, pairs.source_lengths),
            ("target", model.max_target, pairs.target_lengths),
        ):
            if limit is not None and limit % multiple:
                raise ConfigError(
                    f"training.pad_to_multiple_of={multiple} does not divide model.max_length={limit}: beyond that there are no positions"
                )
            if limit is not None and (longest := int(lengths.max())) > limit:
                cure = "raise it, or lower data.max_tokens" if name == "training" else "raise it"
                raise ConfigError(
                    f"model.max_length={limit} is too small: the longest {name} {side} has {longest} tokens; {cure}"
                )


def check_memory(numbers: int) -> None:
    """ConfigError for so many weights that the machine, which makes them in its own memory, cannot hold them."""
    has = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if 4 * numbers > has:
        raise ConfigError(
            f"a model of {numbers:,} parameters takes {4 * numbers / 2**30:,.0f} GiB, and this machine has {has / 2**30:,.0f}"
        )


def check_plan(config: Config, prepared: Prepared, start: Run | None) -> None:
    """Whether the text and the weights of `start` fit the model."""
    model = build_meta_model(config.model, prepared.vocabularies.source.size, prepared.vocabularies.target.size)
    check_memory(parameters(model))
    check_lengths(model, prepared, config.training.pad_to_multiple_of)
    if start:
        with tensors(start.folder / WEIGHTS) as file:
            check_fit(model, file, start.folder / WEIGHTS, THESE)
