"""Additive attention scores v . tanh(q + k) without materializing the (T, S, K) tensor.

The forward pass works in cache-sized blocks; the backward pass recomputes them. Shapes: N sentences (or heads), T
target steps, S source positions, K the size of keys.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2seq.nn.ops import devices

BLOCK = 2**20  # elements of a block on the CPU


def additive_scores(
    query: Tensor, keys: Tensor, vector: Tensor, amount: Tensor | None = None, direction: Tensor | None = None
) -> Tensor:
    """v . tanh(q + k), or with coverage v . tanh(q + k + a d).

    query q (..., T, K), keys k (..., S, K), vector v (K), amount a (..., T, S) and direction d (K), both or none
    -> (..., T, S)."""
    if torch.compiler.is_compiling():
        return additive_scores_reference(query, keys, vector, amount, direction)
    q, k = (x.flatten(0, -3) for x in (query, keys.to(query.dtype)))
    if amount is None and devices.fused(q):
        from seq2seq.nn.ops import kernels

        scores: Tensor = kernels.TritonAdditiveScores.apply(q, k, vector)
    else:
        scores = AdditiveScores.apply(q, k, vector, None if amount is None else amount.flatten(0, -3), direction)
    return scores.view(*query.shape[:-1], keys.size(-2))


def additive_scores_reference(
    query: Tensor, keys: Tensor, vector: Tensor, amount: Tensor | None = None, direction: Tensor | None = None
) -> Tensor:
    """`additive_scores` by torch's operations, with the (..., T, S, K) tensor."""
    return pair_sums(query, keys.to(query.dtype), amount, direction).tanh() @ vector.to(query.dtype)


def pair_sums(query: Tensor, keys: Tensor, amount: Tensor | None, direction: Tensor | None) -> Tensor:
    """q + k + a d for every pair of a step and a position, (..., T, S, K)."""
    sums = query.unsqueeze(-2) + keys.unsqueeze(-3)
    if amount is None or direction is None:
        return sums
    return sums + (amount.unsqueeze(-1) * direction).to(sums.dtype)


class AdditiveScores(torch.autograd.Function):
    """query (N, T, K), keys (N, S, K), vector (K), amount (N, T, S) or None, direction (K) or None -> (N, T, S)."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, keys: Tensor, vector: Tensor, amount: Tensor | None, direction: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(query, keys, vector, amount, direction)
        scores = query.new_empty(*query.shape[:2], keys.size(1))
        v = vector.to(query.dtype)
        for rows, steps in blocks(query, keys):
            scores[rows, steps] = pair_sums(*block_of(rows, steps, query, keys, amount), direction).tanh_() @ v
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        query, keys, vector, amount, direction = ctx.saved_tensors
        grads: list[Any] = [  # summed over blocks, in float32 at least
            None if x is None else torch.zeros_like(x, dtype=torch.promote_types(x.dtype, torch.float32))
            for x in ctx.saved_tensors
        ]
        grad_query, grad_keys, grad_vector, grad_amount, grad_direction = grads
        for rows, steps in blocks(query, keys):
            activation = pair_sums(*block_of(rows, steps, query, keys, amount), direction).tanh_()  # (n, t, S, K)
            grad_output = grad_outputs[0][rows, steps]  # (n, t, S)
            grad_vector += grad_output.flatten() @ activation.flatten(0, 2)
            grad_sums = activation.square_().neg_().add_(1).mul_(vector).mul_(grad_output.unsqueeze(-1))
            grad_query[rows, steps] = grad_sums.sum(2)
            grad_keys[rows] += grad_sums.sum(1) if grad_sums.size(1) > 1 else grad_sums.squeeze(1)
            if amount is not None:
                grad_amount[rows, steps] = (grad_sums @ direction.to(grad_sums.dtype)).to(amount.dtype)
                grad_direction += amount[rows, steps].flatten().to(grad_sums.dtype) @ grad_sums.flatten(0, 2)
        return tuple(None if x is None else grad.to(x.dtype) for x, grad in zip(ctx.saved_tensors, grads, strict=True))


def blocks(query: Tensor, keys: Tensor) -> Iterator[tuple[slice, slice]]:
    """Slices of the sentences and of the steps that cut (N, T, S, K) into blocks of BLOCK elements at most, more on
    other devices than the CPU; a block is one step of one sentence at least."""
    N, T = query.shape[:2]
    step_size = max(1, keys.size(1) * keys.size(2))  # elements of one step of one sentence
    most = devices.at_once(query, BLOCK)
    steps = max(1, min(T, most // step_size))
    rows = max(1, most // (steps * step_size))
    for row in range(0, N, rows):
        for step in range(0, T, steps):
            yield slice(row, row + rows), slice(step, step + steps)


def block_of(
    rows: slice, steps: slice, query: Tensor, keys: Tensor, amount: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Query (n, t, K), keys (n, S, K) and amount (n, t, S) of a block."""
    return query[rows, steps], keys[rows], None if amount is None else amount[rows, steps]
