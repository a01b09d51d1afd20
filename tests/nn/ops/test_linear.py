"""Layers packed for oneDNN, and parts of layers, compute what the layer computes."""

import pytest
import torch

from seq2seq.nn.ops import linear as linear_module
from seq2seq.nn.ops.linear import ROWS, Linear, PackedLinear
from seq2seq.nn.precision import Int8Linear

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
IN, OUT = 37, 70
DTYPES = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)], ids=["float32", "bfloat16"]
)


def layer(dtype=torch.float32, bias=True):
    torch.manual_seed(1)
    return Linear(IN, OUT, bias=bias).to(dtype)


@torch.inference_mode()
@DTYPES
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [(1,), (5,), (64,), (3, 7), (ROWS + 1,), (0,)])
def test_packed_layer_equals_the_layer(rows, bias, dtype, tolerance):
    plain, x = layer(dtype, bias), torch.randn(*rows, IN).to(dtype)
    torch.testing.assert_close(PackedLinear(plain)(x), plain(x), rtol=tolerance, atol=tolerance)
    strided = torch.randn(IN, *rows).to(dtype).movedim(0, -1)
    torch.testing.assert_close(PackedLinear(plain)(strided), plain(strided), rtol=tolerance, atol=tolerance)


def test_many_rows_are_left_to_torch(monkeypatch):
    """oneDNN would keep code for every number of rows that ever came: tests/commands/test_many_lines.py."""
    rows_of_torch, packed = [], PackedLinear(layer())
    monkeypatch.setattr(linear_module, "linear", lambda x, weight, bias: rows_of_torch.append(len(x)))
    with torch.inference_mode():
        for rows in (1, ROWS, ROWS + 1, 5000):
            packed(torch.zeros(rows, IN))
    assert rows_of_torch == [ROWS + 1, 5000]


@pytest.mark.parametrize(
    "change", [lambda layer: layer.double(), lambda layer: layer.to("meta"), lambda layer: layer.bfloat16()]
)
def test_packed_layer_refuses_another_device_or_dtype(change):
    with pytest.raises(TypeError, match="neither device nor dtype"):
        change(PackedLinear(layer()))


def test_packed_layer_has_gradients_where_they_are_enabled():
    packed, x = PackedLinear(layer()), torch.randn(5, IN)
    (gradient,) = torch.autograd.grad(packed(x).sum(), packed.weight)
    torch.testing.assert_close(gradient, x.sum(0).expand(OUT, -1))


@torch.inference_mode()
@pytest.mark.parametrize("make", [lambda x: x, PackedLinear, Int8Linear])
@pytest.mark.parametrize("bias", [True, False])
def test_rows_of_a_layer_are_those_of_its_outputs(make, bias):
    whole, x, ids = make(layer(bias=bias)), torch.randn(5, IN), torch.tensor([3, 4, 40, 69])
    part = whole.select_outputs(ids)
    assert type(part) is type(whole)
    assert part.out_features == 4
    assert not any(weight.requires_grad for weight in part.parameters())
    torch.testing.assert_close(part(x), whole(x)[:, ids], rtol=1e-5, atol=1e-5)
