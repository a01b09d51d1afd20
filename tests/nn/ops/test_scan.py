"""`scan`, and the deferred gradients of `linear` and `mix` inside it, equal torch's operations in a plain loop."""

from contextlib import nullcontext
from typing import NamedTuple

import pytest
import torch
from torch.autograd import gradcheck

from seq2seq.nn.ops import scan as scan_module
from seq2seq.nn.ops.linear import Linear, linear, mix
from seq2seq.nn.ops.lstm import lstm_gates, lstm_gates_reference
from seq2seq.nn.ops.scan import active, deferred, scan

B, T, S = 3, 4, 5


def random(*sizes):
    torch.manual_seed(1)
    return [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in sizes]


def loop(context, gates, x, weight, keys, cell):
    """Three steps that use the same matrices, one of them as keys and as values."""
    hidden = x
    with context():
        for _ in range(3):
            scores = linear(hidden[:, None], keys)  # (B, 1, S)
            mixed = mix(scores.softmax(-1), keys)[:, 0]
            hidden, cell = gates(linear(mixed, weight), cell)
    return hidden, cell


def test_three_steps_and_their_gradients_equal_torch():
    given = random((B, T), (4 * T, T), (B, S, T), (B, T))
    plain, ours = loop(nullcontext, lstm_gates_reference, *given), loop(deferred, lstm_gates, *given)
    for a, b in zip(plain, ours, strict=True):
        torch.testing.assert_close(a, b)
    grads = [torch.autograd.grad(sum(out.square().sum() for out in found), given) for found in (plain, ours)]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


def test_gradients_are_numerical_derivatives():
    given = random((B, T), (4 * T, T), (B, S, T), (B, T))
    assert gradcheck(lambda *given: loop(deferred, lstm_gates, *given), given)


def test_backward_can_run_twice_over_one_graph():
    x, weight = random((2, B, T), (T, T))
    with deferred():
        steps = [linear(x[i], weight) for i in range(2)]
    torch.autograd.grad(steps[0].sum(), [x], retain_graph=True)  # without that of the weight
    for _ in range(2):
        (grad,) = torch.autograd.grad(steps[1].sum(), [weight], retain_graph=True)
        torch.testing.assert_close(grad, x[1].sum(0).expand(T, T))


@pytest.mark.parametrize("operation", ["linear", "gates"])
def test_second_derivatives_are_refused(operation):
    x, weight, cell = random((B, 4 * T), (4 * T, 4 * T), (B, T))
    with deferred():
        y = linear(x, weight) if operation == "linear" else lstm_gates(x, cell)[0]
    (grad,) = torch.autograd.grad(y.square().sum(), [x], create_graph=True)
    with pytest.raises(RuntimeError):
        grad.sum().backward()


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_inside_a_scan_equals_the_layer(bias):
    (x,) = random((B, T))
    layer = Linear(T, 3, bias=bias).double()
    with deferred():
        inside = layer(x)
    torch.testing.assert_close(inside, layer(x))


@pytest.mark.parametrize("unused", [0, 1])
def test_a_step_without_gradient_adds_nothing(unused):
    x, weight = random((2, B, T), (T, T))
    with deferred():
        steps = [linear(x[i], weight) for i in range(2)]
    (grad,) = torch.autograd.grad(steps[1 - unused].sum(), [weight])
    torch.testing.assert_close(grad, x[1 - unused].sum(0).expand(T, T))


class Inputs(NamedTuple):
    x: torch.Tensor
    absent: None = None


class Outputs(NamedTuple):
    total: torch.Tensor
    absent: None = None


def test_scan_gives_each_step_its_inputs_and_stacks_the_outputs():
    x = torch.arange(6.0).view(3, 2, 1)  # T = 3, N = 2

    def step(inputs, state):
        assert inputs.absent is None
        total = state["total"] + inputs.x
        return Outputs(total), {"total": total}

    outputs, state = scan(step, Inputs(x), {"total": torch.zeros(2, 1)})
    assert outputs.total.squeeze(2).tolist() == [[0, 2, 6], [1, 4, 9]]
    assert outputs.absent is None
    assert state["total"].flatten().tolist() == [6, 9]


def test_products_are_deferred_inside_a_scan_only_and_only_for_gradients():
    found = []

    def step(inputs, state):
        found.append(active() is not None)
        return inputs, state

    scan(step, (torch.zeros(2, 1),), {})
    with torch.no_grad():
        scan(step, (torch.zeros(1, 1),), {})
    assert found == [True, True, False]
    assert active() is None


def test_a_decoder_has_the_gradients_of_torchs_operations(case, monkeypatch):
    """Every cell, order, number of layers, score and window; a Transformer has no loop, and the same gradients twice."""
    grads = []
    for wanted in (scan_module.gradients_wanted, lambda: False):
        monkeypatch.setattr(scan_module, "gradients_wanted", wanted)
        output = case.model(case.source, case.target_in, case.copy)
        parameters = dict(case.model.named_parameters())
        found = torch.autograd.grad(output.features.square().sum(), list(parameters.values()), allow_unused=True)
        grads.append({name: grad for name, grad in zip(parameters, found, strict=True) if grad is not None})
    assert grads[0].keys() == grads[1].keys()
    size = max(grad.norm() for grad in grads[1].values())
    for name, grad in grads[0].items():
        assert (grad - grads[1][name]).norm() < 1e-5 * size, name
