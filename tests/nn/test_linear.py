"""Is a product the same whoever makes it, and does oneDNN make those that it should?"""

import pytest
import torch
from torch.nn.functional import linear

from seq2seq.nn import linear as module
from seq2seq.nn.linear import LEAST, Linear, direct, product

MANY = 2048  # rows of 32 that 40 columns are made of: beyond LEAST


def numbers(*sizes, dtype=torch.float32):
    torch.manual_seed(1)
    return [torch.randn(size).to(dtype) for size in sizes]


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("rows", [(1,), (7,), (MANY,), (8, MANY // 8), (0,)])
def test_a_product_is_torchs(rows, dtype):
    x, weight, bias, strided = numbers((*rows, 32), (40, 32), (40,), (32, 40), dtype=dtype)
    for w, b in (
        (weight, bias),
        (weight, None),
        (strided.t(), bias),
        (weight, strided[:, 0].repeat(4)[::3][:40]),
        (weight, bias[:1].expand(40)),
    ):
        torch.testing.assert_close(product(x, w, b), linear(x, w, b))


def test_large_products_of_what_learns_nothing_are_onednns():
    x, weight = numbers((MANY, 32), (40, 32))
    assert x.numel() * len(weight) >= LEAST
    assert direct(x, weight)
    assert not direct(x[:7], weight)
    assert not direct(x.double(), weight.double())
    assert not direct(x.bfloat16(), weight.bfloat16())  # torch itself takes oneDNN, where it can
    assert not direct(x, weight, weight[:, 0])
    with torch.autocast("cpu", torch.bfloat16):
        assert not direct(x, weight)


def test_a_layer_that_learns_has_torchs_gradient(monkeypatch):
    layer, (x,) = Linear(32, 40), numbers((MANY, 32))
    torch.testing.assert_close(torch.autograd.grad(layer(x).sum(), layer.weight)[0], x.sum(0).expand(40, -1), rtol=1e-3, atol=1e-3)
    with monkeypatch.context() as patch, torch.no_grad():
        patch.setattr(module, "linear", None)
        layer(x)  # is not torch's
