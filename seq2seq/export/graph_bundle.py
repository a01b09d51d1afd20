"""Bundles of graphs: the encoder and the step of each model, in ONNX or as programs of torch.export."""

import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import torch

from seq2seq.export.bundle import Files, bundle_config, common_files
from seq2seq.export.shrink import shrink_models
from seq2seq.nn.build import EncoderDecoder
from seq2seq.runs.bundles import check_ensemble
from seq2seq.runs.directory import Run
from seq2seq.runs.weights import SHORTLIST, load_model

# inputs that graphs may have besides the states and the memory of their model
INPUTS = {
    "encoder": ("source", "copy", "candidates"),
    "step": ("tokens", "parents", "count", "number", "past", "logit_mask"),
}


class SavedGraph(NamedTuple):
    """The content of the file of a graph."""

    content: bytes
    inputs: list[str]  # their names


class GraphExporter(ABC):
    """The bundles of graphs of one run, or of several that are an ensemble; traced once for all precisions."""

    kind: ClassVar[str]  # of the bundle, and the ending of its graphs

    def __init__(self, runs: Sequence[Run], shrink: bool = False) -> None:
        """Trace the models. shrink: without the entries of the vocabularies that the training text does not use.

        Raises RunError if a run has no weights, or the tokenizers of several differ; ConfigError for what cannot be
        shrunk."""
        check_ensemble(runs)
        self.runs, self.vocabularies = runs, runs[0].vocabularies
        self.models = [load_model(run) for run in runs]
        if shrink:
            self.models, self.vocabularies = shrink_models(runs[0], self.models)
        self.shortlist = (runs[0].folder / SHORTLIST).exists()
        with quiet_exporter(), torch.no_grad():
            self.graphs = [self.trace(model) for model in self.models]

    @abstractmethod
    def trace(self, model: EncoderDecoder) -> Sequence[Any]:
        """The encoder and the step of a model in float32, from which `save` makes files."""

    @abstractmethod
    def save(self, graph: Any, dtype: str) -> SavedGraph:
        """The file of a graph in another precision."""

    def bundle(self, dtype: str) -> tuple[dict[str, Any], Files]:
        """The config of the bundle, and its files by name."""
        files, inputs = common_files(self.runs[0], self.vocabularies), {}
        numbers = [""] if len(self.runs) == 1 else [str(i) for i in range(1, len(self.runs) + 1)]
        for number, pair in zip(numbers, self.graphs, strict=True):
            for name, graph in zip(INPUTS, pair, strict=True):
                saved = self.save(graph, dtype)
                files[f"{name}{number}.{self.kind}"], inputs[f"{name}{number}"] = saved
        left_out = [name for graph, names in INPUTS.items() for name in names if name not in inputs[graph + numbers[0]]]
        settings = bundle_config(self.kind, self.runs, self.models, dtype, self.vocabularies)
        return settings | {"inputs": inputs, "left_out": left_out}, files


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Hide what the exporter warns of and logs: missing packages, what it does not optimize, and deprecations."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "torch", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
