"""Opening bundles wherever a run directory is opened: those of graphs without torch, those of weights as a run is.

This module imports no torch.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq.config import Config
from seq2seq.config.io import parse_config
from seq2seq.errors import ConfigError, RunError, shortened
from seq2seq.runs.directory import WEIGHTS, Run, is_artifact
from seq2seq.runtime.bundle import SHORTLIST_FILE, Bundle
from seq2seq.runtime.translator import Translator as GraphTranslator
from seq2seq.runtime.translator import open_vocabularies, read_table
from seq2seq.runtime.vocabulary import VocabularyPair

if TYPE_CHECKING:
    import torch

    from seq2seq.nn.build import EncoderDecoder

MODEL, SETTINGS = "model.safetensors", "config.yaml"  # files of a bundle of weights


def open_graphs(
    paths: Sequence[str | Path],
    *,
    weights: str = WEIGHTS,
    device: Any = "cpu",
    precision: str = "32",
    graphs: bool = False,
    **options: Any,
) -> GraphTranslator | None:
    """The translator of one or several bundles of graphs, which needs no torch; None if these are runs, or weights.

    options: shortlist, and settings of the search; the others are those of seq2seq.translator.Translator.open, and have
    no effect on graphs. Raises RunError as `Translator.open` of the runtime, and for bundles together with runs;
    ConfigError for an option that is not the default."""
    kinds = [is_artifact(path) and Bundle.open(path).config.kind == "onnx" for path in paths]
    if not any(kinds):
        return None
    first = Path(paths[kinds.index(True)])
    if not all(kinds):
        other = paths[kinds.index(False)]
        raise RunError(f"{first} cannot join {other} in an ensemble: only one of them is a bundle of graphs")
    for name, value, default in (
        ("weights", weights, WEIGHTS),
        ("device", str(device), "cpu"),
        ("precision", precision, "32"),
        ("graphs", graphs, False),
    ):
        if value != default:
            raise ConfigError(
                f"{name}={shortened(value)} is not possible: {first} is a bundle, which is used on the CPU, "
                "in the precision that it was exported in"
            )
    return GraphTranslator.open(*paths, **options)


def open_run(path: str | Path) -> "Run | WeightsBundle":
    """A run directory, or a bundle of weights. Raises RunError if it cannot be opened."""
    return WeightsBundle.open(path) if is_artifact(path) else Run.open(path)


@dataclass(frozen=True)
class WeightsBundle:
    """An opened bundle of weights, which stands in for a run directory."""

    bundle: Bundle
    config: Config  # without the paths of the machine that it was exported on

    @classmethod
    def open(cls, path: str | Path) -> "WeightsBundle":
        """Open a bundle. Raises RunError if it is missing, damaged, or of another kind."""
        bundle = Bundle.open(path)
        if bundle.config.kind != "weights":
            raise RunError(f"{path} holds graphs, not weights")
        name = f"{SETTINGS} in {path}"
        try:
            text = bundle.read(SETTINGS).decode()
        except UnicodeDecodeError as error:
            raise RunError(f"{name} is damaged: not UTF-8 at byte {error.start}") from error
        return cls(bundle, parse_config(text, name))

    @property
    def folder(self) -> Path:
        """The path of the bundle, for messages."""
        return self.bundle.path

    @cached_property
    def vocabularies(self) -> VocabularyPair:
        """The tokenizers. Raises RunError if they are damaged."""
        return open_vocabularies(self.bundle)

    def load_model(self) -> "EncoderDecoder":
        """The model in evaluation mode. Raises RunError if the weights are damaged, or do not fit the settings."""
        from seq2seq.runs.weights import copy_weights, empty_model, opened_tensors

        name = f"{MODEL} in {self.folder}"
        with tempfile.TemporaryFile() as file:
            file.write(self.bundle.read(MODEL))
            file.flush()
            with opened_tensors(file, name) as tensors:
                settings = f"{SETTINGS} in {self.folder}"
                model = empty_model(self.config.model, self.vocabularies, tensors, name, settings)
                copy_weights(model, tensors, name)
        return model.eval()

    def load_translations(self) -> "torch.Tensor":
        """As runs.weights.load_translations. Raises RunError if there are none."""
        import torch

        if not self.bundle.has(SHORTLIST_FILE):
            raise RunError(f"{self.folder} has no {SHORTLIST_FILE}: it was exported from a run without a shortlist")
        table = self.bundle.read(SHORTLIST_FILE)
        name = f"{SHORTLIST_FILE} in {self.folder}"
        return torch.from_numpy(read_table(table, self.bundle.config.vocabulary, name).copy())


def check_ensemble(runs: Sequence[Run | WeightsBundle]) -> None:
    """Raise RunError unless the runs can decode together."""
    first, *others = runs
    for other in others:
        if other.vocabularies.sha256 != first.vocabularies.sha256:
            raise RunError(f"{other.folder} cannot join {first.folder} in an ensemble: their tokenizers differ")
        if other.config.model.output != first.config.model.output:
            outputs = f"model.output={other.config.model.output}, not {first.config.model.output}"
            raise RunError(f"{other.folder} cannot join {first.folder} in an ensemble: it has {outputs}")
        if other.config.model.head != first.config.model.head:
            raise RunError(f"{other.folder} cannot join {first.folder} in an ensemble: only one of them copies words")
