"""Additive scores and their gradients equal the formula, for every size of blocks."""

import pytest
import torch
from torch.autograd import gradcheck

from seq2seq.nn.ops import additive as additive_module
from seq2seq.nn.ops.additive import additive_scores, additive_scores_reference, blocks

N, T, S, K = 3, 4, 5, 2


def random_inputs(coverage, dtype=torch.float64):
    """Query, keys and vector; with coverage also amount and direction."""
    torch.manual_seed(1)
    sizes = [(N, T, K), (N, S, K), (K,), *([(N, T, S), (K,)] if coverage else [])]
    return [torch.randn(size, dtype=dtype, requires_grad=True) for size in sizes]


def formula(query, keys, vector, amount=None, direction=None):
    """Bahdanau et al. 2015, section A.1.2, and See et al. 2017, eq. 11, one pair at a time."""
    scores = []
    for n in range(N):
        for t in range(T):
            for s in range(S):
                inner = query[n, t] + keys[n, s]
                scores.append(vector @ torch.tanh(inner if amount is None else inner + amount[n, t, s] * direction))
    return torch.stack(scores).view(N, T, S)


@pytest.mark.parametrize("block", [1, 2 * S * K, T * S * K, 2 * T * S * K, 10**6])
@pytest.mark.parametrize("coverage", [False, True])
@pytest.mark.fast(*(f"{coverage}-{block}" for coverage in (False, True) for block in (1, 2 * S * K, 10**6)))
def test_scores_and_gradients_equal_the_formula(coverage, block, monkeypatch, assert_equals_reference):
    monkeypatch.setattr(additive_module, "BLOCK", block)
    inputs = random_inputs(coverage)
    assert_equals_reference(additive_scores, formula, inputs)
    assert gradcheck(additive_scores, inputs)


@pytest.mark.parametrize("block", [1, 10**6])
@pytest.mark.parametrize("coverage", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_scores_and_gradients_equal_the_reference(
    dtype, tolerance, coverage, block, monkeypatch, assert_equals_reference
):
    monkeypatch.setattr(additive_module, "BLOCK", block)
    inputs = random_inputs(coverage, dtype)
    assert_equals_reference(additive_scores, additive_scores_reference, inputs, rtol=tolerance, atol=tolerance)


def test_gradients_are_summed_over_blocks_in_float32(monkeypatch):
    """In bfloat16 each of many steps would lose the low bits of the sum."""
    torch.manual_seed(1)
    query, keys, vector = (torch.randn(size, requires_grad=True) for size in ((1, 500, 16), (1, 6, 16), (16,)))
    gradients = []
    for dtype, block in ((torch.float32, 2**20), (torch.bfloat16, 1)):
        monkeypatch.setattr(additive_module, "BLOCK", block)
        scores = additive_scores(query.to(dtype), keys.to(dtype), vector)
        gradients.append(torch.autograd.grad(scores.float().sum(), keys)[0])
    assert (gradients[1] - gradients[0]).norm() / gradients[0].norm() < 0.01


@pytest.mark.parametrize(("steps", "positions"), [(0, 5), (3, 0), (0, 0)])
def test_no_steps_or_no_positions_have_no_scores(steps, positions):
    scores = additive_scores(torch.zeros(2, steps, 4), torch.zeros(2, positions, 4), torch.zeros(4))
    assert scores.shape == (2, steps, positions)


@pytest.mark.parametrize("block", [1, 7, 2 * S * K, T * S * K, 3 * T * S * K])
def test_blocks_cover_every_pair_once(block, monkeypatch):
    monkeypatch.setattr(additive_module, "BLOCK", block)
    query, keys, *_ = random_inputs(coverage=False)
    visits = torch.zeros(N, T)
    for rows, steps in blocks(query, keys):
        visits[rows, steps] += 1
        assert visits[rows, steps].numel() * S * K <= max(block, S * K)
    assert (visits == 1).all()


def test_heads_are_a_leading_dimension_and_no_pair_is_saved():
    query, keys, vector = random_inputs(coverage=False)
    query, keys = (x.expand(2, -1, -1, -1).transpose(0, 1) for x in (query, keys))  # (N, heads, T or S, K)
    saved_sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved_sizes.append(x.numel()) or x, lambda x: x):
        scores = additive_scores(query, keys, vector)
    torch.testing.assert_close(scores[:, 1], formula(query[:, 1], keys[:, 1], vector))
    assert max(saved_sizes) <= max(query.numel(), keys.numel())
