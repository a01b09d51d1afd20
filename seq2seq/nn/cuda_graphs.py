"""How does a search step fast on a GPU? Each shape of step is recorded once, and then replayed: the same model, as fewer calls."""

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seq2seq.nn.interface import Memory, Model, Output, State

Work = Callable[[], None]  # with tensors that stay where they are

Recorder = Callable[[Work], Work]  # runs nothing, or does no harm; what it gives does the work again


class CUDAGraphs:
    """Records what this thread asks CUDA to do, while another may pin batches; all graphs share one pool of memory, for they never
    run at once."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Work) -> Work:
        graph = torch.cuda.CUDAGraph()
        torch.clear_autocast_cache()  # what it holds is of another pool, and what it will hold is of this
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            work()
        torch.clear_autocast_cache()
        return graph.replay


MOST = 16  # shapes that are kept, the last used ones: each holds a batch's memory and caches

Shape = tuple[Any, ...]


class Replayed:
    """A model for one search at a time, whose steps are recorded; all else it leaves to `model`.

    The first step of a shape is done as it comes, which also loads all that its kernels need; the second is recorded. `reduced`
    gives a model that is not."""

    def __init__(self, model: Model, record: Recorder) -> None:
        self.model, self.record = model, record
        self.met: Counter[Shape] = Counter()
        self.steps: OrderedDict[Shape, RecordedStep] = OrderedDict()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def step(self, token: Tensor, state: State, memory: Memory, attention: bool = False) -> tuple[Output, State]:
        """interface.Model's; features are good until the next step, caches with room are the same tensors throughout."""
        shape = shape_of(token, state, memory, attention)
        self.met[shape] += 1
        if self.met[shape] == 1:
            return self.model.step(token, state, memory, attention)
        if shape not in self.steps:
            if len(self.steps) == MOST:
                self.steps.popitem(last=False)
            self.steps[shape] = RecordedStep(self.model, self.record, token, state, memory, attention)
        self.steps.move_to_end(shape)
        return self.steps[shape](token, state, memory)


def shape_of(token: Tensor, state: State, memory: Memory, attention: bool) -> Shape:
    """What a recorded step depends on, but for numbers."""
    named = *sorted(state.items()), *sorted(memory.cached.items())
    return attention, len(token), memory.mask.shape, *((name, value.shape, value.dtype) for name, value in named)


class RecordedStep:
    """One shape's."""

    def __init__(
        self, model: Model, record: Recorder, token: Tensor, state: State, memory: Memory, attention: bool
    ) -> None:
        self.model, self.attention, self.given = model, attention, memory
        self.token, self.state = token.clone(), {name: value.clone() for name, value in state.items()}
        tokens, states, mask, summary = (part.clone() for part in memory[:4])
        self.memory = Memory(
            tokens, states, mask, summary, {name: value.clone() for name, value in memory.cached.items()}
        )
        output, after = self.work()  # writes in the caches what the replay will write there again
        features, *seen = output
        self.output = Output(
            torch.empty_like(features), *(None if part is None else torch.empty_like(part) for part in seen)
        )
        self.after = {
            name: value if value is self.state[name] else torch.empty_like(value) for name, value in after.items()
        }
        self.replay = record(self.run)

    def work(self) -> tuple[Output, State]:
        """The step of what is in place."""
        return self.model.step(self.token, self.state, self.memory, self.attention)

    def run(self) -> None:
        """From what is in place to `output` and `after`."""
        output, after = self.work()
        put(after, self.after)
        for place, part in zip(self.output, output, strict=True):
            if place is not None and part is not None:
                place.copy_(part)

    def __call__(self, token: Tensor, state: State, memory: Memory) -> tuple[Output, State]:
        """Another step of the shape."""
        self.token.copy_(token)
        put(state, self.state)
        if memory is not self.given:
            self.given = memory
            put(memory.cached, self.memory.cached)
            for place, part in zip(self.memory[:4], memory[:4], strict=True):
                place.copy_(part)
        self.replay()
        features, *seen = self.output
        return Output(features, *(None if part is None else part.clone() for part in seen)), dict(self.after)


def put(given: State, places: State) -> None:
    """Each tensor in its place, if it is not there."""
    for name, value in given.items():
        if value is not places[name]:
            places[name].copy_(value)
