"""The fused gates of an LSTM equal their reference, values and gradients."""

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from seq2seq.nn.ops.lstm import LSTMGates, lstm_gates, lstm_gates_reference

N, H = 3, 5
FLOAT32, BFLOAT16 = torch.float32, torch.bfloat16


def random_inputs(gates_dtype, cell_dtype):
    torch.manual_seed(1)
    return [
        torch.randn(N, 4 * H).to(gates_dtype).requires_grad_(),
        torch.randn(N, H).to(cell_dtype).requires_grad_(),
    ]


@pytest.mark.parametrize(
    ("dtypes", "tolerance"),
    [
        ((torch.float64, torch.float64), 1e-10),
        ((FLOAT32, FLOAT32), 1e-5),
        ((BFLOAT16, BFLOAT16), 0.03),
        ((BFLOAT16, FLOAT32), 0.03),  # the first step under autocast
    ],
)
def test_gates_and_gradients_equal_the_reference(dtypes, tolerance, assert_equals_reference):
    assert_equals_reference(lstm_gates, lstm_gates_reference, random_inputs(*dtypes), rtol=tolerance, atol=tolerance)


def test_gradients_are_numerical_derivatives():
    assert gradcheck(lstm_gates, random_inputs(torch.float64, torch.float64))


@torch.no_grad()
def test_reference_equals_torchs_cell():
    """With an identity for the weight of the input, which is then the gates."""
    gates, cell = (x.detach() for x in random_inputs(FLOAT32, FLOAT32))
    layer = nn.LSTMCell(4 * H, H)
    nn.init.eye_(layer.weight_ih)
    for weight in (layer.weight_hh, layer.bias_ih, layer.bias_hh):
        nn.init.zeros_(weight)
    torch.testing.assert_close(lstm_gates_reference(gates, cell), layer(gates, (torch.zeros(N, H), cell)))


def test_fused_operation_runs_only_where_gradients_are_wanted(monkeypatch):
    inputs = random_inputs(FLOAT32, FLOAT32)
    with torch.no_grad():
        expected = lstm_gates(*inputs)
    monkeypatch.setattr(LSTMGates, "apply", lambda *given: expected)
    assert lstm_gates(*inputs)[0] is expected[0]
    with torch.no_grad():
        assert lstm_gates(*inputs)[0] is not expected[0]
