"""Precisions for inference: floating point of several widths, or 8-bit integers on the CPU."""

from collections.abc import Callable
from copy import copy
from functools import cache

import torch
from torch import Tensor, nn

from seq2seq.errors import ConfigError
from seq2seq.nn.ops.linear import PackedLinear

INT8_MAX = 127
INT8_MAX_SATURATING = 63  # the largest weight for CPUs that add up two products in 16 bits


class Int8Linear(nn.Module):
    """x W^T + b with each row of W and each row of x quantized to int8 with a scale of its own.

    Rounds to the nearest of 255 integers (127 for weights on older CPUs) and accumulates exactly, so that the result
    for a row does not depend on the other rows of the batch (after Jacob et al. 2018, section 2.2, without zero
    points)."""

    weight: Tensor  # (O, K) int8
    scale: Tensor  # (O,)
    bias: Tensor | None  # (O,)

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight, scale = quantize_rows(linear.weight.detach().float(), largest_weight())
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale.squeeze(1))
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().float())

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., O) in float32."""
        quantized, scale = quantize_rows(x.reshape(-1, self.in_features))
        y = torch._int_mm(quantized, self.weight.t()).float().mul_(scale).mul_(self.scale)
        y = y if self.bias is None else y.add_(self.bias)
        return y.view(*x.shape[:-1], self.out_features)

    def select_outputs(self, ids: Tensor) -> "Int8Linear":
        """The layer with the outputs `ids` only."""
        layer = copy(self)
        layer._buffers = {name: None if part is None else part[ids] for name, part in self._buffers.items()}
        layer.out_features = len(ids)
        return layer


@cache
def largest_weight() -> int:
    """The largest int8 weight for which this CPU accumulates exactly.

    Without VNNI instructions, the sum of two products saturates in 16 bits."""
    most = torch.full((256, 256), INT8_MAX, dtype=torch.int8)
    exact = (torch._int_mm(most, most) == INT8_MAX * INT8_MAX * 256).all()  # type: ignore[operator]
    return INT8_MAX if exact else INT8_MAX_SATURATING


def quantize_rows(x: Tensor, largest: int = INT8_MAX) -> tuple[Tensor, Tensor]:
    """(N, K) -> integers (N, K) int8 in [-largest, largest], and the scales (N, 1) to multiply them by."""
    scale = x.abs().amax(1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny) / largest
    return (x / scale).round_().to(torch.int8), scale


def to_int8(model: nn.Module) -> nn.Module:
    """Quantize linear layers with more than one output, the rest in float32. Raises ConfigError unless on the CPU."""
    model = model.float()
    if (device := next(model.parameters()).device).type != "cpu":
        raise ConfigError(f"precision=int8 runs on the CPU only, and the model is on {device}")
    return replace_linears(model, Int8Linear)


def pack_linears(model: nn.Module) -> nn.Module:
    """Prepack the weights for oneDNN where it supports the model's dtype on this CPU.

    The encoder stays as it is: it runs once per source, each time with another number of rows."""
    weight = next(model.parameters())
    supported = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled
    supported = supported and (weight.dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if supported and weight.is_cpu:
        for name, part in model.named_children():
            if name != "encoder":
                replace_linears(part, PackedLinear)
    return model


def replace_linears(model: nn.Module, make: Callable[[nn.Linear], nn.Module]) -> nn.Module:
    """Replace each linear layer with more than one output by make(layer), in place. Returns `model`."""
    for module in list(model.modules()):
        for name, part in list(module.named_children()):
            if isinstance(part, nn.Linear) and part.out_features > 1:
                setattr(module, name, make(part))
    return model


# Precision for inference -> conversion of a model, in place. Training has its own: trainer.precision, by autocast.
PRECISIONS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "32": lambda model: pack_linears(model.float()),
    "bf16": lambda model: pack_linears(model.bfloat16()),
    "16": lambda model: model.half(),
    "int8": to_int8,
    "64": lambda model: model.double(),
}
