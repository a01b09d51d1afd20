"""Are additive scores, and their gradients, those of the formula, in however many pieces?"""

import pytest
import torch
from torch.autograd import gradcheck

from seq2seq.nn.ops import additive as module
from seq2seq.nn.ops.additive import additive_scores, blocks

N, T, S, K = 3, 4, 5, 2


def numbers(covered, dtype=torch.float64):
    torch.manual_seed(1)
    sizes = [(N, T, K), (N, S, K), (K,), *([(N, T, S), (K,)] if covered else [])]
    return [torch.randn(size, dtype=dtype, requires_grad=True) for size in sizes]


def formula(query, keys, vector, amount=None, direction=None):
    """Bahdanau et al. 2015, section A.1.2, and See et al. 2017, eq. 11, one pair at a time."""
    rows = []
    for n in range(N):
        for t in range(T):
            for s in range(S):
                inner = query[n, t] + keys[n, s]
                rows.append(vector @ torch.tanh(inner if amount is None else inner + amount[n, t, s] * direction))
    return torch.stack(rows).view(N, T, S)


@pytest.mark.parametrize("piece", [1, 2 * S * K, T * S * K, 2 * T * S * K, 10**6])
@pytest.mark.parametrize("covered", [False, True])
def test_scores_and_gradients_are_those_of_the_formula(covered, piece, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", piece)
    given = numbers(covered)
    found, expected = additive_scores(*given), formula(*given)
    torch.testing.assert_close(found, expected)
    slope = torch.randn_like(found)
    for a, b in zip(torch.autograd.grad(found, given, slope), torch.autograd.grad(expected, given, slope), strict=True):
        torch.testing.assert_close(a, b)
    assert gradcheck(additive_scores, given)


def test_sums_over_pieces_are_wide(monkeypatch):
    """In bfloat16 each of many steps would else lose what the sum has already."""
    torch.manual_seed(1)
    query, keys, vector = (torch.randn(size, requires_grad=True) for size in ((1, 500, 16), (1, 6, 16), (16,)))
    slopes = []
    for dtype, piece in ((torch.float32, 2**20), (torch.bfloat16, 1)):
        monkeypatch.setattr(module, "BLOCK", piece)
        slopes.append(
            torch.autograd.grad(additive_scores(query.to(dtype), keys.to(dtype), vector).float().sum(), keys)[0]
        )
    assert (slopes[1] - slopes[0]).norm() / slopes[0].norm() < 0.01


@pytest.mark.parametrize(("steps", "positions"), [(0, 5), (3, 0), (0, 0)])
def test_nothing_gives_nothing(steps, positions):
    assert additive_scores(torch.zeros(2, steps, 4), torch.zeros(2, positions, 4), torch.zeros(4)).shape == (
        2,
        steps,
        positions,
    )


@pytest.mark.parametrize("piece", [1, 7, 2 * S * K, T * S * K, 3 * T * S * K])
def test_pieces_are_every_pair_once(piece, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", piece)
    query, keys, *_ = numbers(False)
    seen = torch.zeros(N, T)
    for rows, steps in blocks(query, keys):
        seen[rows, steps] += 1
        assert seen[rows, steps].numel() * S * K <= max(piece, S * K)
    assert (seen == 1).all()


def test_heads_are_rows_and_nothing_of_all_pairs_is_kept():
    query, keys, vector = numbers(False)
    query, keys = (x.expand(2, -1, -1, -1).transpose(0, 1) for x in (query, keys))  # (N, heads, T, K)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        found = additive_scores(query, keys, vector)
    torch.testing.assert_close(found[:, 1], formula(query[:, 1], keys[:, 1], vector))
    assert max(kept) <= max(query.numel(), keys.numel())
