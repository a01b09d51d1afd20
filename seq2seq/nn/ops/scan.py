"""A loop over time in which the gradients of large tensors are computed once, after the loop.

Autograd adds a weight gradient as large as the weight in every step of a loop. Inside `scan` the products with weights,
and with the memory that attention reads, only record what they were given; when the backward pass has been through all
steps, one matrix product yields the gradient of each. Values and gradients are those of torch's operations.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import repeat
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2seq.nn.interface import State
from seq2seq.nn.ops import devices

Inputs = TypeVar("Inputs", bound=tuple[Any, ...])
Outputs = TypeVar("Outputs", bound=tuple[Any, ...])


def scan(step: Callable[[Inputs, State], tuple[Outputs, State]], inputs: Inputs, state: State) -> tuple[Outputs, State]:
    """Apply `step(inputs[t], state) -> (outputs[t], state)` for t = 0 .. T - 1, as jax.lax.scan does.

    `inputs` is a (named) tuple of tensors (T, ...), or None where there is none. The outputs, (named) tuples of tensors
    (N, ...) or None, are stacked to (N, T, ...). Where gradients are wanted, `linear` and `mix` are deferred inside
    `step`."""
    outputs = []
    with deferred() if gradients_wanted() else nullcontext():
        for now in unstacked(inputs):
            output, state = step(now, state)
            outputs.append(output)
    return stacked(outputs), state


def unstacked(inputs: Inputs) -> Iterator[Inputs]:
    """The inputs of each step."""
    columns = [repeat(None) if part is None else part.unbind(0) for part in inputs]
    return (make(type(inputs), parts) for parts in zip(*columns, strict=False))  # None has no end


def stacked(outputs: Sequence[Outputs]) -> Outputs:
    """The outputs of all steps, (N, T, ...)."""
    parts = (None if column[0] is None else torch.stack(column, 1) for column in zip(*outputs, strict=True))
    return make(type(outputs[0]), parts)


def make(kind: Any, parts: Any) -> Any:
    """A tuple, or a named tuple, of `parts`."""
    return getattr(kind, "_make", kind)(parts)


def gradients_wanted() -> bool:
    """Whether the operations are recorded for a backward pass by autograd, and not traced by a compiler or for
    export."""
    return torch.is_grad_enabled() and not torch.compiler.is_compiling()


class _Active(threading.local):
    """The deferred products of the scan that this thread is in."""

    products: "DeferredProducts | None" = None


_ACTIVE = _Active()


def active() -> "DeferredProducts | None":
    """Those of the scan that this thread is in; None outside of one, and where no gradients are wanted."""
    return _ACTIVE.products


@contextmanager
def deferred() -> Iterator["DeferredProducts"]:
    """Defer the gradients of `linear` and `mix` inside."""
    outer, _ACTIVE.products = _ACTIVE.products, DeferredProducts()
    try:
        yield _ACTIVE.products
    finally:
        _ACTIVE.products = outer


class DeferredProducts:
    """Products with tensors that outlive the loop: a parameter or the memory, known by its identity."""

    def __init__(self) -> None:
        self.factors: dict[tuple[int, bool], tuple[SharedFactor, Tensor]] = {}

    def multiply(self, x: Tensor, owner: Tensor, matrix: Tensor) -> Tensor:
        """x (..., K) times the transpose of `matrix` (..., N, K), which is `owner` or its transpose -> (..., N)."""
        key = id(owner), matrix is owner  # the memory may be both compared with the query and mixed
        if key not in self.factors:
            factor = SharedFactor(owner, matrix)
            self.factors[key] = factor, CollectGradient.apply(matrix, factor)
        factor, token = self.factors[key]
        y: Tensor = DeferredProduct.apply(x, token, factor)
        return y


class SharedFactor:
    """A matrix (..., N, K) that several products share, in the dtype of the products, with their inputs and output
    gradients."""

    def __init__(self, owner: Tensor, matrix: Tensor) -> None:
        self.owner = owner  # keeps its id from being given to another tensor
        self.matrix = matrix.detach().to(devices.product_dtype(matrix))
        self.inputs: list[Tensor] = []
        self.grad_outputs: dict[int, Tensor] = {}
        self.backward_pass = -1

    def add_grad_output(self, number: int, grad_output: Tensor) -> None:
        """Record it for the product `number`; what an earlier backward pass left unused is dropped."""
        if (current := torch._C._current_graph_task_id()) != self.backward_pass:
            self.grad_outputs, self.backward_pass = {}, current
        self.grad_outputs[number] = grad_output

    def gradient(self) -> Tensor | None:
        """Of the matrix, summed over all products x matrix^T."""
        if not self.grad_outputs:
            return None
        numbers = sorted(self.grad_outputs)
        x = torch.cat([self.inputs[number] for number in numbers], -2)
        grad_output = torch.cat([self.grad_outputs[number] for number in numbers], -2)
        self.grad_outputs = {}
        return grad_output.mT @ x


class CollectGradient(torch.autograd.Function):
    """Gives autograd an empty token for the matrix, which all its products take: autograd asks for the gradient of the
    token, and so of the matrix, when it has been through every product."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, factor: SharedFactor) -> Tensor:
        ctx.factor = factor
        return matrix.new_empty(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *token: Tensor) -> tuple[Tensor | None, None]:
        return ctx.factor.gradient(), None


class DeferredProduct(torch.autograd.Function):
    """x matrix^T; its backward pass leaves the gradient of the matrix to CollectGradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, token: Tensor, factor: SharedFactor) -> Tensor:
        ctx.factor, ctx.number, ctx.dtype = factor, len(factor.inputs), x.dtype
        factor.inputs.append(x.detach().to(factor.matrix.dtype))
        return factor.inputs[-1] @ factor.matrix.mT

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        grad_output = grad_outputs[0]
        if ctx.needs_input_grad[1]:
            ctx.factor.add_grad_output(ctx.number, grad_output)
        return (grad_output @ ctx.factor.matrix).to(ctx.dtype), grad_output.new_empty(0), None
