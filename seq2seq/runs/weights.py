"""Weights of a run as safetensors: saving, checking and loading them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from seq2seq.errors import ConfigError, RunError, TrainingError
from seq2seq.nn.build import EncoderDecoder, SkipInit, build_model
from seq2seq.runs.directory import CONFIG, WEIGHTS, Run
from seq2seq.utils.files import atomic_write

SHORTLIST, TABLE = "shortlist.safetensors", "translations"

OWN = f"the model of its {CONFIG}"  # what weights are expected to fit


def save_weights(weights: dict[str, torch.Tensor], path: Path, **words: str) -> None:
    """Named tensors, and words about them, as safetensors; whole or not at all. TrainingError if the disk does not take them."""
    with atomic_write(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode  # that of every new file; safetensors makes its own for the owner alone
        try:
            save_file({name: value.detach().contiguous().cpu() for name, value in weights.items()}, temporary, words)
        except SafetensorError as error:
            raise TrainingError(f"{path} cannot be written: {error}") from None
        temporary.chmod(mode)


@contextmanager
def tensors(path: Path) -> Iterator[Any]:
    """An open file of safetensors. RunError if it is missing or damaged."""
    try:
        with safe_open(path, "pt") as file:
            yield file
    except FileNotFoundError:  # also where it may not be read
        raise RunError(f"{path} {'cannot be opened' if path.exists() else 'is missing'}") from None
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} cannot be read as safetensors: {error}") from None


def load_weights(model: nn.Module, path: Path, whose: str = OWN) -> None:
    """Fill `model` from safetensors. RunError: missing, damaged, not finite, or made for a model of other parts or sizes."""
    with tensors(path) as file:
        check_fit(model, file, path, whose)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                value = file.get_tensor(name)
                if not value.isfinite().all():
                    raise RunError(f"{path} holds weights that are not finite numbers, such as in {name}")
                parameter.copy_(value)


def check_fit(model: nn.Module, file: Any, path: Path, whose: str) -> None:
    """RunError unless the file holds the parameters of `model`, which may be on the meta device, and nothing else."""
    wanted, names = dict(model.named_parameters()), set(file.keys())
    wrong = sorted(names ^ wanted.keys()) or sorted(
        n for n in names if tuple(file.get_slice(n).get_shape()) != wanted[n].shape
    )
    if wrong:
        differ = f"{len(wrong)} of {len(wanted)} tensors differ, such as {wrong[0]}"
        raise RunError(f"{path} does not fit {whose}: {differ}")


def load_model(run: Run, weights: str = WEIGHTS) -> EncoderDecoder:
    """The model of `run` with its weights, in evaluation mode on the CPU. RunError if it has none that fit."""
    if not (path := run.folder / weights).exists():
        if run.info.get("finished"):
            raise RunError(f"{path} is missing, though training is finished")
        why = "training has not reached its first validation"
        raise RunError(f"{run.folder} has no {weights} yet: {why}; resume={run.folder} goes on with it")
    with (
        tensors(path) as file,
        torch.device("meta"),
        SkipInit(),
    ):  # takes no memory for what the config asks for and the file lacks
        layers = run.config.model.encoder_layers + run.config.model.decoder_layers
        if layers > len(file.keys()):
            raise RunError(f"{path} does not fit {OWN}: {layers} layers, {len(file.keys())} tensors")
        check_fit(build(run), file, path, OWN)
    with SkipInit():
        model = build(run)
    load_weights(model, path)
    return model.eval()


def build(run: Run) -> EncoderDecoder:
    """The model of `run` before it has its weights. RunError for settings that no model can be built from."""
    try:
        return build_model(run.config.model, run.vocabularies.source.size, run.vocabularies.target.size)
    except ConfigError as error:
        raise RunError(f"{run.folder / CONFIG}: {error}") from None


def load_translations(run: Run) -> torch.Tensor:
    """The likeliest target ids of each source id (V of the source, K). RunError: not made yet, damaged, of another vocabulary."""
    path, sizes = run.folder / SHORTLIST, (run.vocabularies.source.size, run.vocabularies.target.size)
    if not path.exists():
        raise RunError(
            f"{run.folder} has no {SHORTLIST}: seq2seq shortlist {run.folder} makes it from the training text"
        )
    with tensors(path) as file:
        known = set(file.keys()) == {TABLE} and (file.metadata() or {}).get("tokenizer") == run.vocabularies.sha256
        shape = file.get_slice(TABLE).get_shape() if known else []
        fits = len(shape) == 2 and shape[0] == sizes[0] and 0 < shape[1] <= sizes[1]
        table = file.get_tensor(TABLE) if fits else None
    if table is None or table.dtype != torch.int32 or not 0 <= table.min() <= table.max() < sizes[1]:
        raise RunError(f"{path} does not fit the tokenizer of the run: seq2seq shortlist {run.folder} makes it anew")
    return table


def save_translations(run: Run, table: torch.Tensor) -> Path:
    """Keep them in the run: int32 as `load_translations` gives them. Returns the file."""
    save_weights({TABLE: table}, run.folder / SHORTLIST, tokenizer=run.vocabularies.sha256)
    return run.folder / SHORTLIST
