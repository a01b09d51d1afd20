"""Recurrent layers as one node of a graph: ONNX's LSTM and GRU, which read every row up to its own length.

B sentences, S source positions, I size of the input, H of the states.
"""

from typing import Any

import torch
from onnxscript import opset20
from torch import Tensor, nn

from seq2seq.errors import ConfigError
from seq2seq.nn.build import shallow_copy
from seq2seq.nn.interface import State
from seq2seq.nn.rnn.cells import GRUCell, GRUChoCell, LSTMCell
from seq2seq.nn.rnn.encoder import CellLayer, RecurrentEncoder

op: Any = opset20  # its types know of no constants and of no settings
LSTM, GRU, GRU_CHO = "LSTM", "GRU", "GRUCho"

torch.library.define(
    "seq2seq::recurrent_layer",
    "(Tensor x, Tensor lengths, Tensor weight, Tensor recurrent, Tensor bias, str kind, bool backward)"
    " -> (Tensor, Tensor, Tensor)",
)


@torch.library.register_fake("seq2seq::recurrent_layer")  # type: ignore[untyped-decorator]
def _shapes(
    x: Tensor, lengths: Tensor, weight: Tensor, recurrent: Tensor, bias: Tensor, kind: str, backward: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """x (B, S, I), lengths (B,) -> hidden states (B, S, H), the final hidden and cell state (B, H)."""
    B, S, _ = x.shape
    H = recurrent.size(2)
    return x.new_empty(B, S, H), x.new_empty(B, H), x.new_empty(B, H)


def _node(x: Any, lengths: Any, weight: Any, recurrent: Any, bias: Any, kind: str, backward: bool) -> Any:
    """The same as nodes of ONNX, whose layers have the time first and a dimension for directions."""
    time_first = op.Transpose(x, perm=[1, 0, 2])
    weights = weight, recurrent, bias
    settings = {"hidden_size": recurrent.shape[2], "direction": "reverse" if backward else "forward"}
    lengths = op.Cast(lengths, to=6)  # int32
    if kind == LSTM:
        states, hidden, cell = op.LSTM(time_first, *weights, lengths, **settings)
    else:
        settings["linear_before_reset"] = int(kind == GRU)  # Cho et al. reset before the product
        states, hidden = op.GRU(time_first, *weights, lengths, **settings)
        cell = hidden
    states = op.Transpose(op.Squeeze(states, [1]), perm=[1, 0, 2])
    return states, op.Squeeze(hidden, [0]), op.Squeeze(cell, [0])


TRANSLATIONS: dict[Any, Any] = {torch.ops.seq2seq.recurrent_layer.default: _node}


class LayerNode(nn.Module):
    """A recurrent layer of an encoder as one node of a graph; only for tracing."""

    def __init__(self, layer: nn.Module) -> None:
        """The weights are put in the order of ONNX now, so that the graph does not do it."""
        super().__init__()
        self.kind, *weights = onnx_weights(layer)
        for name, weight in zip(("weight", "recurrent", "bias"), weights, strict=True):
            self.register_buffer(name, weight.detach())

    def forward(self, x: Tensor, mask: Tensor, backward: bool = False) -> tuple[Tensor, State]:
        """As nn.rnn.encoder.read."""
        weights = self.weight, self.recurrent, self.bias
        states, hidden, cell = torch.ops.seq2seq.recurrent_layer(x, mask.sum(1), *weights, self.kind, backward)
        return states, {"hidden": hidden, "cell": cell} if self.kind == LSTM else {"hidden": hidden}


def with_nodes(encoder: RecurrentEncoder) -> RecurrentEncoder:
    """The encoder with nodes in place of its layers."""
    encoder = shallow_copy(encoder)
    encoder.forwards = nn.ModuleList(map(LayerNode, encoder.forwards))
    encoder.backwards = nn.ModuleList(map(LayerNode, encoder.backwards))
    encoder.read = lambda layer, *inputs, **options: layer(*inputs, **options)
    return encoder


def onnx_weights(layer: nn.Module) -> tuple[Any, ...]:
    """Kind, input weights (1, gates * H, I), recurrent ones (1, gates * H, H) and biases (1, 2 * gates * H) of a layer,
    in the order of ONNX: input, output, forget, cell of an LSTM; update, reset, hidden of a GRU.

    Raises ConfigError for a cell that ONNX has no node for."""
    part: Any = layer.cell if isinstance(layer, CellLayer) else layer
    match part:
        case nn.LSTM() | nn.GRU():
            kind = LSTM if isinstance(part, nn.LSTM) else GRU
            weight, recurrent, *biases = part.weight_ih_l0, part.weight_hh_l0, part.bias_ih_l0, part.bias_hh_l0
        case LSTMCell():
            kind, weight, recurrent = LSTM, part.input.weight, part.recurrent.weight
            biases = [part.input.bias, torch.zeros_like(part.input.bias)]
        case GRUCell():
            kind, weight, recurrent = GRU, part.input.weight, part.recurrent.weight
            biases = [part.input.bias, part.recurrent.bias]
        case GRUChoCell():
            # ONNX's update gate weighs the state before, that of Cho et al. the new one: sigmoid(-a) = 1 - sigmoid(a)
            sign = torch.ones(3, part.size).index_fill_(0, torch.tensor(1), -1.0).flatten()
            kind, weight, bias = GRU_CHO, part.input.weight * sign[:, None], part.input.bias * sign
            recurrent = torch.cat((part.recurrent.weight, part.candidate.weight)) * sign[:, None]
            biases = [bias, torch.zeros_like(bias)]
        case _:
            raise ConfigError(f"model.cell: there is no node of ONNX for a {type(part).__name__}")
    order = [0, 3, 1, 2] if kind == LSTM else [1, 0, 2]

    def sorted_gates(weights: Any) -> Tensor:
        gates = weights.chunk(len(order))
        return torch.cat([gates[gate] for gate in order])

    weights = sorted_gates(weight), sorted_gates(recurrent), torch.cat([sorted_gates(bias) for bias in biases])
    return kind, *(part.unsqueeze(0) for part in weights)
