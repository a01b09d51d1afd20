"""`scan`, and the deferred gradients of `linear` and `mix` inside it, equal torch's operations in a plain loop."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import NamedTuple

import pytest
import torch
from torch.autograd import gradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from seq2seq.nn.ops.linear import Linear, linear, mix
from seq2seq.nn.ops.lstm import lstm_gates, lstm_gates_reference
from seq2seq.nn.ops.scan import active, deferred, scan

B, K, S = 3, 4, 5


def random_tensors(*sizes, dtype=torch.float64):
    torch.manual_seed(1)
    return [torch.randn(size, dtype=dtype, requires_grad=True) for size in sizes]


def recurrence(context, gates, x, weight, keys, cell):
    """Three steps that share two matrices, one of them both as keys and as values."""
    hidden = x
    with context():
        for _ in range(3):
            scores = linear(hidden[:, None], keys)  # (B, 1, S)
            mixed = mix(scores.softmax(-1), keys)[:, 0]
            hidden, cell = gates(linear(mixed, weight), cell)
    return hidden, cell


SIZES = (B, K), (4 * K, K), (B, S, K), (B, K)


def test_three_steps_and_their_gradients_equal_torchs(assert_equals_reference):
    assert_equals_reference(
        lambda *inputs: recurrence(deferred, lstm_gates, *inputs),
        lambda *inputs: recurrence(nullcontext, lstm_gates_reference, *inputs),
        random_tensors(*SIZES),
    )


def test_three_steps_under_autocast_equal_torchs(assert_equals_reference):
    def under_autocast(context, gates):
        def run(*inputs):
            with torch.autocast("cpu", torch.bfloat16):
                return recurrence(context, gates, *inputs)

        return run

    assert_equals_reference(
        under_autocast(deferred, lstm_gates),
        under_autocast(nullcontext, lstm_gates_reference),
        random_tensors(*SIZES, dtype=torch.float32),
        rtol=0.05,
        atol=0.05,
    )


def test_gradients_are_numerical_derivatives():
    assert gradcheck(lambda *inputs: recurrence(deferred, lstm_gates, *inputs), random_tensors(*SIZES))


class ResultSizes(TorchDispatchMode):
    """Counts the matrix products with a result of one size."""

    def __init__(self, size):
        super().__init__()
        self.size, self.count = size, 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        if operation in (torch.ops.aten.mm.default, torch.ops.aten.bmm.default):
            self.count += result.shape == self.size
        return result


@pytest.mark.parametrize(("context", "products"), [(deferred, 1), (nullcontext, 3)], ids=["scan", "loop"])
def test_weight_gradient_is_one_product_for_all_steps(context, products):
    x, weight = random_tensors((B, K), (K, K))
    y = x
    with context():
        for _ in range(3):
            y = linear(y, weight)
    with ResultSizes(weight.shape) as sizes:
        torch.autograd.grad(y.sum(), weight)
    assert sizes.count == products


def two_products():
    """x (2, B, K), weight (K, K), and the products of the weight with each half of x."""
    x, weight = random_tensors((2, B, K), (K, K))
    with deferred():
        return x, weight, [linear(x[i], weight) for i in range(2)]


def test_inputs_with_more_dimensions_than_the_weight_are_not_deferred(assert_equals_reference):
    """Their deferred gradient would be (B, N, K), B times as large as the weight."""
    x, weight, bias = random_tensors((B, 2, K), (5, K), (5,))
    with deferred() as products:
        linear(x, weight, bias)
    assert not products.factors

    def inside(*inputs):
        with deferred():
            return linear(*inputs)

    assert_equals_reference(inside, torch.nn.functional.linear, [x, weight, bias])


def test_backward_can_run_twice_over_a_retained_graph():
    x, weight, steps = two_products()
    torch.autograd.grad(steps[0].sum(), [x], retain_graph=True)  # the gradient of the weight is not asked for
    for _ in range(2):
        (gradient,) = torch.autograd.grad(steps[1].sum(), [weight], retain_graph=True)
        torch.testing.assert_close(gradient, x[1].sum(0).expand(K, K))


def test_backward_frees_the_inputs_of_the_products():
    """As torch's own operations do: without retain_graph, it cannot run again."""
    _, weight, steps = two_products()
    total = sum(step.sum() for step in steps)
    torch.autograd.grad(total, [weight])
    with pytest.raises(RuntimeError):
        torch.autograd.grad(total, [weight])


@pytest.mark.parametrize("unused", [0, 1])
def test_step_that_does_not_enter_the_loss_adds_no_gradient(unused):
    x, weight, steps = two_products()
    (gradient,) = torch.autograd.grad(steps[1 - unused].sum(), [weight])
    torch.testing.assert_close(gradient, x[1 - unused].sum(0).expand(K, K))


def test_product_without_gradients_inside_a_scan_does_not_stop_those_of_others():
    x, weight = random_tensors((B, K), (K, K))
    with deferred():
        with torch.no_grad():
            assert active() is None
            linear(x, weight)
        y = linear(x, weight)
    (gradient,) = torch.autograd.grad(y.sum(), [weight])
    torch.testing.assert_close(gradient, x.sum(0).expand(K, K))


def test_matrices_made_in_each_step_have_their_own_gradients():
    """The id of a matrix that nobody else holds is not given to that of the next step."""
    x, weight = random_tensors((B, K), (K, K))
    with deferred():
        steps = [linear(x, scale * weight) for scale in (1.0, 2.0, 3.0)]
    (gradient,) = torch.autograd.grad(sum(step.sum() for step in steps), [weight])
    torch.testing.assert_close(gradient, 6 * x.sum(0).expand(K, K))
    torch.testing.assert_close(steps[2], 3 * steps[0])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_layer_inside_a_scan_equals_the_layer(bias, dtype):
    (x,) = random_tensors((B, K))
    x, layer = x.to(dtype), Linear(K, 3, bias=bias).to(dtype)
    with deferred():
        inside = layer(x)
    torch.testing.assert_close(inside, layer(x))


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


def test_products_are_no_longer_deferred_after_an_error():
    def step(inputs, state):
        raise ValueError("step")

    with pytest.raises(ValueError, match="step"):
        scan(step, (torch.zeros(2, 1),), {})
    assert active() is None


def test_scan_in_one_thread_defers_nothing_in_another():
    with deferred(), ThreadPoolExecutor(1) as pool:
        assert active() is not None
        assert pool.submit(active).result() is None


def test_scans_may_be_nested(assert_equals_reference):
    """The inner one leaves the outer one active, after an error too; both use the same weight."""

    def nested(context):
        def run(x, weight):
            with context():
                y, outer = linear(x, weight), active()
                with context():
                    y = linear(linear(y, weight), weight)
                with pytest.raises(ZeroDivisionError), context():
                    raise ZeroDivisionError
                assert active() is outer
                return linear(y, weight)

        return run

    assert_equals_reference(nested(deferred), nested(nullcontext), random_tensors((B, K), (K, K)))
