"""What tests of operations share."""

import pytest
import torch


@pytest.fixture
def assert_equals_reference():
    """Asserts that two functions of `inputs` have equal results and, for random output gradients, equal gradients.

    Dtypes have to be equal, too; keywords are the tolerances of torch.testing.assert_close."""

    def check(function, reference, inputs, **tolerances):
        found, expected = (x if isinstance(x, tuple) else (x,) for x in (function(*inputs), reference(*inputs)))
        grad_outputs = [torch.randn_like(x) for x in expected]
        gradients = [torch.autograd.grad(outputs, inputs, grad_outputs) for outputs in (found, expected)]
        for ours, theirs in zip((*found, *gradients[0]), (*expected, *gradients[1]), strict=True):
            torch.testing.assert_close(ours, theirs, **tolerances)

    return check
