"""How are additive scores made when all pairs of a target step and a source position are too many to be kept?

In pieces that stay in the processor's caches, and made again on the way back. Shapes: N sentences (or heads), T steps,
S positions, K the size of keys.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from seq2seq.nn.ops import devices

PIECE = 2**20  # numbers that exist at once on the processor


def additive_scores(
    query: Tensor, keys: Tensor, vector: Tensor, amount: Tensor | None = None, direction: Tensor | None = None
) -> Tensor:
    """v . tanh(q + k + a d) of query (..., T, K), keys (..., S, K), vector (K), amount (..., T, S) and direction (K) -> (..., T, S)."""
    if torch.compiler.is_compiling():
        return paired(query, keys, amount, direction).tanh() @ vector.to(query.dtype)
    q, k = (x.flatten(0, -3) for x in (query, keys.to(query.dtype)))
    if amount is None and devices.fused(q):
        from seq2seq.nn.ops import kernels

        scores: Tensor = kernels.TritonAdditiveScores.apply(q, k, vector)
    else:
        scores = AdditiveScores.apply(q, k, vector, None if amount is None else amount.flatten(0, -3), direction)
    return scores.view(*query.shape[:-1], keys.size(-2))


def paired(query: Tensor, keys: Tensor, amount: Tensor | None, direction: Tensor | None) -> Tensor:
    """q + k + a d for each pair, (..., T, S, K)."""
    pairs = query.unsqueeze(-2) + keys.unsqueeze(-3)
    if amount is None or direction is None:
        return pairs
    return pairs + (amount.unsqueeze(-1) * direction).to(pairs.dtype)


class AdditiveScores(torch.autograd.Function):
    """Query (N, T, K), keys (N, S, K), vector (K), amount (N, T, S), direction (K) -> (N, T, S)."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, keys: Tensor, vector: Tensor, amount: Tensor | None, direction: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(query, keys, vector, amount, direction)
        scores = query.new_empty(*query.shape[:2], keys.size(1))
        v = vector.to(query.dtype)
        for rows, steps in pieces(query, keys):
            scores[rows, steps] = paired(*cut(rows, steps, query, keys, amount), direction).tanh_() @ v
        return scores

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        query, keys, vector, amount, direction = ctx.saved_tensors
        kinds = [
            None if x is None else torch.promote_types(x.dtype, torch.float32) for x in ctx.saved_tensors
        ]  # of sums over pieces
        grads: list[Any] = [
            None if x is None else torch.zeros_like(x, dtype=d) for x, d in zip(ctx.saved_tensors, kinds, strict=True)
        ]
        for rows, steps in pieces(query, keys):
            part = cut(rows, steps, query, keys, amount)
            high, slope = paired(*part, direction).tanh_(), slopes[0][rows, steps]  # (n, t, S, K), (n, t, S)
            grads[2] += slope.flatten() @ high.flatten(0, 2)
            inner = high.square_().neg_().add_(1).mul_(vector).mul_(slope.unsqueeze(-1))
            grads[0][rows, steps] = inner.sum(2)
            grads[1][rows] += inner.sum(1) if inner.size(1) > 1 else inner.squeeze(1)
            if amount is not None:
                grads[3][rows, steps] = (inner @ direction.to(inner.dtype)).to(amount.dtype)
                grads[4] += amount[rows, steps].flatten().to(inner.dtype) @ inner.flatten(0, 2)
        return tuple(None if x is None else grad.to(x.dtype) for x, grad in zip(ctx.saved_tensors, grads, strict=True))


def pieces(query: Tensor, keys: Tensor) -> Iterator[tuple[slice, slice]]:
    """Sentences and steps of which all pairs are at most PIECE numbers, or those of one step."""
    N, T = query.shape[:2]
    size, most = max(1, keys[0].numel() if len(keys) else 0), devices.at_once(query, PIECE)
    steps = max(1, min(T, most // size))
    rows = max(1, most // (steps * size))
    for row in range(0, N, rows):
        for step in range(0, T, steps):
            yield slice(row, row + rows), slice(step, step + steps)


def cut(
    rows: slice, steps: slice, query: Tensor, keys: Tensor, amount: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """What a piece is made of."""
    return query[rows, steps], keys[rows], None if amount is None else amount[rows, steps]
