"""Do the operations with a way back of their own equal torch's?"""

import pytest
import torch
from torch.autograd import gradcheck

from seq2seq.nn.recurrence import Deferred, Plain

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


@pytest.mark.parametrize("unused", [0, 1])
def test_a_step_that_nobody_reads_has_no_part(unused):
    x, weight = numbers((2, B, T), (T, T))
    by = Deferred()
    steps = [by.linear(x[i], weight) for i in range(2)]
    (slope,) = torch.autograd.grad(steps[1 - unused].sum(), [weight])
    torch.testing.assert_close(slope, x[1 - unused].sum(0).expand(T, T))
