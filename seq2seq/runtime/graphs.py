"""Models as a pair of ONNX graphs, run by ONNX Runtime.

Shapes: B sentences, W hypotheses of each, S source positions, V target vocabulary, V' candidates, K next tokens.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bundle import NEXT, START, BundleConfig
from .cpu import has_vnni
from .errors import ConfigError, RunError, quoted
from .interface import LOGIT_MASK, OUTPUT_PREFIX, Floats, Ints, Step

BLOCKS = "own_"  # prefix of the blocks of keys and values, (B, heads, capacity, G, d)
PAST = "past"  # which slots of the blocks are the past of each hypothesis, (B, W, capacity, G)
GIVEN = {"tokens", "parents", "count", "number", PAST, LOGIT_MASK}  # inputs of a step from the search
BLOCK = 16  # steps by which blocks of keys and values grow: each growth copies them
MAX_SIZE = 1 << 16  # heads of a block, and features of each

Arrays = dict[str, NDArray[Any]]


class Graph:
    """A session of ONNX Runtime, which takes inputs by name and ignores those that the graph does not have."""

    def __init__(self, graph: bytes, threads: int = 1, name: str = "a bundle") -> None:
        """threads: that compute one operator; name: of the bundle, for messages. Raises RunError for what is no graph,
        ConfigError if the package onnxruntime is missing."""
        # official builds keep an identifier of the device, and send what they are used for to their maker
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read at the import
        try:
            import onnxruntime  # without which all else of a bundle can be checked
        except ImportError as error:
            raise ConfigError(f"{name} needs the package onnxruntime: pip install onnxruntime") from error
        self.name = name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        if not has_vnni():  # ONNX Runtime then adds products of uint8 and int8 in 16 bits, which overflow
            options.add_session_config_entry(
                "session.x64quantprecision", "1"
            )  # products of uint8 are exact, and slower
        options.log_severity_level = 4  # only what ends the process; errors are raised, and said in our words
        try:
            self.session = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            self.inputs = {value.name: value.shape for value in self.session.get_inputs()}
            self.outputs = [value.name for value in self.session.get_outputs()]
        except Exception as error:  # ONNX Runtime has no common class for its own, and some names are not UTF-8
            raise RunError(
                f"{name}: a graph cannot be read by ONNX Runtime: it is damaged, or of a newer version"
            ) from error

    def run(self, inputs: Arrays, outputs: list[str]) -> Arrays:
        """The named outputs. Raises RunError if the graph cannot compute them, MemoryError if there is no room."""
        given = {name: inputs[name] for name in self.inputs}
        try:
            return dict(zip(outputs, self.session.run(outputs, given), strict=True))
        except Exception as error:
            if "allocate memory" in str(error) or "bad_alloc" in str(error):
                raise MemoryError from error
            raise self.misfit("it cannot compute its outputs") from error

    def misfit(self, why: str) -> RunError:
        """The error for a graph that is not what its bundle says."""
        return RunError(f"{self.name}: a graph does not fit the bundle: {why}")


class GraphModel:
    """A model of a bundle; an interface.ExportedModel."""

    def __init__(
        self,
        encoder: Graph,
        step: Graph,
        vocabulary: int,
        *,
        copies: bool = False,
        source_end: bool = True,
        max_source: int | None = None,
        max_target: int | None = None,
    ) -> None:
        """vocabulary: V. Raises RunError if the two graphs do not fit each other."""
        _check_names(encoder, step)
        self.encoder, self.stepper = encoder, step
        self.vocabulary, self.copies, self.source_end = vocabulary, copies, source_end
        self.max_source, self.max_target = max_source, max_target
        self.next = [name for name in step.outputs if name.startswith(NEXT)]
        self.restricted = LOGIT_MASK in step.inputs
        # block -> heads, and features of each
        self.blocks = {name: (shape[1], shape[4]) for name, shape in step.inputs.items() if name.startswith(BLOCKS)}

    def encode(
        self,
        source: Ints,
        copy: Ints | None = None,
        candidates: Ints | None = None,
        logit_mask: Floats | None = None,
    ) -> "GraphDecoding":
        """As interface.ExportedModel. Raises RunError for candidates that the graphs do not take."""
        if candidates is not None and not self.restricted:
            raise self.encoder.misfit("it takes no shortlist")
        if self.restricted and candidates is None:
            candidates = np.arange(self.vocabulary)
            logit_mask = np.zeros((len(source), self.vocabulary), np.float32)
        inputs = {"source": source, "copy": source if copy is None else copy, "candidates": candidates}
        memory = self.encoder.run({k: v for k, v in inputs.items() if v is not None}, self.encoder.outputs)
        for name, value in memory.items():
            if not _is_shared(name) and value.shape[:1] != source.shape[:1]:
                raise self.encoder.misfit(f"{name} has the shape {[*value.shape]}")
        if logit_mask is not None:
            memory[LOGIT_MASK] = logit_mask
        return GraphDecoding(self, memory, source.shape[1])


class GraphDecoding:
    """The hypotheses of B sentences; an interface.Decoding.

    Keys and values of a Transformer stay where they were written, in blocks (B, heads, capacity, G, d): slot (t, g) is
    that of hypothesis g at step t, and `past` says which slots each hypothesis sees. Other states are reordered in
    the graph."""

    def __init__(self, model: GraphModel, memory: Arrays, positions: int) -> None:
        """positions: S."""
        self.model, self.number, self.positions = model, 0, positions
        # the size of the output
        self.size = memory[LOGIT_MASK].shape[1] if LOGIT_MASK in memory else model.vocabulary
        self.size += positions * model.copies
        self.state = {
            name.removeprefix(START): value[:, None] for name, value in memory.items() if name.startswith(START)
        }
        self.memory = {name: value for name, value in memory.items() if not name.startswith(START)}
        self.blocks: Arrays = {}
        self.past: NDArray[np.bool_] | None = None

    def step(
        self,
        tokens: Ints,
        parents: Ints,
        forbidden: Ints,
        count: int,
        log_probs: bool = False,
        attention: bool = False,
    ) -> Step:
        """As interface.Decoding."""
        # ids that may not come are taken out of so many more
        more = min(count + forbidden.shape[-1], self.size)
        wanted = ["scores", "ids"] + ["log_probs"] * log_probs + ["weights"] * attention
        if PAST in self.model.stepper.inputs:
            self._continue(parents)
        fed = {"tokens": tokens, "parents": parents, "count": np.array(more)}
        fed |= self.memory | self.state | self.blocks | {"number": np.array([self.number])}
        if self.past is not None:
            fed[PAST] = self.past
        found = self.model.stepper.run(fed, wanted + self.model.next)
        self._check_outputs(found, tokens.shape[0], tokens.shape[1], more)
        new = {name.removeprefix(NEXT): found[name] for name in self.model.next}
        if self.past is None:
            self.state = new
        else:
            self._write(new)
        self.number += 1
        return _without(
            forbidden, count, Step(found["scores"], found["ids"], found.get("log_probs"), found.get("weights"))
        )

    def select(self, sentences: Ints) -> None:
        """As interface.Decoding."""
        self.memory = {name: value if _is_shared(name) else value[sentences] for name, value in self.memory.items()}
        self.state = {name: value[sentences] for name, value in self.state.items()}
        self.blocks = {name: value[sentences] for name, value in self.blocks.items()}
        self.past = None if self.past is None else self.past[sentences]

    def _continue(self, parents: Ints) -> None:
        """Make room for a step of as many hypotheses as there are `parents` (B, W), whose past they continue."""
        B, W = parents.shape
        if self.past is None:
            self.past = np.zeros((B, W, 0, W), bool)
        past = self.past[np.arange(B)[:, None], parents]
        capacity, slots = past.shape[2:]
        if self.number >= capacity or slots < W:
            capacity, slots = capacity + (BLOCK if self.number >= capacity else 0), max(W, slots)
            past = _padded(past, (B, W, capacity, slots))
            for name, (heads, features) in self.model.blocks.items():
                old = self.blocks.get(name, np.zeros((0,) * 5, np.float32))
                self.blocks[name] = _padded(old, (B, heads, capacity, slots, features))
        self.past = past

    def _check_outputs(self, found: Arrays, B: int, W: int, count: int) -> None:
        """Raise RunError unless the outputs of a step are of B sentences, W hypotheses and `count` ids each."""
        sizes = {"scores": count, "ids": count, "log_probs": self.size, "weights": self.positions}
        for name, value in found.items():
            own = name.removeprefix(NEXT)
            if own in self.model.blocks:
                heads, features = self.model.blocks[own]
                shape: tuple[int, ...] = (B, heads, W, features)
            else:
                shape = (B, W, sizes[name]) if name in sizes else (B, W, *self.state[own].shape[2:])
            if value.shape != shape:
                raise self.model.stepper.misfit(f"{name} has the shape {[*value.shape]}, where {[*shape]} is needed")
        ids = found["ids"]
        if ids.dtype != np.int64 or ids.min() < 0 or ids.max() >= self.size:
            raise self.model.stepper.misfit(f"its ids are not those of {self.size} tokens")

    def _write(self, new: Arrays) -> None:
        """Write the keys and values (B, heads, W, d) of the step that was computed."""
        assert self.past is not None
        for name, value in new.items():
            W = value.shape[2]
            self.blocks[name][:, :, self.number, :W] = value
        every = np.arange(W)
        self.past[:, every, self.number, every] = True


def _check_names(encoder: Graph, step: Graph) -> None:
    """Raise RunError unless the inputs and outputs of the two graphs are those of one model."""
    inputs = set(step.inputs)
    start = {name.removeprefix(START) for name in encoder.outputs if name.startswith(START)}
    states = {name.removeprefix(NEXT) for name in step.outputs if name.startswith(NEXT)}
    blocks = {name for name in inputs if name.startswith(BLOCKS)}
    wrong = (
        *sorted(inputs - start - {*encoder.outputs} - blocks - GIVEN),  # nothing gives them
        *sorted({"scores", "ids"} - {*step.outputs}),
        *sorted(states ^ (start & inputs | blocks)),  # each state is read and returned
        *sorted({*encoder.inputs} - {"source", "copy", "candidates"}),
        *sorted(start & inputs if blocks else ()),
        *({PAST} if (PAST in inputs) != bool(blocks) else ()),
        *({LOGIT_MASK} if (LOGIT_MASK in inputs) != ("candidates" in encoder.inputs) else ()),
        *(name for name in sorted(blocks) if not _is_block(step.inputs[name])),
    )
    if wrong:
        raise RunError(f"{step.name}: the graphs of encoder and step do not fit each other: {quoted(wrong[0])}")


def _is_block(shape: Sequence[Any]) -> bool:
    """Whether an input of this shape can be a block, whose heads and features are numbers."""
    return len(shape) == 5 and all(type(shape[axis]) is int and 0 < shape[axis] <= MAX_SIZE for axis in (1, 4))


def _is_shared(name: str) -> bool:
    """Whether an output of the encoder belongs to no sentence: the rows of the output layer for the candidates."""
    return name.startswith(OUTPUT_PREFIX)


def _padded(x: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """x at the start of an array of zeros; np.pad, which can do more, takes ten times as long for few elements."""
    padded = np.zeros(shape, x.dtype)
    padded[tuple(map(slice, x.shape))] = x
    return padded


def _without(forbidden: Ints, count: int, step: Step) -> Step:
    """The best `count` ids of a step that are not among `forbidden` (B, W, F)."""
    scores, ids = step.scores, step.ids
    found = ids == forbidden[..., :1]
    for i in range(1, forbidden.shape[2]):  # a few columns, of which `any` over the last axis would take twice as long
        found |= ids == forbidden[..., i, None]
    if found.any():
        order = np.argsort(found, axis=-1, kind="stable")  # allowed ones first, in their order
        scores = np.take_along_axis(np.where(found, -np.inf, scores), order, -1)
        ids = np.take_along_axis(ids, order, -1)
    if step.log_probs is not None:
        np.put_along_axis(step.log_probs, forbidden, -np.inf, -1)
    return step._replace(scores=scores[..., :count].astype(np.float32, copy=False), ids=ids[..., :count])


def model_of(encoder: Graph, step: Graph, config: BundleConfig) -> GraphModel:
    """The model of two graphs of a bundle. Raises RunError if they do not fit each other."""
    return GraphModel(
        encoder,
        step,
        config.vocabulary.target,
        copies=config.copies,
        source_end=config.source_end,
        max_source=config.max_source,
        max_target=config.max_target,
    )
