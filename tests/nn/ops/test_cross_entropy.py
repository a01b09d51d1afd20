"""The cross-entropy of a linear layer, computed in chunks of rows, equals its reference, which has all logits."""

import pytest
import torch
from torch.autograd import gradcheck
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from seq2seq.ids import PAD
from seq2seq.nn.ops import cross_entropy as cross_entropy_module
from seq2seq.nn.ops.cross_entropy import linear_cross_entropy, linear_cross_entropy_reference

R, H, V = 7, 4, 9
SMOOTHING = [0.0, 0.1]


@pytest.fixture(params=[2**22, 2 * V], ids=["whole", "chunks"])
def chunk(request, monkeypatch):
    monkeypatch.setattr(cross_entropy_module, "CHUNK", request.param)


def random_inputs(dtype=torch.float64):
    """Features (R, H), weight (V, H), bias (V), and target (R), none of it padding."""
    torch.manual_seed(1)
    sizes = (R, H), (V, H), (V,)
    return [torch.randn(size, dtype=dtype, requires_grad=True) for size in sizes], torch.randint(PAD + 1, V, (R,))


@pytest.mark.parametrize("smoothing", SMOOTHING)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_sums_and_gradients_equal_the_reference(chunk, dtype, tolerance, smoothing, assert_equals_reference):
    inputs, target = random_inputs(dtype)
    ours, reference = (
        lambda *inputs, function=function: function(*inputs, target, smoothing)[0]
        for function in (linear_cross_entropy, linear_cross_entropy_reference)
    )
    assert_equals_reference(ours, reference, inputs, rtol=tolerance, atol=tolerance)
    nll, expected = (
        function(*inputs, target, smoothing)[1] for function in (linear_cross_entropy, linear_cross_entropy_reference)
    )
    torch.testing.assert_close(nll, expected)
    assert not nll.requires_grad


def test_gradients_are_numerical_derivatives(chunk):
    inputs, target = random_inputs()
    assert gradcheck(lambda *x: linear_cross_entropy(*x, target, 0.1)[0], inputs)


@pytest.mark.parametrize("smoothing", SMOOTHING)
def test_padding_of_zeros_adds_nothing(chunk, smoothing):
    """Neither to the sums nor to the gradients of weight and bias, as in the reference."""
    (features, weight, bias), target = random_inputs()
    real = torch.arange(R) % 3 > 0
    features, target = (features * real[:, None]).detach().requires_grad_(), target.where(real, PAD)
    whole, short = (
        linear_cross_entropy(features, weight, bias, target, smoothing),
        linear_cross_entropy(features[real], weight, bias, target[real], smoothing),
    )
    torch.testing.assert_close(whole, short)
    torch.testing.assert_close(whole, linear_cross_entropy_reference(features, weight, bias, target, smoothing))
    gradients = [torch.autograd.grad(total, (features, weight, bias)) for total, _ in (whole, short)]
    torch.testing.assert_close(gradients[0][1:], gradients[1][1:])
    torch.testing.assert_close(gradients[0][0][real], gradients[1][0][real])


@pytest.mark.parametrize("smoothing", SMOOTHING)
def test_products_are_in_bfloat16_under_autocast_and_sums_in_float32(chunk, smoothing):
    inputs, target = random_inputs(torch.float32)
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            total, nll = linear_cross_entropy(*inputs, target, smoothing)
        results.append((total, nll, *torch.autograd.grad(total, inputs)))
    for exact, rounded in zip(*results, strict=True):
        assert rounded.dtype == torch.float32
        torch.testing.assert_close(rounded, exact, rtol=0.03, atol=0.03)
    assert not results[0][0].equal(results[1][0])


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode])
def test_no_gradient_is_computed_where_gradients_are_off(without, monkeypatch):
    """In validation parameters still require a gradient."""
    inputs, target = random_inputs()
    expected = linear_cross_entropy(*inputs, target)[0].detach()
    monkeypatch.setattr(torch, "zeros_like", None)
    with without():
        torch.testing.assert_close(linear_cross_entropy(*inputs, target)[0], expected)


class ResultSizes(TorchDispatchMode):
    """Records the number of elements of every result of an operation."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        self.sizes += [x.numel() for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
        return result


def test_no_tensor_is_larger_than_a_chunk(monkeypatch):
    inputs, target = random_inputs()
    for logits, rows in ((2**22, R), (4 * V, 4)):  # with few rows the buffers are not as large as a chunk may be
        monkeypatch.setattr(cross_entropy_module, "CHUNK", logits)
        with ResultSizes() as results:
            linear_cross_entropy(*inputs, target, 0.1)
        assert max(results.sizes) == rows * V
