"""Bundles of graphs: the encoder and the step of each model in ONNX, in several precisions."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import onnx
import torch

from seq2seq.export.bundle import Files, bundle_config, common_files
from seq2seq.export.onnx import onnx_graphs
from seq2seq.export.quantize import to_float16, to_int8
from seq2seq.export.shrink import shrink_models
from seq2seq.runs.bundles import check_ensemble
from seq2seq.runs.directory import Run
from seq2seq.runs.weights import SHORTLIST, load_model

PRECISIONS: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {  # dtype -> changes a graph in float32
    "float32": lambda graph: graph,
    "int8": to_int8,
    "float16": to_float16,
}
# inputs that graphs may have besides the states and the memory of their model
INPUTS = {
    "encoder": ("source", "copy", "candidates"),
    "step": ("tokens", "parents", "count", "number", "past", "logit_mask"),
}


class GraphExporter:
    """The bundles of graphs of one run, or of several that are an ensemble; traced once for all precisions."""

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
            self.graphs = [
                [graph.SerializeToString() for graph in onnx_graphs(model, self.shortlist)] for model in self.models
            ]

    def bundle(self, dtype: str) -> tuple[dict[str, Any], Files]:
        """The config of the bundle, and its files by name."""
        files, inputs = common_files(self.runs[0], self.vocabularies), {}
        numbers = [""] if len(self.runs) == 1 else [str(i) for i in range(1, len(self.runs) + 1)]
        for number, pair in zip(numbers, self.graphs, strict=True):
            for name, content in zip(INPUTS, pair, strict=True):
                graph = PRECISIONS[dtype](onnx.load_from_string(content))
                files[f"{name}{number}.onnx"] = graph.SerializeToString()
                inputs[f"{name}{number}"] = [one.name for one in graph.graph.input]
        left_out = [name for graph, names in INPUTS.items() for name in names if name not in inputs[graph + numbers[0]]]
        settings = bundle_config("onnx", self.runs, self.models, dtype, self.vocabularies)
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
