"""A run directory: its files, its name, its lock, and opening it. Nothing in it is code, and this module imports no torch.

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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq.config import Config
from seq2seq.config.io import read_config, settings_hash
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.errors import BusyError, RunError

if TYPE_CHECKING:
    import torch

    from seq2seq.nn.build import EncoderDecoder

CONFIG, INFO, WEIGHTS, LAST = "config.yaml", "run.json", "weights.safetensors", "checkpoints/last.ckpt"


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
            raise RunError(
                f"{self.folder}: the tokenizer there is not the one that the run was trained with (its SHA-256 differs)"
            )
        return found

    def check_text(self, data_hash: str, tokenizer: str, links_hash: str = "") -> None:
        """RunError if a corpus with these hashes, or word links other than these, is not what the run began with."""
        if links_hash and links_hash != self.info.get("links"):
            raise RunError(
                f"the word links of data={self.config.data.name} are not those that {self.folder} was trained on"
            )
        if data_hash != self.info.get("data") or tokenizer != self.vocabularies.sha256:
            raise RunError(f"the text of data={self.config.data.name} is not what {self.folder} was trained on")

    def model(self, weights: str = WEIGHTS) -> "EncoderDecoder":
        """The model with the weights of this file, in evaluation mode on the CPU. RunError if it has none that fit."""
        from seq2seq.runs.weights import load_model

        return load_model(self, weights)

    def translations(self) -> "torch.Tensor":
        """The likeliest target ids of each source id (V of the source, K). RunError: not made yet, damaged, of another vocabulary."""
        from seq2seq.runs.weights import load_translations

        return load_translations(self)


def absent(folder: Path) -> str:
    """The sentence for a path that is no folder."""
    return (
        f"{folder} is not a run directory: {'it is a file' if folder.exists() else 'it does not exist'}{near(folder)}"
    )


def near(folder: Path) -> str:
    """A hint at the run directory that was perhaps meant."""
    from difflib import get_close_matches

    names = [p.parent.name for p in folder.parent.glob(f"*/{INFO}")] if folder.parent.is_dir() else []
    found = get_close_matches(folder.name, names, n=1, cutoff=0.5)
    return f" (did you mean {folder.parent / found[0]}?)" if found else ""
