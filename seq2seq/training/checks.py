"""Checks of the settings of a training before any work; what is wrong is raised as a ConfigError of one sentence."""

import re
from pathlib import Path
from typing import Any

import torch

from seq2seq.config import Config, ModelConfig, TrainerConfig, TrainingConfig
from seq2seq.config.io import differences
from seq2seq.data.batching import BatchOptions, TrainBatches
from seq2seq.data.corpora import cache_root
from seq2seq.data.prepare import Prepared
from seq2seq.distributed import ranks
from seq2seq.errors import ConfigError, counted
from seq2seq.evaluation.metrics import score
from seq2seq.evaluation.rouge import open_tokenizer
from seq2seq.nn.attention.pooling import POOLINGS
from seq2seq.nn.attention.scorers import SCORERS
from seq2seq.nn.attention.windows import WINDOWS
from seq2seq.nn.build import EncoderDecoder, build_meta_model
from seq2seq.runs.directory import WEIGHTS, Run, checked_hash
from seq2seq.runs.weights import check_fit, open_tensors
from seq2seq.runtime.cpu import available_cores
from seq2seq.training.footprint import check_memory
from seq2seq.training.optim import check_schedule
from seq2seq.utils.files import check_folder


def check_settings(config: Config) -> None:
    """All checks that need no text. Raises ConfigError."""
    check_folder("runs", Path(config.runs))
    check_folder("data.cache", cache_root(config.data))
    build_meta_model(config.model)  # refuses sizes that do not fit each other
    check_limits(config.training)
    open_tokenizer(config.training.rouge_tokenizer)
    check_attention_losses(config)
    check_device(config.trainer)
    check_shares(config)


def check_limits(training: TrainingConfig) -> None:
    """Raises ConfigError for a training without an end, or whose schedule or `stop_at` lacks what it depends on."""
    t = training
    if not (t.max_updates or t.max_epochs or t.max_minutes or t.patience or t.stop_at):
        raise ConfigError("training has no end: set training.max_updates, max_epochs, max_minutes, patience or stop_at")
    if t.stop_at and t.monitor == "loss":
        raise ConfigError(
            f"training.stop_at={t.stop_at:g} would be ignored: training.monitor=loss has no score to reach"
        )
    check_schedule(t.schedule, t.max_updates or t.max_epochs)


def check_attention_losses(config: Config) -> None:
    """Raises ConfigError for a loss of the attention weights where these are not learned."""
    if learns_attention(config.model):
        return
    model = config.model
    what = {"text": f"scorer={model.attention.scorer}", "tags": "model.output=tags"}.get(
        model.output, f"model.pooling={model.pooling} of scorer={model.attention.scorer}"
    )
    for name in ("coverage_loss", "guided_alignment"):
        value = getattr(config.training, name)
        if value:
            origin = f", which task={config.task} raises" if name == "coverage_loss" else ""
            raise ConfigError(
                f"training.{name}={value} would be ignored: {what} learns no weights; set training.{name}=0{origin}"
            )


def learns_attention(model: ModelConfig) -> bool:
    """Whether the weights of the attention are learned."""
    scored = bool(SCORERS[model.attention.scorer].reads)
    if model.output == "text":
        return scored or WINDOWS[model.attention.window].gains
    used = POOLINGS[model.pooling].uses if model.output != "tags" else frozenset()
    return bool(used) and (scored or "scorer" not in used)


def check_device(trainer: TrainerConfig) -> None:
    """Raises ConfigError for what this machine, or this version, cannot do."""
    if trainer.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("trainer.accelerator=gpu, but torch finds no GPU here; choose auto or cpu")
    if trainer.precision == "16" and not uses_gpu(trainer):
        raise ConfigError("trainer.precision=16 needs a GPU; on the CPU choose 32 or bf16")
    if trainer.graphs and not uses_gpu(trainer):
        raise ConfigError("trainer.graphs=true needs a GPU: CUDA graphs record the work of one")
    if trainer.graphs and trainer.precision == "16":
        raise ConfigError(
            "trainer.graphs=true does not work with trainer.precision=16: a graph computes gradients before the loss "
            "is scaled; choose bf16 or 32"
        )


def check_shares(config: Config) -> None:
    """Raises ConfigError unless each device gets as many batches of an update, and there are so many devices."""
    trainer, accumulate, tokens = config.trainer, config.training.accumulate, config.training.batch_tokens
    devices, count = trainer.devices, trainer.processes
    named = f"trainer.devices={devices}{f' on each of trainer.nodes={trainer.nodes}' if trainer.nodes > 1 else ''}"
    if accumulate % count:
        more = -(-accumulate // count) * count
        raise ConfigError(
            f"training.accumulate={accumulate}, batches of an update, cannot be shared by {named}: set "
            f"training.accumulate={more}, with training.batch_tokens={tokens * accumulate // more} for updates of the "
            "size that they have now"
        )
    there, what = (torch.cuda.device_count(), "GPU") if uses_gpu(trainer) else (available_cores(), "CPU core")
    if devices > max(there, 1):
        raise ConfigError(f"trainer.devices={devices} is more than there are here: {counted(there, what)}")
    if count > 1 and trainer.graphs:
        raise ConfigError(f"trainer.graphs=true works on one device, not on {named}")
    if trainer.nodes > 1 and ranks.world_size() == 1 and not re.fullmatch(r"[^:\s]+:\d+", trainer.rendezvous):
        raise ConfigError(
            f"trainer.nodes={trainer.nodes} needs trainer.rendezvous=HOST:PORT, where the processes of all of them meet"
        )


def uses_gpu(trainer: TrainerConfig) -> bool:
    """Whether training runs on a GPU."""
    return trainer.accelerator != "cpu" and torch.cuda.is_available()


def check_monitor(config: Config, prepared: Prepared) -> None:
    """Raises DataError for a dev set that training.monitor cannot score, such as ROUGE of a script it does not read."""
    if config.training.monitor != "loss":
        references = [pair.target for pair in prepared.dev_pairs[: config.training.dev_lines or None]]
        metric = monitored_metric(config.training.monitor)
        score(references, [references], [metric], **metric_tokenizers(config), bootstrap=0)


def monitored_metric(monitor: str) -> str:
    """The name in METRICS of a choice of training.monitor."""
    return {"rouge": "rougeL"}.get(monitor, monitor)


def metric_tokenizers(config: Config) -> dict[str, Any]:
    """How metrics split the targets into words, by the names in MetricOptions."""
    return {"language": config.data.languages()[1], "rouge_tokenizer": config.training.rouge_tokenizer}


def check_plan(config: Config, prepared: Prepared, start: Run | None) -> None:
    """Raises ConfigError or RunError unless the model fits the machine, the text and the weights of `start`."""
    model = build_meta_model(config.model, prepared.vocabularies.source.size, prepared.vocabularies.target.size)
    check_memory(config, prepared)
    check_lengths(model, prepared, config.training.pad_to_multiple_of)
    if start:
        with open_tensors(start.folder / WEIGHTS) as file:
            check_fit(model, file, start.folder / WEIGHTS, _configured_model(config, start))
        checked_hash(start.folder, WEIGHTS)


def _configured_model(config: Config, start: Run) -> str:
    """The model of `config`, for messages, with the settings in which it differs from that of `start`."""
    changed = [(name, *values) for name, *values in differences(start.config, config) if name.startswith("model.")]
    given = ", ".join(f"{name}={ours} in place of {theirs}" for name, theirs, ours in changed)
    return f"the model of {given or 'these settings'}"


def check_accumulation(config: Config, prepared: Prepared) -> None:
    """Raises ConfigError for more batches in an update than an epoch has: the rest would be empty."""
    t = config.training
    if t.accumulate == 1:
        return
    padding = BatchOptions(multiple=t.pad_to_multiple_of)
    batches = len(TrainBatches(prepared.train, t.batch_tokens, config.seed, padding).plan())
    if t.accumulate > batches:
        raise ConfigError(
            f"training.accumulate={t.accumulate} is more than an epoch has batches, {batches} of "
            f"training.batch_tokens={t.batch_tokens}: no update goes beyond an epoch"
        )


def check_lengths(model: EncoderDecoder, prepared: Prepared, multiple: int) -> None:
    """Raises ConfigError for text that the model has too few positions for. multiple: training.pad_to_multiple_of."""
    limits = {"source": model.max_source, "target": model.max_target}
    for name, pairs in (("training", prepared.train), ("dev", prepared.dev)):
        lengths = {"source": pairs.source_lengths, "target": pairs.target_lengths}
        for side, limit in limits.items():
            if limit is None:
                continue
            if limit % multiple:
                raise ConfigError(
                    f"training.pad_to_multiple_of={multiple} does not divide model.max_length={limit}, "
                    "beyond which there are no positions"
                )
            longest = int(lengths[side].max())
            if longest > limit:
                cure = "raise it, or lower data.max_tokens" if name == "training" else "raise it"
                raise ConfigError(
                    f"model.max_length={limit} is too small: the longest {name} {side} has {longest} tokens; {cure}"
                )
