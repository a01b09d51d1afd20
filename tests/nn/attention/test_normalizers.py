"""Sparse normalizers equal their formulas, solved by bisection and by hand, and so do their gradients."""

import numpy as np
import pytest
import torch

from seq2seq.nn.attention.normalizers import NORMALIZERS, entmax, sparsemax

SPARSE = ("sparsemax", "entmax")


@pytest.mark.parametrize("scale", [0.01, 1, 10, 1000])
@pytest.mark.parametrize("name", SPARSE)
def test_sparse_weights_equal_those_found_by_bisection(name, scale, formulas):
    scores = np.random.default_rng(1).normal(size=(20, 8)) * scale
    lengths = np.arange(20) % 8 + 1
    padding = torch.arange(8) >= torch.from_numpy(lengths)[:, None]
    weights = NORMALIZERS[name](torch.from_numpy(scores).masked_fill(padding, torch.finfo(torch.float64).min))
    for found, row, length in zip(weights, scores, lengths, strict=True):
        np.testing.assert_allclose(found[:length], formulas.normalizers[name](row[:length]), atol=1e-9)
        assert not found[length:].any()


def test_sparsemax_by_hand():
    scores = torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 1.5], [9.0, 0.0, 1.0], [0.5, 0.5, -3.0]])
    torch.testing.assert_close(
        sparsemax(scores), torch.tensor([[1 / 3] * 3, [0.75, 0.0, 0.25], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    )


def test_entmax_by_hand():
    """Of two scores a and 0, the first gets p where 2 (sqrt(p) - sqrt(1 - p)) = a; all of it from a = 2 on."""
    p = 0.8
    scores = torch.tensor([[0.0, 0.0], [2 * (p**0.5 - (1 - p) ** 0.5), 0.0], [2.0, 0.0], [7.0, 0.0]])
    torch.testing.assert_close(entmax(scores), torch.tensor([[0.5, 0.5], [p, 1 - p], [1.0, 0.0], [1.0, 0.0]]))


@pytest.mark.parametrize("name", SPARSE)
def test_sparse_weights_have_the_right_gradient(name):
    scores = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(NORMALIZERS[name], (scores,))
    masked = scores.detach().masked_fill(torch.arange(6) > 3, torch.finfo(torch.float64).min).requires_grad_()
    NORMALIZERS[name](masked).square().sum().backward()
    assert masked.grad.isfinite().all()
    assert not masked.grad[:, 4:].any()
