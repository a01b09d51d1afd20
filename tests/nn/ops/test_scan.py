"""Do the operations with a way back of their own equal torch's?"""

import pytest
import torch
from torch.autograd import gradcheck

from seq2seq.nn.ops import scan
from seq2seq.nn.ops.scan import Deferred, Plain

B, T, S = 3, 4, 5


def numbers(*sizes):
    torch.manual_seed(1)
    return [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in sizes]


def loop(by, x, weight, keys, cell):
    """Three steps that all use the same matrices, some of them twice."""
    hidden = x
    for _ in range(3):
        scores = by.linear(hidden[:, None], keys)  # (B, 1, S)
        context = by.mix(scores.softmax(-1), keys)[:, 0]
        hidden, cell = by.lstm(by.linear(context, weight), cell)
    return hidden, cell


def test_three_steps_and_their_gradients_are_torchs():
    given = numbers((B, T), (4 * T, T), (B, S, T), (B, T))
    plain, deferred = loop(Plain(), *given), loop(Deferred(), *given)
    for a, b in zip(plain, deferred, strict=True):
        torch.testing.assert_close(a, b)
    slopes = [torch.autograd.grad(sum(out.square().sum() for out in found), given) for found in (plain, deferred)]
    for a, b in zip(*slopes, strict=True):
        torch.testing.assert_close(a, b)


def test_gradients_are_the_slopes_of_the_values():
    assert gradcheck(lambda *given: loop(Deferred(), *given), numbers((B, T), (4 * T, T), (B, S, T), (B, T)))


def test_the_graph_can_be_gone_through_again():
    x, weight = numbers((2, B, T), (T, T))
    by = Deferred()
    steps = [by.linear(x[i], weight) for i in range(2)]
    torch.autograd.grad(steps[0].sum(), [x], retain_graph=True)  # nobody asks for the weight's
    for _ in range(2):
        (slope,) = torch.autograd.grad(steps[1].sum(), [weight], retain_graph=True)
        torch.testing.assert_close(slope, x[1].sum(0).expand(T, T))


def test_second_gradients_are_refused():
    x, weight = numbers((B, T), (T, T))
    (slope,) = torch.autograd.grad(Deferred().linear(x, weight).square().sum(), [x], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_is_projected_with_its_bias(bias):
    (x,) = numbers((B, T))
    layer = torch.nn.Linear(T, 3, bias=bias).double()
    torch.testing.assert_close(Deferred().project(x, layer), layer(x))


@pytest.mark.parametrize("unused", [0, 1])
def test_a_step_that_nobody_reads_has_no_part(unused):
    x, weight = numbers((2, B, T), (T, T))
    by = Deferred()
    steps = [by.linear(x[i], weight) for i in range(2)]
    (slope,) = torch.autograd.grad(steps[1 - unused].sum(), [weight])
    torch.testing.assert_close(slope, x[1 - unused].sum(0).expand(T, T))


def test_a_decoder_has_the_gradients_of_torchs_operations(case, monkeypatch):
    """Every cell, order, number of layers, score and window; a Transformer has no loop, and the same gradients twice."""
    found = []
    for by in (Deferred, Plain):
        monkeypatch.setattr(scan, "Deferred", by)
        output = case.model(case.source, case.target_in, case.copy)
        parameters = dict(case.model.named_parameters())
        grads = torch.autograd.grad(output.features.square().sum(), list(parameters.values()), allow_unused=True)
        found.append({name: grad for name, grad in zip(parameters, grads, strict=True) if grad is not None})
    assert found[0].keys() == found[1].keys()
    size = max(grad.norm() for grad in found[1].values())
    for name, grad in found[0].items():
        assert (grad - found[1][name]).norm() < 1e-5 * size, name
