"""Dropout keeps the share of units that it should, at random, and the fused form equals the two operations."""

import pytest
import torch
from torch import nn

from seq2seq.config import RNNConfig
from seq2seq.nn.build import build_model
from seq2seq.nn.ops.dropout import Dropout, keep_mask
from seq2seq.nn.rnn.cells import CELLS
from seq2seq.nn.rnn.decoder import StepInput
from seq2seq.nn.rnn.encoder import RecurrentEncoder


@pytest.mark.parametrize("p", [0.01, 0.1, 0.3, 0.5, 0.9])
def test_share_of_kept_units_is_one_minus_p(p):
    torch.manual_seed(1)
    mask = keep_mask((1000, 1001), p, torch.device("cpu"))
    error = 5 * (p * (1 - p) / mask.numel()) ** 0.5
    assert abs(mask.double().mean() - (1 - p)) < error
    assert set(mask.unique().tolist()) == {0, 1}
    for other in (mask[:, 1:] * mask[:, :-1], mask[1:] * mask[:-1]):  # neighbours are independent
        assert abs(other.double().mean() - (1 - p) ** 2) < 3 * error


def test_masks_follow_torchs_seed_and_differ_between_calls():
    size, device = (3, 7), torch.device("cpu")
    torch.manual_seed(1)
    first, second = keep_mask(size, 0.5, device), keep_mask(size, 0.5, device)
    torch.manual_seed(1)
    assert keep_mask(size, 0.5, device).equal(first)
    assert not first.equal(second)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_units_and_gradients_are_scaled_alike(dtype):
    torch.manual_seed(1)
    x = torch.rand(5, 7, 11, dtype=dtype).add(1).requires_grad_()
    y = Dropout(0.25)(x)
    y.sum().backward()
    left = y != 0
    torch.testing.assert_close(y[left], (x / 0.75)[left], rtol=1e-2, atol=0)
    torch.testing.assert_close(x.grad, left.to(dtype) / 0.75, rtol=1e-2, atol=0)
    assert 0.5 < left.double().mean() < 1


def test_nothing_is_dropped_in_inference_or_with_p_0():
    x = torch.rand(5, 7)
    assert Dropout(0.5).eval()(x).equal(x)
    assert Dropout(0.0)(x).equal(x)
    assert keep_mask((0, 3), 0.5, x.device).shape == (0, 3)


@pytest.mark.parametrize("p", [0.0, 0.25])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fused_relu_and_dropout_equals_the_two_operations(dtype, p):
    layer = Dropout(p)
    found = []
    for both in (layer.relu, lambda x: layer(x.relu())):
        torch.manual_seed(1)
        x = torch.randn(5, 7, 11, dtype=dtype).requires_grad_()
        grad_output = torch.randn_like(x)
        y = both(x)
        found.append((y, *torch.autograd.grad(y, x, grad_output)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)
    layer.eval()
    assert layer.relu(x).equal(x.relu())


def test_fused_relu_and_dropout_saves_its_result_alone():
    saved_sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved_sizes.append(x.nbytes) or x, lambda x: x):
        Dropout(0.5).relu(torch.randn(8, 16, requires_grad=True))
    assert saved_sizes == [8 * 16 * 4]


def test_dropout_does_not_touch_the_residual_path():
    """With zero weights in the upper layers their input comes out whole."""
    encoder = RecurrentEncoder(nn.Embedding(9, 6), CELLS["lstm"], 8, 6, dropout=0.5, residual=2)
    decoder = build_model(RNNConfig(embedding=8, hidden=8, decoder_layers=6, residual=True, dropout=0.5), 9, 9).decoder
    with torch.no_grad():
        for layer in (*encoder.forwards[1:], *decoder.cells[1:]):
            for weight in layer.parameters():
                weight.zero_()
    lowest = []
    encoder.forwards[0].register_forward_hook(lambda layer, given, found: lowest.append(found[0]))
    source = torch.randint(1, 9, (3, 5))
    assert encoder(source, torch.ones(3, 5, dtype=torch.bool)).states.equal(lowest[0])
    new = {"hidden": torch.rand(3, 8), "cell": torch.rand(3, 8)}
    state = {f"{name}{layer}": torch.zeros(3, 8) for name in new for layer in range(6)}
    inputs = StepInput(torch.zeros(3, 32), torch.zeros(3, 8), torch.zeros(6, 3, 8))
    top, _ = decoder.upper_cells(inputs, new, state)
    assert top.equal(new["hidden"])
