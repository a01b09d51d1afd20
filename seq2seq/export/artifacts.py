"""From runs to artifacts of every format: made in a scratch folder, translated with through their own runtime, put
through the parity gate, and only then written where they belong.
"""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from seq2seq.config import Config
from seq2seq.config.io import parse_config, saved_text
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.errors import choose, os_errors_named
from seq2seq.export.bundle import Files, size_of, weights_bundle, without_paths
from seq2seq.export.card import make_card
from seq2seq.export.formats import LIBRARY_SETTINGS
from seq2seq.export.parity import Gate, GateSentence, Measured, measure, pass_gate
from seq2seq.export.runners import RUNNERS
from seq2seq.runs.directory import Run
from seq2seq.runs.weights import load_model
from seq2seq.runtime.bundle import CARD, PARITY, replace_folder, write_bundle
from seq2seq.runtime.parity import SETTINGS as GATE_SETTINGS
from seq2seq.runtime.parity import Output, ParityRecord
from seq2seq.runtime.translation import LineTranslator
from seq2seq.runtime.untrusted import MIB, read_text
from seq2seq.translator import Translator

MAX_SETTINGS_BYTES = MIB


class Artifact(ABC):
    """An exported translator that is not written yet."""

    @abstractmethod
    def size(self) -> int:
        """Bytes of its files."""

    @abstractmethod
    def translate(self, sentences: Sequence[GateSentence]) -> Measured:
        """Its translations, by its own runtime."""

    @abstractmethod
    def write(self, path: Path, more: Files, overwrite: bool) -> None:
        """Write it with `more` files. Raises ConfigError if there is something that may not be overwritten."""


@dataclass
class BundleArtifact(Artifact):
    """A bundle of ours."""

    config: Mapping[str, Any]
    files: Files
    opener: Callable[[Path], LineTranslator] = partial(Translator.open, **GATE_SETTINGS)

    def size(self) -> int:
        """As Artifact."""
        return size_of(self.files)

    def translate(self, sentences: Sequence[GateSentence]) -> Measured:
        """As Artifact, from a bundle without card and record."""
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "bundle"
            write_bundle(path, self.config, self.files)
            return measure(self.opener(path), sentences)

    def write(self, path: Path, more: Files, overwrite: bool) -> None:
        """As Artifact."""
        write_bundle(path, self.config, self.files | more, overwrite=overwrite)


@dataclass
class LibraryArtifact(Artifact):
    """A folder for another library."""

    form: str
    folder: Path  # in a scratch folder on the disk of the result
    config: Config

    def size(self) -> int:
        """As Artifact."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def translate(self, sentences: Sequence[GateSentence]) -> Measured:
        """As Artifact. Raises ConfigError if the library is not installed."""
        lines = [one.source for one in sentences]
        return Measured(run_library(self.form, self.folder, lines, self.config), None)

    def write(self, path: Path, more: Files, overwrite: bool) -> None:
        """As Artifact."""
        settings = {LIBRARY_SETTINGS: saved_text(without_paths(self.config)).encode()}
        for name, content in (settings | more).items():
            (self.folder / name).write_bytes(content)
        if overwrite:
            replace_folder(self.folder, path)
        else:
            self.folder.rename(path)


def run_library(form: str, folder: Path, lines: Sequence[str], config: Config) -> list[Output]:
    """Translations of the folder of another library by that library, with the search of the gate."""
    config = replace(config, search=config.search.changed(**GATE_SETTINGS))
    return [Output(*found) for found in choose(RUNNERS, form, "format")(folder, lines, config)]


def make_artifacts(
    runs: Sequence[Run], form: str, dtypes: Sequence[str], scratch: Path, shrink: bool = False
) -> dict[str, Artifact]:
    """An artifact of each precision. scratch: an empty folder, for files of other libraries; shrink: as OnnxExporter.

    Raises RunError if a run has no weights, ConfigError if a library is not installed."""
    if form == "onnx":
        from seq2seq.export.onnx import OnnxExporter

        exporter = OnnxExporter(runs, shrink)
        return {dtype: BundleArtifact(*exporter.bundle(dtype)) for dtype in dtypes}
    if form == "pt2":
        from seq2seq.export.pt2 import ProgramExporter, open_written

        programs = ProgramExporter(runs)
        return {dtype: BundleArtifact(*programs.bundle(dtype), open_written) for dtype in dtypes}
    if form == "weights":
        return {dtype: BundleArtifact(*weights_bundle(runs, dtype)) for dtype in dtypes}
    (run,) = runs
    return {dtype: _library_artifact(run, form, dtype, scratch / dtype) for dtype in dtypes}


def _library_artifact(run: Run, form: str, dtype: str, folder: Path) -> LibraryArtifact:
    """The folder of another library."""
    write = _writers()[form]
    write(load_model(run), run.config, run.vocabularies, folder, dtype)
    return LibraryArtifact(form, folder, run.config)


def _writers() -> dict[str, Any]:
    """The functions that write folders for other libraries, imported when they are needed."""
    from seq2seq.export.argos import write_argos
    from seq2seq.export.ctranslate2 import write_ctranslate2
    from seq2seq.export.huggingface import write_huggingface

    return {"ctranslate2": write_ctranslate2, "huggingface": write_huggingface, "argos": write_argos}


class Exported(NamedTuple):
    """An artifact that went through the gate."""

    artifact: Artifact
    record: ParityRecord
    failure: str  # why it fails the gate; '' if it does not
    measured: Measured
    size: int  # bytes


def through_gate(artifact: Artifact, gate: Gate, form: str, dtype: str, allow_loss: float | None) -> Exported:
    """Translate the sentences of the gate with an artifact. allow_loss: as of `pass_gate`."""
    measured = artifact.translate(gate.sentences)
    record, failure = pass_gate(gate, measured.outputs, form=form, dtype=dtype, allow_loss=allow_loss)
    return Exported(artifact, record, failure, measured, artifact.size())


def write_exported(exported: Exported, runs: Sequence[Run], path: Path, overwrite: bool) -> None:
    """Write an artifact with its card and the record of its gate."""
    more = {CARD: make_card(runs, exported.record).encode(), PARITY: exported.record.as_json()}
    with os_errors_named(path):
        exported.artifact.write(path, more, overwrite)


def checkpoint_size(runs: Sequence[Run]) -> int:
    """Bytes of weights and tokenizers of runs."""
    from seq2seq.runs.directory import WEIGHTS

    return sum((run.folder / WEIGHTS).stat().st_size for run in runs) + _tokenizer_size(runs[0].vocabularies)


def _tokenizer_size(both: Vocabularies) -> int:
    return len(both.source.serialized) + (0 if both.joint else len(both.target.serialized))


def library_settings(folder: Path) -> Config:
    """The settings in the folder of another library. Raises RunError if they are missing or damaged."""
    return parse_config(read_text(folder / LIBRARY_SETTINGS, MAX_SETTINGS_BYTES), folder / LIBRARY_SETTINGS)
