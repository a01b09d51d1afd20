"""Each cell equals torch's own, or its paper's equations."""

import numpy as np
import pytest
import torch
from torch import nn

from seq2seq.nn.rnn.cells import CELLS


@torch.no_grad()
@pytest.mark.parametrize("fed", [0, 3])
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_cell_equals_torchs(name, fed):
    torch.manual_seed(1)
    cell, twin = CELLS[name](4, 5, fed_size=fed), {"lstm": nn.LSTMCell, "gru": nn.GRUCell}[name](4 + fed, 5)
    if name == "lstm":
        fed_weight = cell.recurrent.weight[:, :fed]
    else:
        fed_weight = cell.feed.weight if fed else cell.input.weight[:, :0]
    twin.weight_ih.copy_(torch.cat((cell.input.weight, fed_weight), 1))
    twin.weight_hh.copy_(cell.recurrent.weight[:, fed:] if name == "lstm" else cell.recurrent.weight)
    twin.bias_ih.copy_(cell.input.bias)
    twin.bias_hh.zero_() if name == "lstm" else twin.bias_hh.copy_(cell.recurrent.bias)
    x, context = torch.randn(2, 4), torch.randn(2, fed)
    state = {part: torch.randn(2, 5) for part in cell.parts}
    new_state = cell(cell.project(x), context if fed else None, state)
    expected = twin(torch.cat((x, context), 1), tuple(state.values()) if name == "lstm" else state["hidden"])
    for ours, theirs in zip(new_state.values(), expected if name == "lstm" else (expected,), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert list(new_state) == list(cell.parts) == list(cell.start(state["hidden"]))


@torch.no_grad()
@pytest.mark.parametrize("fed", [0, 3])
def test_gru_cho_equals_its_papers_equations(fed):
    """Bahdanau et al. 2015, section A.1.1, one row at a time."""
    torch.manual_seed(1)
    cell = CELLS["gru_cho"](4, 5, fed_size=fed).double()
    weights = {name: weight.numpy() for name, weight in cell.named_parameters()}
    e, c, s = (torch.randn(2, size, dtype=torch.float64) for size in (4, fed, 5))
    after = cell(cell.project(e), c if fed else None, {"hidden": s})["hidden"]
    for row in range(2):
        given = weights["input.weight"] @ e[row].numpy() + weights["input.bias"]
        given += weights["feed.weight"] @ c[row].numpy() if fed else 0
        reset, update = np.split(1 / (1 + np.exp(-(given[:10] + weights["recurrent.weight"] @ s[row].numpy()))), 2)
        new = np.tanh(given[10:] + weights["candidate.weight"] @ (reset * s[row].numpy()))
        np.testing.assert_allclose(after[row].numpy(), (1 - update) * s[row].numpy() + update * new)


def test_every_cell_is_tested():
    assert set(CELLS) == {"lstm", "gru", "gru_cho"}
