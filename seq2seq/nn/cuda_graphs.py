"""CUDA graphs for search: each shape of decoder step is captured once, then replayed as a single launch.

`GraphedModel` wraps a model; `GraphedStep` holds the tensors and the recording of one shape; a `Recorder` makes the
recording: `CUDAGraphRecorder` on a GPU, and functions without a GPU in tests. Training uses recorders too, in
training/cuda_graphs.py.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seq2seq.nn.interface import Memory, Model, Output, State

Work = Callable[[], None]  # reads and writes tensors that stay at the same addresses
Recorder = Callable[[Work], Work]  # returns a function that repeats the work; may or may not run it while recording

MAX_GRAPHS = 16  # the most recently used shapes are kept; each holds the memory and caches of a batch

Shape = tuple[Any, ...]


class GraphedModel:
    """A model whose steps are recorded, for one search at a time; everything else is passed on to `model`.

    The first step of a shape runs as usual, which also compiles and loads its kernels; the second is recorded. The
    result of `restrict_vocabulary` is not recorded."""

    def __init__(self, model: Model, record: Recorder) -> None:
        self.model, self.record = model, record
        self.counts: Counter[Shape] = Counter()  # steps of each shape
        self.steps: OrderedDict[Shape, GraphedStep] = OrderedDict()  # the least recently used first

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def step(self, token: Tensor, state: State, memory: Memory, attention: bool = False) -> tuple[Output, State]:
        """As interface.Model; features are valid until the next step, preallocated caches are always the same."""
        shape = shape_key(token, state, memory, attention)
        self.counts[shape] += 1
        if self.counts[shape] == 1:
            return self.model.step(token, state, memory, attention)
        if shape not in self.steps:
            if len(self.steps) == MAX_GRAPHS:
                self.steps.popitem(last=False)
            self.steps[shape] = GraphedStep(self.model, self.record, token, state, memory, attention)
        self.steps.move_to_end(shape)
        return self.steps[shape](token, state, memory)


def shape_key(token: Tensor, state: State, memory: Memory, attention: bool) -> Shape:
    """Everything that a recorded step depends on, except for the values of its tensors."""
    named = *sorted(state.items()), *sorted(memory.cached.items())
    return attention, len(token), memory.mask.shape, *((name, value.shape, value.dtype) for name, value in named)


class GraphedStep:
    """The recorded step of one shape, with its input and output tensors."""

    def __init__(
        self, model: Model, record: Recorder, token: Tensor, state: State, memory: Memory, attention: bool
    ) -> None:
        self.model, self.attention, self.last_memory = model, attention, memory
        self.token, self.state = token.clone(), {name: value.clone() for name, value in state.items()}
        tokens, states, mask, summary = (part.clone() for part in memory[:4])
        cached = {name: value.clone() for name, value in memory.cached.items()}
        self.memory = Memory(tokens, states, mask, summary, cached)
        output, next_state = self.run_model()  # what it writes to the caches, the replay will write there again
        features, *optional = output
        self.output = Output(
            torch.empty_like(features), *(None if x is None else torch.empty_like(x) for x in optional)
        )
        self.next_state = {
            name: value if value is self.state[name] else torch.empty_like(value) for name, value in next_state.items()
        }
        self.replay = record(self.run)

    def run_model(self) -> tuple[Output, State]:
        """The model's step for the input tensors."""
        return self.model.step(self.token, self.state, self.memory, self.attention)

    def run(self) -> None:
        """From the input tensors to the output tensors; this is what is recorded."""
        output, next_state = self.run_model()
        copy_into(next_state, self.next_state)
        for place, part in zip(self.output, output, strict=True):
            if place is not None and part is not None:
                place.copy_(part)

    def __call__(self, token: Tensor, state: State, memory: Memory) -> tuple[Output, State]:
        """Copy the inputs to where the recording reads them, replay, return the outputs."""
        self.token.copy_(token)
        copy_into(state, self.state)
        if memory is not self.last_memory:
            self.last_memory = memory
            copy_into(memory.cached, self.memory.cached)
            for place, part in zip(self.memory[:4], memory[:4], strict=True):
                place.copy_(part)
        self.replay()
        features, *optional = self.output
        return Output(features, *(None if x is None else x.clone() for x in optional)), dict(self.next_state)


def copy_into(values: State, places: State) -> None:
    """Copy each tensor to the place of its name, unless it is that tensor."""
    for name, value in values.items():
        if value is not places[name]:
            places[name].copy_(value)


class CUDAGraphRecorder:
    """Captures CUDA work of the calling thread only, so that another thread may pin batches meanwhile.

    All graphs of a recorder share one memory pool, since they never run at the same time."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Work) -> Work:
        """Capture `work`; the result replays it."""
        graph = torch.cuda.CUDAGraph()
        torch.clear_autocast_cache()  # its tensors are of another pool, and those cached during capture are of this one
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            work()
        torch.clear_autocast_cache()
        return graph.replay
