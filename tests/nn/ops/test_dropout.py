"""Dropout keeps the share of units that it should, at random, and the fused form equals the two operations."""

import pytest
import torch

from seq2seq.nn.ops.dropout import LEVELS, Dropout, keep_mask, keep_scales


@pytest.fixture(params=["cpu", "other"])
def device(request, monkeypatch):
    """The CPU, and a device of another type, for which torch draws every number; here it, too, is the CPU."""
    if request.param == "cpu":
        return torch.device("cpu")
    monkeypatch.setattr(torch, "rand", lambda size, device, rand=torch.rand: rand(size))
    return torch.device("meta")


@pytest.mark.parametrize("p", [0.01, 0.1, 0.3, 0.5, 0.9])
def test_share_of_kept_units_is_one_minus_p(p, device):
    torch.manual_seed(1)
    mask = keep_mask((1000, 1001), p, device)
    error = 5 * (p * (1 - p) / mask.numel()) ** 0.5
    assert abs(mask.double().mean() - (1 - p)) < error
    assert set(mask.unique().tolist()) == {0, 1}
    for other in (mask[:, 1:] * mask[:, :-1], mask[1:] * mask[:-1]):  # neighbours are independent
        assert abs(other.double().mean() - (1 - p) ** 2) < 3 * error


@pytest.mark.parametrize("p", [1e-9, 1 - 1e-9])
def test_probabilities_near_0_and_1_are_rounded_to_one_level(p):
    torch.manual_seed(1)
    mask = keep_mask((1000, 1000), p, torch.device("cpu"))
    rare = mask if p > 0.5 else 1 - mask
    assert abs(rare.double().mean() - 1 / LEVELS) < 5 / LEVELS


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_scales_are_the_mask_over_the_probability_of_being_kept(dtype):
    torch.manual_seed(1)
    scales = keep_scales((50, 60), 0.2, like=torch.zeros(1, dtype=dtype))
    torch.manual_seed(1)
    mask = keep_mask((50, 60), 0.2, torch.device("cpu"))
    assert scales.dtype == dtype
    torch.testing.assert_close(scales, mask.to(dtype) / 0.8)


def test_masks_follow_torchs_seed_and_differ_between_calls():
    size, device = (3, 7), torch.device("cpu")
    torch.manual_seed(1)
    first, second = keep_mask(size, 0.5, device), keep_mask(size, 0.5, device)
    torch.manual_seed(1)
    assert keep_mask(size, 0.5, device).equal(first)
    assert not first.equal(second)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_units_and_gradients_have_the_same_factors(dtype):
    torch.manual_seed(1)
    x = torch.rand(5, 7, 11, dtype=dtype).add(1).requires_grad_()
    y = Dropout(0.25)(x)
    y.sum().backward()
    kept = y != 0
    torch.testing.assert_close(y[kept], (x / 0.75)[kept], rtol=1e-2, atol=0)
    torch.testing.assert_close(x.grad, kept.to(dtype) / 0.75, rtol=1e-2, atol=0)
    assert 0.5 < kept.double().mean() < 1


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
