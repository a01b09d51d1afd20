"""Every custom autograd Function either has right second derivatives or refuses them."""

import importlib
import importlib.util
import inspect
import pkgutil

import pytest
import torch
from torch.autograd import Function, gradgradcheck

from seq2seq.nn import ops
from seq2seq.nn.ops.additive import additive_scores
from seq2seq.nn.ops.cross_entropy import linear_cross_entropy
from seq2seq.nn.ops.dropout import MaskedReLU, MaskedScale
from seq2seq.nn.ops.linear import linear
from seq2seq.nn.ops.lstm import lstm_gates
from seq2seq.nn.ops.reverse import Permute, reverse
from seq2seq.nn.ops.scan import deferred

TRITON = importlib.util.find_spec("triton") is not None
MASK = (torch.arange(12).view(3, 4) % 3 > 0).to(torch.int8)


def linear_in_scan(x, weight):
    with deferred():
        return linear(x, weight)


def triton_function(name):
    """The kernel's Function by its name; kernels.py can be imported only where there is Triton."""
    return lambda *inputs: getattr(importlib.import_module("seq2seq.nn.ops.kernels"), name).apply(*inputs)


ONCE = {  # name of a Function -> (a function that calls it, the sizes of its inputs, which of them is differentiated)
    "AdditiveScores": (additive_scores, [(2, 3, 4), (2, 5, 4), (4,)], 0),
    "LinearCrossEntropy": (
        lambda *inputs: linear_cross_entropy(*inputs, torch.tensor([3, 5, 4]), 0.1)[0],
        [(3, 4), (7, 4), (7,)],
        0,
    ),
    "MaskedReLU": (lambda x: MaskedReLU.apply(x, MASK, 2.0), [(3, 4)], 0),
    "LSTMGates": (lambda *inputs: lstm_gates(*inputs)[0], [(3, 8), (3, 2)], 0),
    "DeferredProduct": (linear_in_scan, [(3, 4), (5, 4)], 0),
    "CollectGradient": (linear_in_scan, [(3, 4), (5, 4)], 1),
}
if TRITON:
    ONCE |= {
        "TritonAdditiveScores": (triton_function("TritonAdditiveScores"), [(2, 3, 4), (2, 5, 4), (4,)], 0),
        "TritonLSTMGates": (lambda *inputs: triton_function("TritonLSTMGates")(*inputs)[0], [(3, 8), (3, 2)], 0),
    }
TWICE = {  # name of a Function -> a function of x (3, 4) that calls it
    "MaskedScale": lambda x: MaskedScale.apply(x, MASK, 2.0),
    "Permute": lambda x: reverse(x, MASK.sort(1, descending=True).values.bool()),
}


def test_every_function_is_tested():
    names = [module.name for module in pkgutil.iter_modules(ops.__path__, "seq2seq.nn.ops.")]
    modules = [importlib.import_module(name) for name in names if TRITON or not name.endswith(".kernels")]
    found = {
        name
        for module in modules
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, Function) and value.__module__ == module.__name__
    }
    assert found == {*ONCE, *TWICE}


@pytest.mark.parametrize("name", ONCE)
def test_second_derivatives_are_refused(name):
    function, sizes, index = ONCE[name]
    torch.manual_seed(1)
    device = "cuda" if name.startswith("Triton") and torch.cuda.is_available() else "cpu"
    inputs = [torch.randn(size, device=device, requires_grad=True) for size in sizes]
    (gradient,) = torch.autograd.grad(function(*inputs).square().sum(), inputs[index], create_graph=True)
    assert gradient.requires_grad
    with pytest.raises(RuntimeError):
        gradient.sum().backward()


@pytest.mark.parametrize("name", TWICE)
def test_second_derivatives_are_right(name):
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert gradgradcheck(lambda x: TWICE[name](x).pow(3), (x,))


def test_permutation_is_not_the_identity():
    """Else the test of its second derivatives would not see an order that is wrong."""
    assert not TWICE["Permute"](torch.arange(12).view(3, 4)).equal(torch.arange(12).view(3, 4))
    assert issubclass(Permute, Function)
