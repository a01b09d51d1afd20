"""Is a product the same whoever makes it, and does oneDNN make those that it should?"""

import pytest
import torch
from torch.nn.functional import linear

from seq2seq.nn import linear as module
from seq2seq.nn.linear import LEAST, ROWS, WEIGHTS, Linear, direct, product

SIZE, MADE = 512, 1030  # of a matrix that is large enough
SOME = 8  # rows, enough of them


def numbers(*sizes, dtype=torch.float32):
    torch.manual_seed(1)
    return [torch.randn(size).to(dtype) for size in sizes]


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("rows", [(1,), (SOME,), (3, SOME), (ROWS + 1,), (0,)])
def test_a_product_is_torchs(rows, dtype):
    x, weight, bias, strided = numbers((*rows, SIZE), (MADE, SIZE), (MADE,), (SIZE, MADE), dtype=dtype)
    for w, b in (
        (weight, bias),
        (weight, None),
        (strided.t(), bias),
        (weight, strided[0].repeat(3)[::3][:MADE]),
        (weight, bias[:1].expand(MADE)),
    ):
        torch.testing.assert_close(product(x, w, b), linear(x, w, b), rtol=1e-5, atol=1e-4)


def test_products_of_a_few_rows_and_a_large_matrix_are_onednns():
    x, weight = numbers((SOME, SIZE), (MADE, SIZE))
    assert x.numel() * MADE >= LEAST
    assert weight.numel() >= WEIGHTS
    assert direct(x, weight)
    assert direct(x.expand(ROWS // SOME, SOME, SIZE), weight)
    assert not direct(x[:1], weight)
    assert not direct(x, weight[:40])
    assert not direct(x.double(), weight.double())
    assert not direct(x.bfloat16(), weight.bfloat16())  # torch itself takes oneDNN, where it can
    assert not direct(x, weight, weight[:, 0])
    with torch.autocast("cpu", torch.bfloat16):
        assert not direct(x, weight)


def test_code_is_kept_for_a_bounded_number_of_shapes():
    """Of the rows of sources of any length, each number once, oneDNN would keep code without end."""
    x, weight = numbers((ROWS + 1, SIZE), (MADE, SIZE))
    assert direct(x[1:], weight)
    assert not direct(x, weight)


def test_a_layer_that_learns_has_torchs_gradient(monkeypatch):
    layer, (x,) = Linear(SIZE, MADE), numbers((SOME, SIZE))
    torch.testing.assert_close(torch.autograd.grad(layer(x).sum(), layer.weight)[0], x.sum(0).expand(MADE, -1), rtol=1e-3, atol=1e-3)
    with monkeypatch.context() as patch, torch.no_grad():
        patch.setattr(module, "linear", None)
        layer(x)  # is not torch's
