"""What does a run directory hold, and how is it opened? Settings, tokenizer, weights, metrics; nothing in it is code.

config.yaml                     every setting, resolved
run.json                        versions, seed, hashes of data and tokenizer, whether training is finished
joint.spm | source.spm target.spm
weights.safetensors             the weights that are used
shortlist.safetensors           translations of each source id, if they were asked for
metrics.csv, log.txt            what training saw and said
training.lock                   held by the process that trains
checkpoints/                    last.ckpt to go on from, update-N.safetensors
evaluation/NAME/                hypotheses, scores, alignments of a test set
"""

import fcntl
import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

import seq2seq
from seq2seq.config import Config
from seq2seq.config.io import read_config, settings_hash
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.errors import BusyError, ConfigError, RunError, TrainingError
from seq2seq.nn.build import EncoderDecoder, Unfilled, build_model
from seq2seq.utils.files import written

CONFIG, INFO, WEIGHTS, LAST = "config.yaml", "run.json", "weights.safetensors", "checkpoints/last.ckpt"
SHORTLIST, TABLE = "shortlist.safetensors", "translations"
OWN = f"the model of its {CONFIG}"  # what weights are expected to fit


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one process trains in a run directory. BusyError if another does; the lock goes with the process that holds it.

    The file stays: two processes could hold the lock of a file that is removed and made again."""
    with (folder / "training.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"{folder} is being trained by another process") from None
        yield


def variant(config: Config) -> str:
    """The run's name beside its corpus: family and what the attention is made of, unless one is given."""
    attention = config.model.attention
    parts = [config.model.name, attention.scorer]
    parts += [attention.window] if attention.window != "everywhere" else []
    parts += [attention.normalizer] if attention.normalizer != "softmax" else []
    parts += ["coverage"] if attention.coverage else []
    return config.variant or "-".join(parts)


def run_directory(config: Config, data_hash: str) -> Path:
    """runs/{data}-{variant}-s{seed}-{hash of the settings and the text}."""
    return Path(config.runs) / f"{config.data.name}-{variant(config)}-s{config.seed}-{settings_hash(config, data_hash)}"


def versions() -> dict[str, str]:
    """What a run was made with."""
    return {"seq2seq": seq2seq.__version__, "torch": torch.__version__, "python": platform.python_version()}


def save_weights(weights: dict[str, torch.Tensor], path: Path, **words: str) -> None:
    """Named tensors, and words about them, as safetensors; whole or not at all. TrainingError if the disk does not take them."""
    with written(path) as temporary:
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
    wrong = sorted(names ^ wanted.keys()) or sorted(n for n in names if tuple(file.get_slice(n).get_shape()) != wanted[n].shape)
    if wrong:
        differ = f"{len(wrong)} of {len(wanted)} tensors differ, such as {wrong[0]}"
        raise RunError(f"{path} does not fit {whose}: {differ}")


def inside(run: Path, name: str) -> Path:
    """run/name, where something is to be written or removed. RunError where a link in a stranger's run leads elsewhere."""
    if not (run / name).resolve().is_relative_to(run.resolve()):
        raise RunError(f"{run / name} leads out of the run: what is kept would be written elsewhere")
    return run / name


def read_info(folder: Path) -> dict[str, Any]:
    """What run.json says. RunError if it is damaged."""
    try:
        info = json.loads((folder / INFO).read_text(encoding="utf-8"))
        if not isinstance(info, dict) or not isinstance(info.get("tokenizer"), str):
            raise ValueError("it says nothing of a tokenizer")
    except (ValueError, OSError, RecursionError) as error:
        raise RunError(f"{folder / INFO} is damaged: {error}") from None
    return info


@dataclass(frozen=True)
class Run:
    """An existing run directory whose settings and tokenizer were found good."""

    folder: Path
    config: Config
    info: dict[str, Any]

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """RunError, one sentence: missing, half-written, of another version."""
        folder = Path(folder)
        if not folder.is_dir():
            raise RunError(absent(folder))
        missing = [name for name in (CONFIG, INFO) if not (folder / name).is_file()]
        if missing:
            raise RunError(f"{folder} is not a whole run directory: {missing[0]} is missing")
        info = read_info(folder)
        return cls(folder, read_config(folder / CONFIG), info)

    @property
    def gone(self) -> bool:
        """Whether the weights of a finished run were deleted, or left where they were made."""
        return bool(self.info.get("finished")) and not (self.folder / WEIGHTS).exists()

    @cached_property
    def vocabularies(self) -> Vocabularies:
        """The tokenizer that the run was trained with, and no other."""
        found = Vocabularies.open(self.folder)
        if found.sha256 != self.info["tokenizer"]:
            raise RunError(f"{self.folder}: the tokenizer there is not the one that the run was trained with (its SHA-256 differs)")
        return found

    def check_text(self, data_hash: str, tokenizer: str, links_hash: str = "") -> None:
        """RunError if a corpus with these hashes, or word links other than these, is not what the run began with."""
        if links_hash and links_hash != self.info.get("links"):
            raise RunError(f"the word links of data={self.config.data.name} are not those that {self.folder} was trained on")
        if data_hash != self.info.get("data") or tokenizer != self.vocabularies.sha256:
            raise RunError(f"the text of data={self.config.data.name} is not what {self.folder} was trained on")

    def model(self, weights: str = WEIGHTS) -> EncoderDecoder:
        """The model with its weights, in evaluation mode on the processor."""
        if not (path := self.folder / weights).exists():
            if self.info.get("finished"):
                raise RunError(f"{path} is missing, though training is finished")
            why = "training has not reached its first validation"
            raise RunError(f"{self.folder} has no {weights} yet: {why}; resume={self.folder} goes on with it")
        with tensors(path) as file, torch.device("meta"), Unfilled():  # takes no memory for what the config asks for and the file lacks
            layers = self.config.model.encoder_layers + self.config.model.decoder_layers
            if layers > len(file.keys()):
                raise RunError(f"{path} does not fit {OWN}: {layers} layers, {len(file.keys())} tensors")
            check_fit(self.build(), file, path, OWN)
        with Unfilled():
            model = self.build()
        load_weights(model, path)
        return model.eval()

    def translations(self) -> torch.Tensor:
        """The likeliest target ids of each source id (V of the source, K). RunError: not made yet, damaged, of another vocabulary."""
        path, sizes = self.folder / SHORTLIST, (self.vocabularies.source.size, self.vocabularies.target.size)
        if not path.exists():
            raise RunError(f"{self.folder} has no {SHORTLIST}: seq2seq shortlist {self.folder} makes it from the training text")
        with tensors(path) as file:
            known = set(file.keys()) == {TABLE} and (file.metadata() or {}).get("tokenizer") == self.vocabularies.sha256
            shape = file.get_slice(TABLE).get_shape() if known else []
            fits = len(shape) == 2 and shape[0] == sizes[0] and 0 < shape[1] <= sizes[1]
            table = file.get_tensor(TABLE) if fits else None
        if table is None or table.dtype != torch.int32 or not 0 <= table.min() <= table.max() < sizes[1]:
            raise RunError(f"{path} does not fit the tokenizer of the run: seq2seq shortlist {self.folder} makes it anew")
        return table

    def save_translations(self, table: torch.Tensor) -> Path:
        """Keep them in the run: int32 as `translations` gives them."""
        save_weights({TABLE: table}, self.folder / SHORTLIST, tokenizer=self.vocabularies.sha256)
        return self.folder / SHORTLIST

    def build(self) -> EncoderDecoder:
        """The model before it has its weights. RunError for settings that no model can be built from."""
        try:
            return build_model(self.config.model, self.vocabularies.source.size, self.vocabularies.target.size)
        except ConfigError as error:
            raise RunError(f"{self.folder / CONFIG}: {error}") from None


def absent(folder: Path) -> str:
    """The sentence for a path that is no folder."""
    return f"{folder} is not a run directory: {'it is a file' if folder.exists() else 'it does not exist'}{near(folder)}"


def near(folder: Path) -> str:
    """A hint at the run directory that was perhaps meant."""
    from difflib import get_close_matches

    names = [p.parent.name for p in folder.parent.glob(f"*/{INFO}")] if folder.parent.is_dir() else []
    found = get_close_matches(folder.name, names, n=1, cutoff=0.5)
    return f" (did you mean {folder.parent / found[0]}?)" if found else ""
