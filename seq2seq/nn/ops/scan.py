"""How does a loop over time learn fast? The operations of a step, as torch has them, and with a way back of their own.

Plain is torch's. Deferred has the same values and gradients, but keeps what each step gave to a matrix, and on the way
back what came to it; when all steps are through, one product makes the gradient of both. A step of the way back then
neither makes a gradient as large as the matrix nor adds it to those of the steps before.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seq2seq.nn.ops import devices


class Plain:
    """What the steps of a recurrent decoder are made of."""

    def project(self, x: Tensor, layer: nn.Module) -> Tensor:
        """What a linear layer makes of x (..., K) -> (..., N)."""
        projected: Tensor = layer(x)
        return projected

    def linear(self, x: Tensor, weight: Tensor) -> Tensor:
        """x (..., K), weight (N, K), or one for each sentence (B, N, K) -> x weight^T (..., N)."""
        return x @ weight.mT

    def mix(self, weights: Tensor, values: Tensor) -> Tensor:
        """weights (B, T, S), values (B, S, M) -> (B, T, M)."""
        return weights @ values

    def lstm(self, gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Input, forget, cell, output gates before their nonlinearities (N, 4 size), cell (N, size) -> hidden, cell."""
        i, f, g, o = gates.chunk(4, -1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        return o.sigmoid() * cell.tanh(), cell


class Deferred(Plain):
    """For one pass over a sequence of steps."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, bool], tuple[Used, Tensor]] = {}

    def project(self, x: Tensor, layer: nn.Module) -> Tensor:
        if not isinstance(layer, nn.Linear):  # one that learns nothing
            return super().project(x, layer)
        return self.linear(x, layer.weight) if layer.bias is None else self.linear(x, layer.weight) + layer.bias

    def linear(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.multiply(x, weight, weight)

    def mix(self, weights: Tensor, values: Tensor) -> Tensor:
        return self.multiply(weights, values, values.mT)

    def multiply(self, x: Tensor, owner: Tensor, matrix: Tensor) -> Tensor:
        """x matrix^T, where the matrix is known by the tensor that the caller has of it."""
        key = id(owner), matrix is owner  # the same states may be compared with and mixed
        if key not in self.known:
            used = Used(owner, matrix)
            self.known[key] = used, Gather.apply(matrix, used)
        used, mark = self.known[key]
        y: Tensor = Multiply.apply(x, mark, used)
        return y

    def lstm(self, gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        hidden, cell = fastest_lstm(gates)(gates, cell)
        return hidden, cell


def for_a_loop() -> Plain:
    """For one pass over a sequence of steps: Deferred where gradients are wanted."""
    return Deferred() if torch.is_grad_enabled() and not torch.compiler.is_compiling() else Plain()


def fastest_lstm(gates: Tensor) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Of those with the values of Plain.lstm."""
    if devices.fused(gates):
        from seq2seq.nn.ops import kernels

        return kernels.TritonLSTMGates.apply
    return LSTMGates.apply


class Used:
    """A matrix (..., N, K) in the precision of the products, what was multiplied by it, and what came back."""

    def __init__(self, owner: Tensor, matrix: Tensor) -> None:
        self.owner = owner  # no other tensor can have its id meanwhile
        self.matrix = matrix.detach().to(devices.product_dtype(matrix))
        self.given: list[Tensor] = []
        self.back: dict[int, Tensor] = {}
        self.task = -1

    def came_back(self, number: int, slope: Tensor) -> None:
        """Keep it until the matrix' turn; what is left of an earlier way back, on which nobody asked for that, is dropped."""
        if (task := torch._C._current_graph_task_id()) != self.task:
            self.back, self.task = {}, task
        self.back[number] = slope

    def gradient(self) -> Tensor | None:
        """Of all products x matrix^T."""
        if not self.back:
            return None
        x, slope = (torch.cat([parts[number] for number in sorted(self.back)], -2) for parts in (self.given, self.back))
        self.back = {}
        return slope.mT @ x


class Gather(torch.autograd.Function):
    """The matrix as autograd sees it: a mark that all its products take, so that its gradient is asked for when theirs are known."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, used: Used) -> Tensor:
        ctx.used = used
        return matrix.new_empty(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *mark: Tensor) -> tuple[Tensor | None, None]:
        return ctx.used.gradient(), None


class Multiply(torch.autograd.Function):
    """x matrix^T, of which the matrix' gradient is left to Gather."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mark: Tensor, used: Used) -> Tensor:
        ctx.used, ctx.number, ctx.kind = used, len(used.given), x.dtype
        used.given.append(x.detach().to(used.matrix.dtype))
        return used.given[-1] @ used.matrix.mT

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor, None]:
        slope = slopes[0]
        if ctx.needs_input_grad[1]:
            ctx.used.came_back(ctx.number, slope)
        return (slope @ ctx.used.matrix).to(ctx.kind), slope.new_empty(0), None


class LSTMGates(torch.autograd.Function):
    """Plain.lstm, of whose way back each part is written to its place at once."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        opened = gates.sigmoid()
        i, f, g, o = opened.chunk(4, -1)
        torch.tanh(gates.chunk(4, -1)[2], out=g)
        after = torch.addcmul(f * cell, i, g)
        top = after.tanh()
        ctx.save_for_backward(opened, cell, top)
        return o * top, after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor]:
        opened, cell, top = ctx.saved_tensors
        i, f, g, o = opened.chunk(4, -1)
        slope = torch.empty_like(opened)
        to_i, to_f, to_g, to_o = slope.chunk(4, -1)
        sigmoid, tanh = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
        sigmoid(slopes[0] * top, o, grad_input=to_o)
        inner = tanh(slopes[0] * o, top).add_(slopes[1])
        sigmoid(inner * g, i, grad_input=to_i)
        sigmoid(inner * cell, f, grad_input=to_f)
        tanh(inner * i, g, grad_input=to_g)
        return slope, inner.mul_(f)
