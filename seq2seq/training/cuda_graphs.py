"""CUDA graphs of training batches: the forward and backward pass of each batch shape is recorded, then replayed."""

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

MAX_GRAPHS = 128  # shapes beyond this number are not recorded

Shape = tuple[torch.Size, torch.Size]  # of source and target


class GraphedLosses:
    """The function `losses` of a batch; from a recorded graph the gradients come with the loss.

    The first batch of a shape is computed without a graph, which also compiles and loads all that its kernels need; the
    second is recorded. A shape that occurs once is thus never recorded."""

    def __init__(self, losses: Callable[[Batch], Loss], parameters: Iterable[Tensor], record: Recorder) -> None:
        self.losses, self.record = losses, record
        self.parameters = [p for p in parameters if p.requires_grad]
        self.occurrences: Counter[Shape] = Counter()
        self.graphs: dict[Shape, LossGraph] = {}
        # outputs of the graphs; all share one set, which the next batch overwrites
        self.static_losses: list[Tensor] = []
        self.static_gradients: list[Tensor] = []

    def __call__(self, batch: Batch) -> Loss:
        shape = batch.source.shape, batch.target_in.shape
        self.occurrences[shape] += 1
        if shape not in self.graphs:
            if self.occurrences[shape] == 1 or len(self.graphs) == MAX_GRAPHS:
                return self.losses(batch)
            if not self.static_gradients:
                self._allocate_outputs(batch.source.device)
            self.graphs[shape] = LossGraph(self, batch)
        return Loss(*ReplayedLoss.apply(self.graphs[shape], batch, *self.parameters))

    def _allocate_outputs(self, device: torch.device) -> None:
        self.static_gradients = [torch.empty_like(p) for p in self.parameters]
        dtype = self.static_gradients[0].dtype
        self.static_losses = [torch.empty((), device=device, dtype=dtype) for _ in Loss._fields]


class LossGraph:
    """Loss and gradients of batches of one shape."""

    def __init__(self, owner: GraphedLosses, batch: Batch) -> None:
        self.owner = owner
        self.static_batch = batch.map(Tensor.clone)
        self.has_gradient: list[bool] = []  # one entry per parameter
        self.replay = owner.record(self._compute)

    def _compute(self) -> None:
        """From the tensors of `static_batch` to the owner's losses and gradients."""
        owner = self.owner
        with torch.enable_grad():
            loss = owner.losses(self.static_batch)
        with no_autocast(loss.total):
            gradients = torch.autograd.grad(loss.total, owner.parameters, allow_unused=True)
        self.has_gradient = [gradient is not None for gradient in gradients]
        outputs, values = [], []
        for output, value in zip((*owner.static_losses, *owner.static_gradients), (*loss, *gradients), strict=True):
            if value is not None:
                outputs.append(output)
                values.append(value.detach())
        torch._foreach_copy_(outputs, values)

    def losses_of(self, batch: Batch) -> list[Tensor]:
        """The losses of another batch of the shape, whose gradients are then in the owner's `static_gradients`."""
        for static, given in zip(self.static_batch, batch, strict=True):
            if isinstance(static, Tensor) and isinstance(given, Tensor):
                static.copy_(given, non_blocking=True)
        self.replay()
        return [x.clone() for x in self.owner.static_losses]


class ReplayedLoss(torch.autograd.Function):
    """`Loss` of a batch; backward of the total returns the gradients that the graph computed along with it."""

    @staticmethod
    def forward(ctx: Any, graph: LossGraph, batch: Batch, *parameters: Tensor) -> tuple[Tensor, ...]:
        ctx.graph = graph
        total, nll = graph.losses_of(batch)
        ctx.mark_non_differentiable(nll)
        return total, nll

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        graph: LossGraph = ctx.graph
        gradients = torch._foreach_mul(graph.owner.static_gradients, grad_outputs[0])
        kept = [gradient if has else None for gradient, has in zip(gradients, graph.has_gradient, strict=True)]
        return None, None, *kept
