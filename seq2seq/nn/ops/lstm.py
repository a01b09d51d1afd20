"""The gates of an LSTM step, with a backward pass that writes each part of the gradient in place."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2seq.nn.ops import devices
from seq2seq.nn.ops.scan import gradients_wanted


def lstm_gates(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """gates (N, 4 H): input, forget, cell and output gate before their nonlinearities; cell (N, H) -> the next hidden
    and cell state, (N, H) each.

    By a fused operation where gradients are wanted, else by the reference."""
    if not gradients_wanted():
        return lstm_gates_reference(gates, cell)
    if devices.fused(gates):
        from seq2seq.nn.ops import kernels

        hidden, cell = kernels.TritonLSTMGates.apply(gates, cell)
    else:
        hidden, cell = LSTMGates.apply(gates, cell)
    return hidden, cell


def lstm_gates_reference(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c')  (Gers et al. 2000, without peepholes)."""
    i, f, g, o = gates.chunk(4, -1)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


class LSTMGates(torch.autograd.Function):
    """`lstm_gates_reference` in fewer passes; saves the activated gates, the cell state and tanh of the new one."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        activated = gates.sigmoid()
        i, f, g, o = activated.chunk(4, -1)
        torch.tanh(gates.chunk(4, -1)[2], out=g)
        new_cell = torch.addcmul(f * cell, i, g)
        tanh_cell = new_cell.tanh()
        ctx.save_for_backward(activated, cell, tanh_cell)
        return o * tanh_cell, new_cell

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        grad_hidden, grad_cell = grad_outputs
        activated, cell, tanh_cell = ctx.saved_tensors
        i, f, g, o = activated.chunk(4, -1)
        grad_gates = torch.empty_like(activated)
        grad_i, grad_f, grad_g, grad_o = grad_gates.chunk(4, -1)
        sigmoid, tanh = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
        sigmoid(grad_hidden * tanh_cell, o, grad_input=grad_o)
        grad_cell = tanh(grad_hidden * o, tanh_cell).add_(grad_cell)
        sigmoid(grad_cell * g, i, grad_input=grad_i)
        sigmoid(grad_cell * cell, f, grad_input=grad_f)
        tanh(grad_cell * i, g, grad_input=grad_g)
        return grad_gates, grad_cell.mul_(f)
