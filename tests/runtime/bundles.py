"""Bundles for tests: of a made-up translator, and of a run whose torch model stands in for the graphs."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seq2seq.nn.interface import LOGIT_MASK
from seq2seq.runs.directory import Run
from seq2seq.runtime.bundle import write_bundle
from seq2seq.runtime.interface import Step

GRAPH = bytes([0x3A, 0])  # the smallest ONNX file: an empty graph
SEARCH = {"beam": 3, "max_length": 20}


def config(source: int, target: int, joint: bool, **values: Any) -> dict[str, Any]:
    """The config of a bundle with vocabularies of so many entries, and other values."""
    return {
        "schema": 1, "kind": "onnx", "seq2seq": "0.1.0", "created": "2026-01-31", "dtype": "float32", "members": 1,
        "model": {"name": "rnn"}, "search": SEARCH, "languages": {"source": "en", "target": "de"},
        "task": "translation", "truncate_source": 0, "vocabulary": {"source": source, "target": target, "joint": joint},
        "copies": False, "max_source": None, "max_target": None, "source_words": False,
        "inputs": {"encoder": ["source"], "step": ["tokens"]}, "left_out": [], **values,
    }  # fmt: skip


def listed(files: dict[str, bytes]) -> dict[str, Any]:
    """What config.json says of files."""
    return {name: {"bytes": len(c), "sha256": hashlib.sha256(c).hexdigest()} for name, c in files.items()}


def bundle_of(run: Path, path: Path, files: dict[str, bytes] | None = None, **values: Any) -> Path:
    """Write a bundle of a run without its graphs."""
    opened = Run.open(run)
    vocabularies, models = opened.vocabularies, {"encoder.onnx": GRAPH, "step.onnx": GRAPH}
    both = {"tokenizer.spm": vocabularies.source}
    if not vocabularies.joint:
        both = {"source.spm": vocabularies.source, "target.spm": vocabularies.target}
    known = {
        "search": vars(opened.config.search),
        "copies": opened.config.model.head == "copy",
        "truncate_source": opened.config.data.truncate_source,
    }
    settings = config(vocabularies.source.size, vocabularies.target.size, vocabularies.joint, **known | values)
    write_bundle(path, settings, models | {name: one.serialized for name, one in both.items()} | (files or {}))
    return path


class TorchMember:
    """A torch model as an ExportedModel."""

    def __init__(self, model: Any, vocabulary: int) -> None:
        self.model, self.vocabulary, self.copies = model, vocabulary, model.head.reads_weights
        self.source_end = model.source_end
        self.max_source, self.max_target = model.max_source, model.max_target

    def encode(self, source: Any, copy: Any = None, candidates: Any = None, logit_mask: Any = None) -> "TorchDecoding":
        """As interface.ExportedModel."""
        ids = np.arange(self.vocabulary) if candidates is None else candidates
        model = self.model if candidates is None else self.model.restrict_vocabulary(torch.from_numpy(ids))
        with torch.no_grad():
            memory = self.model.encode(torch.from_numpy(source), torch.from_numpy(source if copy is None else copy))
        if logit_mask is not None:
            memory = memory._replace(cached=memory.cached | {LOGIT_MASK: torch.from_numpy(logit_mask)})
        return TorchDecoding(model, memory, ids)


class TorchDecoding:
    """The hypotheses of B sentences in a torch model."""

    @torch.no_grad()
    def __init__(self, model: Any, memory: Any, candidates: Any) -> None:
        self.model, self.memory, self.candidates = model, memory, candidates
        self.state, self.width = model.start(memory), 1

    @torch.no_grad()
    def step(
        self, tokens: Any, parents: Any, forbidden: Any, count: int, log_probs: bool = False, attention: bool = False
    ) -> Step:
        """As interface.Decoding."""
        rows = torch.arange(len(tokens))[:, None] * self.width + torch.from_numpy(parents)
        self.width = tokens.shape[1]
        self.state = self.model.select(rows, self.state)
        fed = np.where(tokens < self.candidates[-1] + 1, np.searchsorted(self.candidates, tokens), len(self.candidates))
        output, self.state = self.model.step(torch.from_numpy(fed).flatten(), self.state, self.memory, attention)
        every = self.model.head.log_probs(output, self.memory).view(*tokens.shape, -1).numpy().copy()
        np.put_along_axis(every, forbidden, -np.inf, 2)
        ids = np.argsort(-every, axis=2, kind="stable")[..., :count]
        weights = output.weights.view(*tokens.shape, -1).numpy() if attention else None
        return Step(np.take_along_axis(every, ids, 2), ids, every if log_probs else None, weights)

    def select(self, sentences: Any) -> None:
        """As interface.Decoding."""
        kept = torch.from_numpy(sentences)
        rows = kept[:, None] * self.width + torch.arange(self.width)
        self.memory, self.state = self.memory.select(kept), self.model.select(rows, self.state)


def members(translator: Any) -> Sequence[TorchMember]:
    """The models of a torch Translator for a runtime's one."""
    return [TorchMember(model, translator.vocabularies.target.size) for model in translator.models]
