"""A run directory: its files, name and lock, and opening it. Nothing in it is code; this module imports no torch.

config.yaml                     every setting, resolved
run.json                        versions, seed, hashes of data, tokenizer and weights, whether training is finished
joint.spm | source.spm target.spm
weights.safetensors             the weights of the best validation, or as training.average and ema have them
shortlist.safetensors           likely translations of each source id, if `seq2seq shortlist` was run
metrics.csv, log.txt            losses and scores during training; its log
training.lock                   held by the process that trains
checkpoints/                    last.ckpt to resume from, previous.ckpt, damaged.ckpt, update-N.safetensors
evaluation/NAME/                hypotheses, scores, alignments of a test set
"""

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from seq2seq.config import Config
from seq2seq.config.io import read_config, settings_hash
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.errors import BusyError, RunError, check_path, nearest_hint, shortened
from seq2seq.runtime.bundle import CONFIG as BUNDLE_CONFIG
from seq2seq.runtime.bundle import ENDING, is_bundle
from seq2seq.runtime.untrusted import MIB, open_file, open_lock, read_json
from seq2seq.utils.files import write_json

CONFIG, INFO, WEIGHTS = "config.yaml", "run.json", "weights.safetensors"
LAST, PREVIOUS = "checkpoints/last.ckpt", "checkpoints/previous.ckpt"
METRICS, LOG = "metrics.csv", "log.txt"
HASHES = "sha256"  # entry of run.json: name of a file of weights -> the SHA-256 that it may have
UNKNOWN_TEXT = "unknown"  # in place of the hash of the training text of imported models, which compare with each other
MAX_INFO_BYTES, MAX_WEIGHTS_BYTES = 4 * MIB, 2**34  # far more than any run needs


@dataclass(frozen=True)
class Run:
    """An existing run directory with valid settings."""

    folder: Path
    config: Config
    info: dict[str, Any]  # run.json

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """Open a run directory. Raises RunError if it is missing, incomplete, damaged or of another version.

        ConfigError for what is no path."""
        check_path("run", folder)
        folder = Path(folder)
        try:
            if not folder.is_dir():
                raise RunError(missing_run(folder))
        except OSError as error:
            raise RunError(f"{shortened(folder)} cannot be opened: {error.strerror}") from error
        missing = [name for name in (CONFIG, INFO) if not os.path.lexists(folder / name)]
        if missing:
            raise RunError(bundle_sentence(folder) or f"{folder} is not a whole run directory: {missing[0]} is missing")
        info = read_info(folder)
        return cls(folder, read_config(folder / CONFIG), info)

    @property
    def weights_removed(self) -> bool:
        """Whether the run is finished and its weights are missing: they were deleted, or not copied with the rest."""
        return bool(self.info.get("finished")) and not (self.folder / WEIGHTS).exists()

    @cached_property
    def vocabularies(self) -> Vocabularies:
        """The tokenizers. Raises RunError if they are missing, damaged, or not those that the run was trained with."""
        return Vocabularies.open(self.folder, self.info["tokenizer"])

    def need_text(self, why: str) -> None:
        """Raise RunError if the training text is not known, as that of an imported model; `why` it is needed."""
        if self.info.get("data") == UNKNOWN_TEXT:
            raise RunError(f"the training text of {self.folder} is not known, as it was imported: {why}")

    def check_text(self, data_hash: str, tokenizer: str, links_hash: str = "") -> None:
        """Raise RunError unless these hashes of text, tokenizer and word links are those of the run's training."""
        if links_hash and links_hash != self.info.get("links"):
            raise RunError(
                f"the word links of data={self.config.data.name} are not those that {self.folder} was trained on"
            )
        if data_hash != self.info.get("data") or tokenizer != self.vocabularies.sha256:
            raise RunError(f"the text of data={self.config.data.name} is not what {self.folder} was trained on")


def read_info(folder: Path) -> dict[str, Any]:
    """The contents of run.json. Raises RunError if it is damaged."""
    info = read_json(folder / INFO, MAX_INFO_BYTES)
    if not isinstance(info, dict) or not isinstance(info.get("tokenizer"), str):
        raise RunError(f"{folder / INFO} is damaged: it does not name a tokenizer")
    hashes = info.get(HASHES, {})
    if not isinstance(hashes, dict) or not all(isinstance(known, list) for known in hashes.values()):
        raise RunError(f"{folder / INFO} is damaged: {HASHES} does not list hashes by file")
    return info


def checked_hash(folder: Path, name: str, listed: str = "", most: int = MAX_WEIGHTS_BYTES) -> str:
    """SHA-256 of the file `name` of weights in a run directory, as hexadecimal digits.

    listed: the name that it had when its hash was listed in run.json, '' for the same. Raises RunError if it cannot be
    read, or is not one that run.json lists. Runs of earlier versions list none."""
    before, found = read_info(folder), file_hash(folder, name, most)
    # run.json is read again, since a process that trains may have replaced the weights meanwhile
    if any(found in info.get(HASHES, {}).get(listed or name, [found]) for info in (before, read_info(folder))):
        return found
    raise RunError(
        f"{folder / name} is not what the training wrote: its SHA-256 is not in {INFO}; it is damaged or was replaced"
    )


def model_hash(path: Path) -> str:
    """SHA-256, as hexadecimal digits, of the weights of a run directory, or of all that a bundle holds.

    Raises RunError if they cannot be read."""
    file = main_file(path)
    return file_hash(file.parent, file.name)


def main_file(path: Path) -> Path:
    """The file of a run directory or bundle that changes when the model does: the weights, or the list of hashes."""
    if path.is_dir():
        return path / (BUNDLE_CONFIG if (path / BUNDLE_CONFIG).exists() else WEIGHTS)
    return path


def file_hash(folder: Path, name: str, most: int = MAX_WEIGHTS_BYTES) -> str:
    """SHA-256 of a file in a run directory, as hexadecimal digits.

    Raises RunError if it cannot be read, or has more than `most` bytes."""
    with open_file(folder / name, most, root=folder) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record_hash(folder: Path, name: str, new: str, *, replaced: bool, kept: int = 1) -> None:
    """List the SHA-256 of a file of weights in run.json; hashes of files that exist no longer are dropped.

    replaced: the new file is in its place. Before that, call it with False, which also keeps what is listed already:
    wherever a process is killed, it leaves a file whose hash is listed. kept: of how many files, the last ones that had
    this name."""
    info = read_info(folder)
    hashes = {file: known for file, known in info.get(HASHES, {}).items() if (folder / file).exists()}
    listed = [new, *(known for known in hashes.get(name, []) if known != new)]
    hashes[name] = listed[:kept] if replaced else listed
    write_json(folder / INFO, info | {HASHES: hashes})


def run_directory(config: Config, data_hash: str) -> Path:
    """runs/{data}-{variant}-{languages}-s{seed}-{hash of the settings and the text}.

    The languages, such as de-en, are left out where `variant` is set; and where there is a run under the name that it
    had in earlier versions, without them."""
    ending = f"s{config.seed}-{settings_hash(config, data_hash)}"
    start = Path(config.runs) / f"{config.data.name}-{variant_name(config)}"
    former = start.with_name(f"{start.name}-{ending}")
    languages = f"{config.data.source}-{config.data.target}"
    if config.variant or config.task != "translation" or not re.fullmatch(r"[\w.,=+-]+", languages) or former.exists():
        return former
    return start.with_name(f"{start.name}-{languages}-{ending}")


def variant_name(config: Config) -> str:
    """`variant` if it is set, else the model family and the parts of the attention that are not defaults, or what is in
    its place in a model that labels."""
    model, attention = config.model, config.model.attention
    parts = [model.name, attention.scorer]
    if model.output == "tags":
        parts[1] = "crf" if model.crf else "tags"
    elif model.output != "text" and model.pooling != "attention":
        parts[1] = model.pooling
    if attention.window != "everywhere":
        parts.append(attention.window)
    if attention.normalizer != "softmax":
        parts.append(attention.normalizer)
    if attention.coverage:
        parts.append("coverage")
    return config.variant or "-".join(parts)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run directory, in which only one process trains. Raises BusyError if another process holds it.

    The lock ends with the process. Its file stays: if it were removed and made again, two processes could hold the
    locks of two files."""
    with open_lock(folder / "training.lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"{folder} is being trained by another process") from None
        yield


def path_inside(run: Path, name: str) -> Path:
    """run/name, to be written or removed. Raises RunError if a symbolic link in it leads out of the run directory."""
    if not (run / name).resolve().is_relative_to(run.resolve()):
        raise RunError(f"{run / name} leads out of the run: its files would be written elsewhere")
    return run / name


def is_artifact(path: str | Path) -> bool:
    """Whether a path is to be opened as a bundle, and not as a run directory: a folder with the config of one, a zip
    file, or what has the name of a bundle. ConfigError for what is no path."""
    check_path("run", path)
    path = Path(path)
    return is_bundle(path) and (path.suffix == ENDING or path.is_dir() or (path.is_file() and is_zipfile(path)))


def bundle_sentence(path: Path) -> str:
    """The error sentence for a bundle in place of a run directory; '' for what is none."""
    if not is_artifact(path):
        return ""
    return f"{path} is not a run directory: it is a bundle; name the run that it was exported from"


def missing_run(folder: Path) -> str:
    """The error sentence for a path that is not a folder, with the run directory whose name is nearest."""
    if folder.exists() and (sentence := bundle_sentence(folder)):
        return sentence
    names = [path.parent.name for path in folder.parent.glob(f"*/{INFO}")] if folder.parent.is_dir() else []
    hint = nearest_hint(folder.name, names, lambda name: folder.parent / name, cutoff=0.5)
    return f"{folder} is not a run directory: {'it is a file' if folder.exists() else 'it does not exist'}{hint}"
