"""Rows are reversed within their own length."""

import torch
from torch.autograd import gradcheck

from seq2seq.nn.ops.reverse import reverse

LENGTHS = [5, 3, 4]
MASK = torch.arange(5) < torch.tensor(LENGTHS)[:, None]


def test_rows_are_reversed_within_their_length():
    x = torch.tensor([[1, 2, 3, 4, 5], [1, 2, 3, 8, 9], [1, 2, 3, 4, 9]])
    assert reverse(x, MASK).tolist() == [[5, 4, 3, 2, 1], [3, 2, 1, 9, 8], [4, 3, 2, 1, 9]]


def test_reversing_twice_changes_nothing():
    x = torch.randn(3, 5, 2)
    assert reverse(reverse(x, MASK), MASK).equal(x)


def test_gradients_are_those_of_the_rows_that_were_moved():
    x = torch.randn(3, 5, 2, dtype=torch.float64, requires_grad=True)
    grad_output = torch.randn_like(x)
    (gradient,) = torch.autograd.grad(reverse(x, MASK), x, grad_output)
    assert gradient.equal(reverse(grad_output, MASK))
    assert gradcheck(lambda x: reverse(x, MASK), (x,))
