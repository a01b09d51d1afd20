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
def additive_forward(query, keys, vector, scores, T, S, K, POSITIONS: tl.constexpr, FEATURES: tl.constexpr):
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
def additive_backward(
    grad_scores, own, other, vector, grad_own, grad_vector, OWN, OTHER, own_step, other_step, K,
    LEARN: tl.constexpr, POSITIONS: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    """The gradient in one of the two arguments of additive_forward, own (N, OWN, K); the other one is (N, OTHER, K).

    The gradient of a score is at grad_scores[n OWN OTHER + i own_step + j other_step], for row i of `own` and j of
    `other`. With LEARN also the gradient in the vector from each row of `own`, (N, OWN, K). A program has one row of
    `own` and FEATURES k."""
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
        grad = tl.load(
            grad_scores + n * OWN * OTHER + row % OWN * own_step + j * other_step, mask=j < OTHER, other=0.0
        ).to(tl.float32)
        activation = tanh(mine[None, :] + theirs)
        inner += tl.sum((1 - activation * activation) * grad[:, None], 0)
        weighted += tl.sum(activation * grad[:, None], 0)
    v = tl.load(vector + k, mask=k < K, other=0.0).to(tl.float32)
    tl.store(grad_own + row * K + k, inner * v, mask=k < K)
    if LEARN:
        tl.store(grad_vector + row * K + k, weighted, mask=k < K)


def launch(kernel: Any, programs: tuple[int, ...], first: Tensor, *arguments: Any) -> None:
    """Launch a kernel on the device of the first tensor, which need not be the current one; none if `programs` has a
    zero."""
    if all(programs):
        with torch.cuda.device_of(first):
            kernel[programs](first, *arguments)


class TritonAdditiveScores(torch.autograd.Function):
    """v . tanh(q + k) of query (N, T, K), keys (N, S, K), vector (K) -> (N, T, S); no pair is saved."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, keys: Tensor, vector: Tensor) -> Tensor:
        query, keys = query.contiguous(), keys.contiguous()
        ctx.save_for_backward(query, keys, vector)
        (N, T, K), S = query.shape, keys.size(1)
        scores = query.new_empty(N, T, S)
        launch(
            additive_forward,
            (N * T, triton.cdiv(S, POSITIONS)),
            query,
            keys,
            vector,
            scores,
            T,
            S,
            K,
            POSITIONS,
            FEATURES,
        )
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, keys, vector = ctx.saved_tensors
        (N, T, K), S, grad_scores = query.shape, keys.size(1), grad_outputs[0].contiguous()
        grad_query, grad_keys, grad_vector = (
            torch.empty_like(query),
            torch.empty_like(keys),
            torch.empty_like(query, dtype=torch.float32),
        )
        blocks, common = triton.cdiv(K, FEATURES), (POSITIONS, FEATURES)
        launch(
            additive_backward,
            (N * T, blocks),
            grad_scores,
            query,
            keys,
            vector,
            grad_query,
            grad_vector,
            T,
            S,
            S,
            1,
            K,
            True,
            *common,
        )
        launch(
            additive_backward,
            (N * S, blocks),
            grad_scores,
            keys,
            query,
            vector,
            grad_keys,
            grad_vector,
            S,
            T,
            1,
            S,
            K,
            False,
            *common,
        )
        return grad_query, grad_keys, grad_vector.sum((0, 1)).to(vector.dtype)


@triton.jit
def lstm_forward(gates, cell, activated, hidden, new_cell, size, count, BLOCK: tl.constexpr):
    """hidden and new_cell (N, size) from gates (N, 4 size) and cell (N, size); count = N size. `activated` (N, 4 size)
    is saved for the backward pass."""
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
    tl.store(new_cell + at, c, mask=inside)
    tl.store(hidden + at, o * tanh(c), mask=inside)


@triton.jit
def lstm_backward(
    grad_hidden, grad_new_cell, activated, cell, new_cell, grad_gates, grad_cell, size, count, BLOCK: tl.constexpr
):
    """grad_gates (N, 4 size) and grad_cell (N, size) from the gradients of lstm_forward's results, (N, size) each."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    gate = at // size * 4 * size + at % size
    i = tl.load(activated + gate, mask=inside, other=0.0).to(tl.float32)
    f = tl.load(activated + gate + size, mask=inside, other=0.0).to(tl.float32)
    g = tl.load(activated + gate + 2 * size, mask=inside, other=0.0).to(tl.float32)
    o = tl.load(activated + gate + 3 * size, mask=inside, other=0.0).to(tl.float32)
    before = tl.load(cell + at, mask=inside, other=0.0).to(tl.float32)
    top = tanh(tl.load(new_cell + at, mask=inside, other=0.0).to(tl.float32))
    grad = tl.load(grad_hidden + at, mask=inside, other=0.0).to(tl.float32)
    inner = tl.load(grad_new_cell + at, mask=inside, other=0.0).to(tl.float32) + grad * o * (1 - top * top)
    tl.store(grad_gates + gate, inner * g * i * (1 - i), mask=inside)
    tl.store(grad_gates + gate + size, inner * before * f * (1 - f), mask=inside)
    tl.store(grad_gates + gate + 2 * size, inner * i * (1 - g * g), mask=inside)
    tl.store(grad_gates + gate + 3 * size, grad * top * o * (1 - o), mask=inside)
    tl.store(grad_cell + at, inner * f, mask=inside)


class TritonLSTMGates(torch.autograd.Function):
    """gates (N, 4 size): input, forget, cell and output gate before their nonlinearities; cell (N, size) -> the next
    hidden and cell state, (N, size) each."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        gates, cell = gates.contiguous(), cell.contiguous()
        activated, new_cell = (
            torch.empty_like(gates),
            torch.empty_like(cell, dtype=torch.promote_types(gates.dtype, cell.dtype)),
        )
        hidden = torch.empty_like(new_cell)
        count = cell.numel()
        launch(
            lstm_forward,
            (triton.cdiv(count, BLOCK),),
            gates,
            cell,
            activated,
            hidden,
            new_cell,
            cell.size(1),
            count,
            BLOCK,
        )
        ctx.save_for_backward(activated, cell, new_cell)
        return hidden, new_cell

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        activated, cell, new_cell = ctx.saved_tensors
        grad_gates, grad_cell = torch.empty_like(activated), torch.empty_like(cell)
        count = cell.numel()
        launch(
            lstm_backward,
            (triton.cdiv(count, BLOCK),),
            *(grad.contiguous() for grad in grad_outputs),
            activated,
            cell,
            new_cell,
            grad_gates,
            grad_cell,
            cell.size(1),
            count,
            BLOCK,
        )
        return grad_gates, grad_cell


@triton.jit
def cross_entropy_rows(logits, target, norms, sums, V, smoothing, BLOCK: tl.constexpr):
    """norms and sums (R): log sum exp and sum of each row of the logits (R, V), which are then overwritten by the
    gradient of the label-smoothed cross-entropy. A program has one row."""
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
    """Logits (R, V) and target (R) -> log sum exp of each row, its target's logit and the sum of its logits, (R) in
    float32 each. The logits are overwritten by the gradient of each row's label-smoothed cross-entropy."""
    own = logits.gather(1, target.unsqueeze(1)).squeeze(1).float()
    norms, sums = (logits.new_empty(len(logits), dtype=torch.float32) for _ in range(2))
    launch(cross_entropy_rows, (len(logits),), logits, target, norms, sums, logits.size(1), smoothing, BLOCK)
    return norms, own, sums
