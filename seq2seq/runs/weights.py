"""Saving and loading the weights of a run, and its shortlist, as safetensors."""

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

SHORTLIST, TABLE = "shortlist.safetensors", "translations"  # a file, and the name of its tensor
MODEL_OF_RUN = f"the model of its {CONFIG}"  # what weights have to fit, for messages


def save_weights(weights: dict[str, torch.Tensor], path: Path, **metadata: str) -> None:
    """Write named tensors and `metadata` as safetensors, atomically. Raises TrainingError if the disk is full."""
    with atomic_write(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode  # that of any new file; safetensors makes its own readable by the owner only
        try:
            save_file({name: value.detach().contiguous().cpu() for name, value in weights.items()}, temporary, metadata)
        except SafetensorError as error:
            raise TrainingError(f"{path} cannot be written: {error}") from None
        temporary.chmod(mode)


@contextmanager
def open_tensors(path: Path) -> Iterator[Any]:
    """An open safetensors file. Raises RunError if it is missing or damaged."""
    try:
        with safe_open(path, "pt") as file:
            yield file
    except FileNotFoundError:  # safetensors also raises it where permission is denied
        raise RunError(f"{path} {'cannot be opened' if path.exists() else 'is missing'}") from None
    except SafetensorError:
        raise RunError(f"{path} cannot be read as safetensors: it is damaged, or another kind of file") from None
    except OSError as error:
        raise RunError(f"{path} cannot be read as safetensors: {error.strerror or error}") from None


def load_weights(model: nn.Module, path: Path, target: str = MODEL_OF_RUN) -> None:
    """Fill `model` from a safetensors file; `target` names it in messages.

    Raises RunError if the file is missing or damaged, has values that are not finite, or other tensors than the
    model."""
    with open_tensors(path) as file:
        check_fit(model, file, path, target)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                value = file.get_tensor(name)
                if not value.isfinite().all():
                    raise RunError(f"{path} holds weights that are not finite numbers, such as in {name}")
                parameter.copy_(value)


def check_fit(model: nn.Module, file: Any, path: Path, target: str) -> None:
    """Raise RunError unless `file` has exactly the parameters of `model`, which may be on the meta device.

    file: as of `open_tensors`, its path and the name of the model for messages."""
    expected, names = dict(model.named_parameters()), set(file.keys())
    wrong = sorted(names ^ expected.keys())
    if not wrong:
        wrong = sorted(name for name in names if tuple(file.get_slice(name).get_shape()) != expected[name].shape)
    if wrong:
        count = f"{len(wrong)} of {len(expected)} tensors differ, such as {wrong[0]}"
        raise RunError(f"{path} does not fit {target}: {count}")


def load_model(run: Run, weights: str = WEIGHTS) -> EncoderDecoder:
    """The model of `run` with the weights of this file, in evaluation mode on the CPU.

    Raises RunError if there are no weights yet, or they do not fit the settings."""
    if not (path := run.folder / weights).exists():
        if run.info.get("finished"):
            raise RunError(f"{path} is missing, though training is finished")
        why = "training has not reached its first validation"
        raise RunError(f"{run.folder} has no {weights} yet: {why}; resume={run.folder} continues it")
    # First on the meta device: a config that does not fit its weights may ask for more memory than there is.
    with open_tensors(path) as file, torch.device("meta"), SkipInit():
        layers = run.config.model.encoder_layers + run.config.model.decoder_layers
        if layers > len(file.keys()):  # or for more layers than can be built in reasonable time
            raise RunError(f"{path} does not fit {MODEL_OF_RUN}: {layers} layers, {len(file.keys())} tensors")
        check_fit(_build(run), file, path, MODEL_OF_RUN)
    with SkipInit():
        model = _build(run)
    load_weights(model, path)
    return model.eval()


def _build(run: Run) -> EncoderDecoder:
    """The model of `run` without its weights. Raises RunError if its settings are impossible."""
    try:
        return build_model(run.config.model, run.vocabularies.source.size, run.vocabularies.target.size)
    except ConfigError as error:
        raise RunError(f"{run.folder / CONFIG}: {error}") from None


def save_translations(run: Run, table: torch.Tensor) -> Path:
    """Save the table that `load_translations` returns in the run directory. Returns the file."""
    save_weights({TABLE: table}, run.folder / SHORTLIST, tokenizer=run.vocabularies.sha256)
    return run.folder / SHORTLIST


def load_translations(run: Run) -> torch.Tensor:
    """The likeliest target ids of each source id, (V of the source, K) int32.

    Raises RunError if they are not made yet, damaged, or of another tokenizer."""
    path, sizes = run.folder / SHORTLIST, (run.vocabularies.source.size, run.vocabularies.target.size)
    command = f"seq2seq shortlist {run.folder}"
    if not path.exists():
        raise RunError(f"{run.folder} has no {SHORTLIST}: {command} learns it from the training text")
    table = None
    with open_tensors(path) as file:
        known = set(file.keys()) == {TABLE} and (file.metadata() or {}).get("tokenizer") == run.vocabularies.sha256
        shape = file.get_slice(TABLE).get_shape() if known else []
        if len(shape) == 2 and shape[0] == sizes[0] and 0 < shape[1] <= sizes[1]:
            table = file.get_tensor(TABLE)
    if table is None or table.dtype != torch.int32 or not 0 <= table.min() <= table.max() < sizes[1]:
        raise RunError(f"{path} does not fit the tokenizer of the run: {command} makes a new one")
    return table
