"""Does a model in eight bits say what it would say, rounded, and of a sentence the same beside any others?"""

import os
import subprocess
import sys
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from seq2seq.errors import ConfigError
from seq2seq.nn.ops.linear import Linear
from seq2seq.nn.precision import PRECISIONS, Int8Linear, largest_weight


def twin(x, weight, bias, largest):
    """In NumPy: whole numbers of -127 to 127 for each row given, of -largest to largest for weights, added up exactly."""
    sides = []
    for rows, most in ((x, 127), (weight, largest)):
        scale = np.abs(rows).max(1, keepdims=True) / np.float32(most)
        sides.append((np.rint(rows / scale).astype(np.int64), scale))
    (given, a), (held, b) = sides
    return (given @ held.T).astype(np.float32) * a * b.T + bias


@pytest.mark.parametrize("size", [(1, 8, 5), (6, 40, 24), (33, 256, 100)])
def test_eight_bits_are_the_nearest_whole_numbers(size):
    rows, given, made = size
    torch.manual_seed(1)
    linear, x = nn.Linear(given, made), torch.randn(rows, given) * torch.logspace(-3, 3, rows)[:, None]
    weight, bias = (part.detach().numpy() for part in (linear.weight, linear.bias))
    found = Int8Linear(linear)(x)
    torch.testing.assert_close(found, torch.from_numpy(twin(x.numpy(), weight, bias, largest_weight())))
    # each of the two is off by half a step at most
    step = x.abs().amax(1, keepdim=True) * linear.weight.abs().amax(1) / largest_weight()
    assert ((found - linear(x)).abs() <= given * step * 1.01).all()


def test_a_row_is_the_same_beside_any_others():
    torch.manual_seed(1)
    layer, x = Int8Linear(nn.Linear(64, 48, bias=False)), torch.randn(4, 3, 64)
    x[1] *= 100
    together = layer(x)
    assert together.shape == (4, 3, 48)
    for row, alone in zip(x.flatten(0, 1), together.flatten(0, 1), strict=True):
        assert layer(row[None])[0].equal(alone)


def test_a_row_of_zeros_gives_the_bias():
    layer = nn.Linear(8, 5)
    assert Int8Linear(layer)(torch.zeros(1, 8))[0].equal(layer.bias)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="oneDNN is told which instructions to do without")
def test_sums_are_exact_on_older_processors_too():
    """Where two products are added up in sixteen bits."""
    code = """
import torch
from seq2seq.nn.precision import Int8Linear, quantize_rows
torch.manual_seed(1)
x, layer = torch.rand(9, 512), Int8Linear(torch.nn.Linear(512, 64))
given, scale = quantize_rows(x)
expected = given.double() @ layer.weight.double().T * scale * layer.scale + layer.bias
print((layer(x) - expected).abs().max().item() < 1e-4)
"""
    told = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    assert (
        subprocess.run([sys.executable, "-c", code], env=told, capture_output=True, text=True, check=True).stdout
        == "True\n"
    )


def test_every_layer_of_a_model_is_held_in_eight_bits(variant):
    """And says nearly what it said before: features are off by a few hundredths of their size, but for a step at which a word at a
    window's edge comes or goes."""
    before = variant.model(variant.source, variant.target_in, variant.copy).features  # with gradients, as without
    model = PRECISIONS["int8"](deepcopy(variant.model))
    assert any(isinstance(part, Int8Linear) for part in model.modules())
    assert all(part.out_features == 1 for part in model.modules() if isinstance(part, nn.Linear))
    after = model(variant.source, variant.target_in, variant.copy).features
    off = ((after - before).norm(dim=-1) / before.norm(dim=-1)).flatten().sort().values
    assert 0 < off[: len(off) - (variant.config.attention.window == "local_p")].mean() < 0.05


def test_eight_bits_are_for_the_processor():
    with torch.device("meta"):
        model = nn.Sequential(Linear(2, 3))
    with pytest.raises(ConfigError, match="precision=int8 runs on the CPU only, and the model is on meta"):
        PRECISIONS["int8"](model)
