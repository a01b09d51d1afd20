"""Does a layer that was laid out for oneDNN, or a part of a layer, say what the layer says?"""

import pytest
import torch
from torch import nn

from seq2seq.nn.ops import linear as module
from seq2seq.nn.ops.linear import ROWS, Linear, PackedLinear
from seq2seq.nn.precision import PRECISIONS, Int8Linear, pack_linears

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
SIZE, MADE = 37, 70
KINDS = {"32": (torch.float32, 1e-5), "bf16": (torch.bfloat16, 2e-2)}


def layer(kind=torch.float32, bias=True):
    torch.manual_seed(1)
    return Linear(SIZE, MADE, bias=bias).to(kind)


@torch.inference_mode()
@pytest.mark.parametrize("precision", KINDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [(1,), (5,), (64,), (3, 7), (ROWS + 1,), (0,)])
def test_packed_is_plain(rows, bias, precision):
    kind, near = KINDS[precision]
    plain, x = layer(kind, bias), torch.randn(*rows, SIZE).to(kind)
    torch.testing.assert_close(PackedLinear(plain)(x), plain(x), rtol=near, atol=near)
    strided = torch.randn(SIZE, *rows).to(kind).movedim(0, -1)
    torch.testing.assert_close(PackedLinear(plain)(strided), plain(strided), rtol=near, atol=near)


def test_many_rows_are_torchs(monkeypatch):
    """Of the rows of sources of any length, each number once, oneDNN would keep code without end (tests/commands/test_many_lines.py)."""
    seen, made = [], PackedLinear(layer())
    monkeypatch.setattr(module, "linear", lambda x, weight, bias: seen.append(len(x)))
    with torch.inference_mode():
        for rows in (1, ROWS, ROWS + 1, 5000):
            made(torch.zeros(rows, SIZE))
    assert seen == [ROWS + 1, 5000]


def test_what_is_packed_stays_as_it_is():
    for change in (lambda layer: layer.double(), lambda layer: layer.to("meta"), lambda layer: layer.bfloat16()):
        with pytest.raises(TypeError, match="neither device nor dtype"):
            change(PackedLinear(layer()))


def test_who_still_learns_gets_slopes():
    made, x = PackedLinear(layer()), torch.randn(5, SIZE)
    (slope,) = torch.autograd.grad(made(x).sum(), made.weight)
    torch.testing.assert_close(slope, x.sum(0).expand(MADE, -1))


@torch.inference_mode()
@pytest.mark.parametrize("make", [lambda x: x, PackedLinear, Int8Linear])
@pytest.mark.parametrize("bias", [True, False])
def test_a_part_says_what_the_whole_says_of_it(make, bias):
    whole, x, ids = make(layer(bias=bias)), torch.randn(5, SIZE), torch.tensor([3, 4, 40, 69])
    part = whole.rows(ids)
    assert type(part) is type(whole)
    assert part.out_features == 4
    torch.testing.assert_close(part(x), whole(x)[:, ids], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_a_model_is_packed_where_onednn_serves(precision, monkeypatch):
    def model():
        return nn.ModuleDict({"deep": nn.Sequential(layer(), nn.ReLU()), "single": Linear(SIZE, 1)})

    found = PRECISIONS[precision](model())
    assert isinstance(found["deep"][0], PackedLinear) == (
        precision == "32" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
    assert not isinstance(found["single"], PackedLinear)  # weights of attention, and gates: nothing to gain
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert not isinstance(pack_linears(model().bfloat16())["deep"][0], PackedLinear)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not isinstance(pack_linears(model())["deep"][0], PackedLinear)
    assert not isinstance(PRECISIONS["64"](model())["deep"][0], PackedLinear)
