"""How is a batch learnt from on a GPU at once? Each shape of batch is recorded with its way back, and then replayed."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2seq.data.batching import Batch
from seq2seq.nn.cuda_graphs import Recorder
from seq2seq.nn.interface import Loss
from seq2seq.nn.ops.devices import no_autocast

MOST = 128  # graphs that are kept


class Graphs:
    """`losses` of a batch, whose gradients are ready with it.

    The first batch of a shape is done as it comes, which also compiles and loads all that its kernels need; the second is
    recorded. Batches of rare shapes so stay what they are."""

    def __init__(self, losses: Callable[[Batch], Loss], parameters: Iterable[Tensor], record: Recorder) -> None:
        self.losses, self.record = losses, record
        self.parameters = [p for p in parameters if p.requires_grad]
        self.met: Counter[tuple[torch.Size, torch.Size]] = Counter()
        self.graphs: dict[tuple[torch.Size, torch.Size], Graph] = {}
        self.sums: list[Tensor] = []  # one set for all graphs, as of the slopes: the next batch overwrites them
        self.slopes: list[Tensor] = []

    def __call__(self, batch: Batch) -> Loss:
        shape = batch.source.shape, batch.target_in.shape
        self.met[shape] += 1
        if shape not in self.graphs:
            if self.met[shape] == 1 or len(self.graphs) == MOST:
                return self.losses(batch)
            if not self.slopes:
                self.slopes = [torch.empty_like(p) for p in self.parameters]
                self.sums = [
                    torch.empty((), device=batch.source.device, dtype=self.slopes[0].dtype) for _ in Loss._fields
                ]
            self.graphs[shape] = Graph(self, batch)
        return Loss(*RecordedLoss.apply(self.graphs[shape], batch, *self.parameters))


class Graph:
    """Loss and gradients of the batches of one shape."""

    def __init__(self, owner: Graphs, batch: Batch) -> None:
        self.owner, self.batch = owner, Batch(*(None if x is None else x.clone() for x in batch))  # type: ignore[arg-type]
        self.moved: list[bool] = []  # which parameters have a gradient
        self.replay = owner.record(self.run)

    def run(self) -> None:
        """From the tensors of `batch` to the owner's sums and slopes."""
        owner = self.owner
        with torch.enable_grad():
            loss = owner.losses(self.batch)
        with no_autocast(loss.total):
            slopes = torch.autograd.grad(loss.total, owner.parameters, allow_unused=True)
        self.moved = [slope is not None for slope in slopes]
        pairs = zip((*owner.sums, *owner.slopes), (*loss, *slopes), strict=True)
        places, found = zip(*((place, x.detach()) for place, x in pairs if x is not None), strict=True)
        torch._foreach_copy_(places, found)

    def of(self, batch: Batch) -> list[Tensor]:
        """The sums of another batch; the slopes are then its own."""
        for mine, theirs in zip(self.batch, batch, strict=True):
            if mine is not None and theirs is not None:
                mine.copy_(theirs, non_blocking=True)
        self.replay()
        return [x.clone() for x in self.owner.sums]


class RecordedLoss(torch.autograd.Function):
    """The sums of a batch, of which the first has the slopes that were found with it."""

    @staticmethod
    def forward(ctx: Any, graph: Graph, batch: Batch, *parameters: Tensor) -> tuple[Tensor, ...]:
        ctx.graph = graph
        total, nll = graph.of(batch)
        ctx.mark_non_differentiable(nll)
        return total, nll

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        slopes = iter(torch._foreach_mul(ctx.graph.owner.slopes, outer[0]))
        return None, None, *(slope if has else None for slope, has in zip(slopes, ctx.graph.moved, strict=True))
