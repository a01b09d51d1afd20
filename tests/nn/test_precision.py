"""Int8 layers round as specified, whatever the CPU and whatever else is in the batch."""

import os
import subprocess
import sys
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from seq2seq.errors import ConfigError
from seq2seq.nn.ops.linear import Linear, PackedLinear
from seq2seq.nn.precision import PRECISIONS, Int8Linear, largest_weight, pack_linears


def int8_linear(x, weight, bias, largest):
    """NumPy reference: rows of x rounded to -127 .. 127, of the weight to -largest .. largest, accumulated exactly."""
    sides = []
    for rows, most in ((x, 127), (weight, largest)):
        scale = np.abs(rows).max(1, keepdims=True) / np.float32(most)
        sides.append((np.rint(rows / scale).astype(np.int64), scale))
    (inputs, a), (weights, b) = sides
    return (inputs @ weights.T).astype(np.float32) * a * b.T + bias


@pytest.mark.parametrize("size", [(1, 8, 5), (6, 40, 24), (33, 256, 100)])
def test_int8_linear_rounds_to_nearest(size):
    rows, inputs, outputs = size
    torch.manual_seed(1)
    linear, x = nn.Linear(inputs, outputs), torch.randn(rows, inputs) * torch.logspace(-3, 3, rows)[:, None]
    weight, bias = (part.detach().numpy() for part in (linear.weight, linear.bias))
    output = Int8Linear(linear)(x)
    torch.testing.assert_close(output, torch.from_numpy(int8_linear(x.numpy(), weight, bias, largest_weight())))
    # input and weight are off by half a step each, at most
    step = x.abs().amax(1, keepdim=True) * linear.weight.abs().amax(1) / largest_weight()
    assert ((output - linear(x)).abs() <= inputs * step * 1.01).all()


def test_result_for_a_row_does_not_depend_on_other_rows():
    torch.manual_seed(1)
    layer, x = Int8Linear(nn.Linear(64, 48, bias=False)), torch.randn(4, 3, 64)
    x[1] *= 100
    together = layer(x)
    assert together.shape == (4, 3, 48)
    for row, alone in zip(x.flatten(0, 1), together.flatten(0, 1), strict=True):
        assert layer(row[None])[0].equal(alone)


def test_zero_input_gives_the_bias():
    layer = nn.Linear(8, 5)
    assert Int8Linear(layer)(torch.zeros(1, 8))[0].equal(layer.bias)


def test_weights_are_smaller_where_sums_of_two_products_saturate(monkeypatch):
    """As those of unsigned inputs, shifted by 128, do in 16 bits with weights of 127, and not with weights of 63."""

    def saturating(a, b):
        pairs = ((a.int() + 128)[:, None] * b.t().int()).unflatten(-1, (-1, 2)).sum(-1)
        return pairs.clamp(-(2**15), 2**15 - 1).sum(-1) - 128 * b.int().sum(0)

    most = torch.full((8, 8), 127, dtype=torch.int8)
    assert (saturating(most, most) < 127 * 127 * 8).all()
    assert (saturating(most, most // 2) == 63 * 127 * 8).all()
    monkeypatch.setattr(torch, "_int_mm", saturating)
    assert largest_weight.__wrapped__() == 63
    monkeypatch.setattr(torch, "_int_mm", lambda a, b: a.int() @ b.int())
    assert largest_weight.__wrapped__() == 127


@pytest.mark.slow
@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="the instruction set is limited through oneDNN")
def test_sums_are_exact_on_older_cpus():
    """Without VNNI, pairs of products are added up in 16 bits."""
    code = """
import torch
from seq2seq.nn.precision import Int8Linear, quantize_rows
torch.manual_seed(1)
x, layer = torch.rand(9, 512), Int8Linear(torch.nn.Linear(512, 64))
quantized, scale = quantize_rows(x)
expected = quantized.double() @ layer.weight.double().T * scale * layer.scale + layer.bias
print((layer(x) - expected).abs().max().item() < 1e-4)
"""
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
        == "True\n"
    )


def test_int8_replaces_every_linear_layer_and_keeps_features_close(variant):
    """Features differ by less than 5 % of their norm, except at a step where a position enters or leaves a window."""
    before = variant.model(variant.source, variant.target_in, variant.copy).features  # with gradients, as without
    model = PRECISIONS["int8"](deepcopy(variant.model))
    assert any(isinstance(part, Int8Linear) for part in model.modules())
    assert all(part.out_features == 1 for part in model.modules() if isinstance(part, nn.Linear))
    after = model(variant.source, variant.target_in, variant.copy).features
    off = ((after - before).norm(dim=-1) / before.norm(dim=-1)).flatten().sort().values
    assert 0 < off[: len(off) - (variant.config.attention.window == "local_p")].mean() < 0.05


def test_int8_is_refused_on_other_devices_than_cpu():
    with torch.device("meta"):
        model = nn.Sequential(Linear(2, 3))
    with pytest.raises(ConfigError, match="precision=int8 runs on the CPU only, and the model is on meta"):
        PRECISIONS["int8"](model)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_layers_are_packed_where_onednn_supports_their_dtype(precision, monkeypatch):
    def model():
        return nn.ModuleDict({"deep": nn.Sequential(Linear(37, 70), nn.ReLU()), "single": Linear(37, 1)})

    packed = PRECISIONS[precision](model())
    supported = precision == "32" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert isinstance(packed["deep"][0], PackedLinear) == supported
    assert not isinstance(packed["single"], PackedLinear)  # vectors of attention, and gates: packing gains nothing
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert not isinstance(pack_linears(model().bfloat16())["deep"][0], PackedLinear)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not isinstance(pack_linears(model())["deep"][0], PackedLinear)
    assert not isinstance(PRECISIONS["64"](model())["deep"][0], PackedLinear)
