"""A loop over time in which the gradients of large tensors are computed once, after the loop.

Autograd adds a weight gradient as large as the weight in every step of a loop. Inside `scan` the products with weights,
and with the memory that attention reads, only save their inputs; when the backward pass has been through all steps, one
matrix product yields the gradient of each. Values and gradients are those of torch's operations.
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

    `inputs` is a (named) tuple of tensors (T, ...), T at least 1, or None where there is none; at least one is a
    tensor. The outputs, (named) tuples of tensors (N, ...) or None, are stacked to (N, T, ...). Where gradients are
    wanted, those of `linear` and `mix` inside `step` are deferred."""
    outputs = []
    with deferred() if gradients_wanted() else nullcontext():
        for current in unstacked(inputs):
            output, state = step(current, state)
            outputs.append(output)
    return stacked(outputs), state


def unstacked(inputs: Inputs) -> Iterator[Inputs]:
    """The inputs of each step."""
    columns = [repeat(None) if part is None else part.unbind(0) for part in inputs]
    return (tuple_of(type(inputs), parts) for parts in zip(*columns, strict=False))  # None has no end


def stacked(outputs: Sequence[Outputs]) -> Outputs:
    """The outputs of all steps, (N, T, ...)."""
    parts = (None if column[0] is None else torch.stack(column, 1) for column in zip(*outputs, strict=True))
    return tuple_of(type(outputs[0]), parts)


def tuple_of(kind: Any, parts: Any) -> Any:
    """The tuple of class `kind`, plain or named, with these `parts`."""
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
    """The deferred products of the scan that this thread is in; None outside of one, and where gradients are off."""
    return _ACTIVE.products if torch.is_grad_enabled() else None


@contextmanager
def deferred() -> Iterator["DeferredProducts"]:
    """Defer the gradients of `linear` and `mix` inside. Scans may be nested; each thread has its own."""
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
    """A matrix (..., N, K) that several products share, in their dtype; in a backward pass, what its gradient needs."""

    def __init__(self, owner: Tensor, matrix: Tensor) -> None:
        self.owner = owner  # keeps its id from being given to another tensor
        self.matrix = matrix.detach().to(devices.product_dtype(matrix))
        self.products = 0
        self.terms: dict[int, tuple[Tensor, Tensor]] = {}  # number of a product -> its input, its output's gradient
        self.backward_pass = -1

    def add_term(self, number: int, x: Tensor, grad_output: Tensor) -> None:
        """Record x (..., K) and grad_output (..., N) of the product `number`, and drop what an earlier backward pass
        left unused."""
        current = torch._C._current_graph_task_id()
        if current != self.backward_pass:
            self.terms, self.backward_pass = {}, current
        self.terms[number] = x, grad_output

    def gradient(self) -> Tensor | None:
        """The gradient of the matrix (..., N, K): the sum of grad_output^T x over the recorded products."""
        if not self.terms:
            return None
        inputs, grad_outputs = zip(*(self.terms[number] for number in sorted(self.terms)), strict=True)
        self.terms = {}
        return torch.cat(grad_outputs, -2).mT @ torch.cat(inputs, -2)


class CollectGradient(torch.autograd.Function):
    """Matrix -> an empty token, an input of all its products: autograd runs this backward pass, which computes the
    gradient of the matrix, when it has been through every product."""

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
        ctx.factor, ctx.number, ctx.dtype = factor, factor.products, x.dtype
        factor.products += 1
        x = x.to(factor.matrix.dtype)
        ctx.save_for_backward(x)
        return x @ factor.matrix.mT

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        grad_output = grad_outputs[0]
        if ctx.needs_input_grad[1]:
            (x,) = ctx.saved_tensors
            ctx.factor.add_term(ctx.number, x.detach(), grad_output)
        return (grad_output @ ctx.factor.matrix).to(ctx.dtype), grad_output.new_empty(0), None
