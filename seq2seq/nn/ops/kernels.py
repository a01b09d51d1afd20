"""Triton kernels for GPUs: additive scores, the gates of an LSTM, the gradient of softmax and cross-entropy.

Each equals the operation in additive.py, lstm.py or cross_entropy.py that calls it; sums are in float32. This module is
imported only where `devices.fused` finds a GPU that can run it.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 1024  # elements of a row, or of a tensor, that one program works on at a time
POSITIONS, FEATURES = 16, 64  # the same of positions and features; powers of 2, as Triton requires


@triton.jit
def tanh(x):
    """By the exponential function, which every GPU has."""
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def score_pairs(query, keys, vector, scores, T, S, K, POSITIONS: tl.constexpr, FEATURES: tl.constexpr):
    """scores[n, t, s] = v . tanh(q[n, t] + k[n, s]); a program has one (n, t) and POSITIONS s."""
    row = tl.program_id(0).to(tl.int64)
    s = tl.program_id(1) * POSITIONS + tl.arange(0, POSITIONS)
    at = (row // T * S + s)[:, None] * K
    total = tl.zeros((POSITIONS,), tl.float32)
    for start in range(0, K, FEATURES):
        k = start + tl.arange(0, FEATURES)
        q = tl.load(query + row * K + k, mask=k < K, other=0.0).to(tl.float32)
        v = tl.load(vector + k, mask=k < K, other=0.0).to(tl.float32)
        key = tl.load(keys + at + k[None, :], mask=(s < S)[:, None] & (k < K)[None, :], other=0.0).to(tl.float32)
        total += tl.sum(tanh(q[None, :] + key) * v[None, :], 1)
    tl.store(scores + row * S + s, total, mask=s < S)


@triton.jit
def score_gradients(
    grads, own, other, vector, to_own, to_vector, OWN, OTHER, own_step, other_step, K,
    LEARN: tl.constexpr, POSITIONS: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    """The backward pass of score_pairs to one of its two arguments: own (N, OWN, K), the other one (N, OTHER, K). The
    gradient of a score is found at n OWN OTHER + own own_step + other other_step. With LEARN also what each row of
    `own` adds to the gradient of the vector."""
    row = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * FEATURES + tl.arange(0, FEATURES)
    n = row // OWN
    mine = tl.load(own + row * K + k, mask=k < K, other=0.0).to(tl.float32)
    inner = tl.zeros((FEATURES,), tl.float32)
    weighted = tl.zeros((FEATURES,), tl.float32)
    for start in range(0, OTHER, POSITIONS):
        j = start + tl.arange(0, POSITIONS)
        inside = (j < OTHER)[:, None] & (k < K)[None, :]
        theirs = tl.load(other + (n * OTHER + j)[:, None] * K + k[None, :], mask=inside, other=0.0).to(tl.float32)
        grad = tl.load(grads + n * OWN * OTHER + row % OWN * own_step + j * other_step, mask=j < OTHER, other=0.0).to(
            tl.float32
        )
        activation = tanh(mine[None, :] + theirs)
        inner += tl.sum((1 - activation * activation) * grad[:, None], 0)
        weighted += tl.sum(activation * grad[:, None], 0)
    v = tl.load(vector + k, mask=k < K, other=0.0).to(tl.float32)
    tl.store(to_own + row * K + k, inner * v, mask=k < K)
    if LEARN:
        tl.store(to_vector + row * K + k, weighted, mask=k < K)


def launch(kernel: Any, programs: tuple[int, ...], first: Tensor, *given: Any) -> None:
    """Launch a kernel on the device of the first tensor, which need not be the current one; nothing where inside is no
    program."""
    if all(programs):
        with torch.cuda.device_of(first):
            kernel[programs](first, *given)


class TritonAdditiveScores(torch.autograd.Function):
    """v . tanh(q + k) of query (N, T, K), keys (N, S, K), vector (K) -> (N, T, S); no pair is saved."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, keys: Tensor, vector: Tensor) -> Tensor:
        query, keys = query.contiguous(), keys.contiguous()
        ctx.save_for_backward(query, keys, vector)
        (N, T, K), S = query.shape, keys.size(1)
        scores = query.new_empty(N, T, S)
        launch(
            score_pairs, (N * T, triton.cdiv(S, POSITIONS)), query, keys, vector, scores, T, S, K, POSITIONS, FEATURES
        )
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, keys, vector = ctx.saved_tensors
        (N, T, K), S, grads = query.shape, keys.size(1), outer[0].contiguous()
        to_query, to_keys, to_vector = (
            torch.empty_like(query),
            torch.empty_like(keys),
            torch.empty_like(query, dtype=torch.float32),
        )
        blocks, common = triton.cdiv(K, FEATURES), (POSITIONS, FEATURES)
        launch(
            score_gradients,
            (N * T, blocks),
            grads,
            query,
            keys,
            vector,
            to_query,
            to_vector,
            T,
            S,
            S,
            1,
            K,
            True,
            *common,
        )
        launch(
            score_gradients,
            (N * S, blocks),
            grads,
            keys,
            query,
            vector,
            to_keys,
            to_vector,
            S,
            T,
            1,
            S,
            K,
            False,
            *common,
        )
        return to_query, to_keys, to_vector.sum((0, 1)).to(vector.dtype)


@triton.jit
def open_gates(gates, cell, activated, hidden, after, size, count, BLOCK: tl.constexpr):
    """A step of an TritonLSTMGates from gates (N, 4 size) and cell (N, size), count = N size."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    gate = at // size * 4 * size + at % size
    i = tl.sigmoid(tl.load(gates + gate, mask=inside, other=0.0).to(tl.float32))
    f = tl.sigmoid(tl.load(gates + gate + size, mask=inside, other=0.0).to(tl.float32))
    g = tanh(tl.load(gates + gate + 2 * size, mask=inside, other=0.0).to(tl.float32))
    o = tl.sigmoid(tl.load(gates + gate + 3 * size, mask=inside, other=0.0).to(tl.float32))
    c = f * tl.load(cell + at, mask=inside, other=0.0).to(tl.float32) + i * g
    tl.store(activated + gate, i, mask=inside)
    tl.store(activated + gate + size, f, mask=inside)
    tl.store(activated + gate + 2 * size, g, mask=inside)
    tl.store(activated + gate + 3 * size, o, mask=inside)
    tl.store(after + at, c, mask=inside)
    tl.store(hidden + at, o * tanh(c), mask=inside)


@triton.jit
def close_gates(to_hidden, to_after, activated, cell, after, to_gates, to_cell, size, count, BLOCK: tl.constexpr):
    """The backward pass of open_gates."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    gate = at // size * 4 * size + at % size
    i = tl.load(activated + gate, mask=inside, other=0.0).to(tl.float32)
    f = tl.load(activated + gate + size, mask=inside, other=0.0).to(tl.float32)
    g = tl.load(activated + gate + 2 * size, mask=inside, other=0.0).to(tl.float32)
    o = tl.load(activated + gate + 3 * size, mask=inside, other=0.0).to(tl.float32)
    before = tl.load(cell + at, mask=inside, other=0.0).to(tl.float32)
    top = tanh(tl.load(after + at, mask=inside, other=0.0).to(tl.float32))
    grad = tl.load(to_hidden + at, mask=inside, other=0.0).to(tl.float32)
    inner = tl.load(to_after + at, mask=inside, other=0.0).to(tl.float32) + grad * o * (1 - top * top)
    tl.store(to_gates + gate, inner * g * i * (1 - i), mask=inside)
    tl.store(to_gates + gate + size, inner * before * f * (1 - f), mask=inside)
    tl.store(to_gates + gate + 2 * size, inner * i * (1 - g * g), mask=inside)
    tl.store(to_gates + gate + 3 * size, grad * top * o * (1 - o), mask=inside)
    tl.store(to_cell + at, inner * f, mask=inside)


class TritonLSTMGates(torch.autograd.Function):
    """Input, forget, cell, output gates before their nonlinearities (N, 4 size), cell (N, size) -> hidden, cell."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        gates, cell = gates.contiguous(), cell.contiguous()
        activated, after = (
            torch.empty_like(gates),
            torch.empty_like(cell, dtype=torch.promote_types(gates.dtype, cell.dtype)),
        )
        hidden = torch.empty_like(after)
        count = cell.numel()
        launch(
            open_gates, (triton.cdiv(count, BLOCK),), gates, cell, activated, hidden, after, cell.size(1), count, BLOCK
        )
        ctx.save_for_backward(activated, cell, after)
        return hidden, after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        activated, cell, after = ctx.saved_tensors
        to_gates, to_cell = torch.empty_like(activated), torch.empty_like(cell)
        count, given = cell.numel(), [grad.contiguous() for grad in grads]
        launch(
            close_gates,
            (triton.cdiv(count, BLOCK),),
            *given,
            activated,
            cell,
            after,
            to_gates,
            to_cell,
            cell.size(1),
            count,
            BLOCK,
        )
        return to_gates, to_cell


@triton.jit
def softmax_gradients(logits, target, norms, sums, V, smoothing, BLOCK: tl.constexpr):
    """Row by row: log sum exp and sum of logits (R, V); then, in their place, the gradient of the smoothed
    cross-entropy."""
    row = tl.program_id(0).to(tl.int64)
    start_of_row = logits + row * V
    top, total, everything = -float("inf"), 0.0, 0.0
    for start in range(0, V, BLOCK):
        k = start + tl.arange(0, BLOCK)
        x = tl.load(start_of_row + k, mask=k < V, other=-float("inf")).to(tl.float32)
        new_top = tl.maximum(top, tl.max(x, 0))
        total = total * tl.exp(top - new_top) + tl.sum(tl.exp(x - new_top), 0)
        top = new_top
        everything += tl.sum(tl.where(k < V, x, 0.0), 0)
    norm = top + tl.log(total)
    tl.store(norms + row, norm)
    tl.store(sums + row, everything)
    y = tl.load(target + row)
    for start in range(0, V, BLOCK):
        k = start + tl.arange(0, BLOCK)
        x = tl.load(start_of_row + k, mask=k < V, other=0.0).to(tl.float32)
        grad = tl.exp(x - norm) - smoothing / V - tl.where(k == y, 1 - smoothing, 0.0)
        tl.store(start_of_row + k, grad, mask=k < V)


def cross_entropy(logits: Tensor, target: Tensor, smoothing: float) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (R, V), which become the gradient of each row's label-smoothed cross-entropy, and target (R) -> the row's
    log sum exp, the target's logit and the sum of the logits: (R,) in float32 each."""
    own = logits.gather(1, target.unsqueeze(1)).squeeze(1).float()
    norms, sums = (logits.new_empty(len(logits), dtype=torch.float32) for _ in range(2))
    launch(softmax_gradients, (len(logits),), logits, target, norms, sums, logits.size(1), smoothing, BLOCK)
    return norms, own, sums
