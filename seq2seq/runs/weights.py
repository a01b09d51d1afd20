"""Saving and loading the weights of a run, and its shortlist, as safetensors."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from seq2seq.config import ModelConfig
from seq2seq.errors import ConfigError, RunError, TrainingError, shortened
from seq2seq.nn.build import EncoderDecoder, SkipInit, build_model
from seq2seq.runs.directory import CONFIG, MAX_WEIGHTS_BYTES, WEIGHTS, Run, checked_hash, file_hash, record_hash
from seq2seq.runtime.untrusted import library_path, open_file
from seq2seq.runtime.vocabulary import VocabularyPair
from seq2seq.utils.files import atomic_write
from seq2seq.utils.overrides import resume_word

DTYPES = ("F32", "F64", "F16", "BF16")  # of weights, as safetensors names them
SHORTLIST, TABLE = "shortlist.safetensors", "translations"  # a file, and the name of its tensor
MODEL_OF_RUN = f"the model of its {CONFIG}"  # what weights have to fit, for messages


def save_tensors(tensors: dict[str, torch.Tensor], path: Path, **metadata: str) -> None:
    """Write named tensors and `metadata` as safetensors, atomically. Raises TrainingError if the disk is full."""
    with atomic_write(path) as temporary:
        _write(tensors, temporary, metadata, path)


def save_weights(weights: dict[str, torch.Tensor], run: Path, name: str = WEIGHTS) -> None:
    """Write weights to the file `name` of a run directory, atomically, and their SHA-256 to its run.json.

    A process that is killed at any point leaves weights whose hash is listed. Raises TrainingError if the disk is
    full."""
    with atomic_write(run / name) as temporary:
        _write(weights, temporary, {}, run / name)
        digest = file_hash(temporary.parent, temporary.name)
        record_hash(run, name, digest, replaced=False)
    record_hash(run, name, digest, replaced=True)


def _write(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str], final: Path) -> None:
    """Write a file that `final` will be the name of. Raises TrainingError, which names that."""
    path.touch()
    mode = path.stat().st_mode  # that of any new file; safetensors makes its own readable by the owner only
    try:
        save_file({name: value.detach().contiguous().cpu() for name, value in tensors.items()}, path, metadata)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))  # such as of a full disk
        why = os.strerror(int(number[1])) if number else "safetensors refuses it"
        raise TrainingError(f"{final} cannot be written: {why}") from error
    path.chmod(mode)


@contextmanager
def open_tensors(path: Path, *, root: Path | None = None) -> Iterator[Any]:
    """An open safetensors file; `root`: the folder that links may not lead out of, by default its own.

    Raises RunError if it is missing or damaged."""
    with open_file(path, MAX_WEIGHTS_BYTES, root=root) as file, opened_tensors(file, path) as tensors:
        yield tensors


@contextmanager
def opened_tensors(file: Any, path: str | Path) -> Iterator[Any]:
    """The same of a file that is open. Raises RunError, which calls it `path`, if it is damaged."""
    try:
        with safe_open(library_path(file), "pt") as tensors:
            yield tensors
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} cannot be read as safetensors: it is damaged, or another kind of file") from error


def load_weights(model: nn.Module, run: Path, name: str = WEIGHTS, target: str = MODEL_OF_RUN) -> None:
    """Fill `model` from the file `name` of a run directory; `target` names the model in messages.

    Raises RunError if the file is missing or damaged, is not the one that was written, has values that are not finite,
    or other tensors than the model."""
    with open_tensors(run / name, root=run) as file:
        check_fit(model, file, run / name, target)
        checked_hash(run, name)
        copy_weights(model, file, run / name)


@torch.no_grad()
def copy_weights(model: nn.Module, file: Any, path: str | Path) -> None:
    """Fill a model with the weights of a file, which has those that it needs. RunError for values that are not
    finite."""
    for key, parameter in model.named_parameters():
        parameter.copy_(file.get_tensor(key))
        if not parameter.isfinite().all():  # in the dtype of the model, which may have a smaller range
            raise RunError(f"{path} holds weights that are not finite numbers, such as in {key}")


def check_fit(model: nn.Module, file: Any, path: str | Path, target: str) -> None:
    """Raise RunError unless `file` has exactly the parameters of `model`, which may be on the meta device.

    file: as of `open_tensors`, its path and the name of the model for messages."""
    expected, names = dict(model.named_parameters()), set(file.keys())
    wrong = sorted(names ^ expected.keys())
    if not wrong:
        wrong = sorted(name for name in names if tuple(file.get_slice(name).get_shape()) != expected[name].shape)
    if wrong:
        count = f"{len(wrong)} of {len(expected)} tensors differ, such as {shortened(wrong[0])}"
        raise RunError(f"{path} does not fit {target}: {count}")
    for name in names:
        if (dtype := file.get_slice(name).get_dtype()) not in DTYPES:
            raise RunError(f"{path} holds {dtype} numbers in {name}, where one of {', '.join(DTYPES)} is needed")


def load_model(run: Run, weights: str = WEIGHTS) -> EncoderDecoder:
    """The model of `run` with the weights of this file, in evaluation mode on the CPU.

    Raises RunError if there are no weights yet, or they do not fit the settings."""
    if not os.path.exists(path := run.folder / weights):  # False also for a name that is too long
        if run.info.get("finished"):
            raise RunError(f"{path} is missing, though training is finished")
        why = "training has not reached its first validation"
        raise RunError(f"{run.folder} has no {weights} yet: {why}; {resume_word(run.folder)} continues it")
    with open_tensors(path, root=run.folder) as file:
        model = empty_model(run.config.model, run.vocabularies, file, path, str(run.folder / CONFIG))
    load_weights(model, run.folder, weights)
    return model.eval()


def empty_model(
    config: ModelConfig, vocabularies: VocabularyPair, file: Any, path: str | Path, settings: str
) -> EncoderDecoder:
    """The model of `config`, whose parameters hold no values yet.

    file: of its weights, as of `open_tensors`; path: its name; settings: that of the file of its settings, for messages
    Raises RunError if the weights do not fit the settings, or these are impossible."""
    sizes = vocabularies.source.size, vocabularies.target.size
    try:
        # First on the meta device: a config that does not fit its weights may ask for more memory than there is.
        with torch.device("meta"), SkipInit():
            layers = config.encoder_layers + config.decoder_layers
            if layers > len(file.keys()):  # or for more layers than can be built in reasonable time
                raise RunError(f"{path} does not fit {MODEL_OF_RUN}: {layers} layers, {len(file.keys())} tensors")
            check_fit(build_model(config, *sizes), file, path, MODEL_OF_RUN)
        with SkipInit():
            model = build_model(config, *sizes)
        read_entries(model, vocabularies)
        return model
    except ConfigError as error:
        raise RunError(f"{settings}: {error}") from None


def read_entries(model: EncoderDecoder, vocabularies: VocabularyPair) -> None:
    """Give a model the entries of its vocabularies, which a model of labels reads."""
    model.read_entries(*(side.pieces(range(side.size)) for side in (vocabularies.source, vocabularies.target)))


def save_translations(run: Run, table: torch.Tensor) -> Path:
    """Save the table that `load_translations` returns in the run directory. Returns the file."""
    metadata = {"tokenizer": run.vocabularies.sha256, "sha256": _table_hash(table)}
    save_tensors({TABLE: table}, run.folder / SHORTLIST, **metadata)
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
        metadata = file.metadata() or {}
        known = set(file.keys()) == {TABLE} and metadata.get("tokenizer") == run.vocabularies.sha256
        part = file.get_slice(TABLE) if known else None
        shape = part.get_shape() if part and part.get_dtype() == "I32" else []
        if len(shape) == 2 and shape[0] == sizes[0] and 0 < shape[1] <= sizes[1]:
            table = file.get_tensor(TABLE)
    if table is None or not 0 <= table.min() <= table.max() < sizes[1]:
        raise RunError(f"{path} does not fit the tokenizer of the run: {command} makes a new one")
    if metadata.get("sha256", digest := _table_hash(table)) != digest:  # earlier versions wrote none
        raise RunError(f"{path} is damaged: {command} makes a new one")
    return table


def _table_hash(table: torch.Tensor) -> str:
    """SHA-256 of an int32 table, as hexadecimal digits."""
    return hashlib.sha256(table.numpy().astype("<i4").tobytes()).hexdigest()
