"""In which numbers does a trained model translate? Floating point of several widths, or whole numbers of eight bits."""

from collections.abc import Callable
from copy import copy
from functools import cache

import torch
from torch import Tensor, nn

from seq2seq.errors import ConfigError
from seq2seq.nn.ops.linear import PackedLinear

LARGEST = 127  # of eight bits with a sign
LARGEST_ADDED_IN_SIXTEEN = 63  # of a weight, where two products are added up in sixteen bits


class Int8Linear(nn.Module):
    """x W^T + b with each row of W, and each row of what is given, in eight bits and a scale of its own.

    Rounded is to the nearest of 255 whole numbers (127 for weights on older processors), which are added up exactly, so that
    a row's result is the same beside any others (after Jacob et al. 2018, section 2.2, without zero points)."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        whole, scale = rounded(linear.weight.detach().float(), largest_weight())
        self.register_buffer("whole", whole)  # (O, K) int8
        self.register_buffer("scale", scale.squeeze(1))  # (O,)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().float())

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., O) in float32."""
        given, scale = rounded(x.reshape(-1, self.in_features))
        y = torch._int_mm(given, self.whole.t()).float().mul_(scale).mul_(self.scale)  # type: ignore[operator, arg-type]
        y = y if self.bias is None else y.add_(self.bias)  # type: ignore[arg-type]
        return y.view(*x.shape[:-1], self.out_features)

    def rows(self, ids: Tensor) -> "Int8Linear":
        """The layer that yields the numbers `ids` of (..., O)."""
        layer = copy(self)
        layer._buffers = {name: None if part is None else part[ids] for name, part in self._buffers.items()}
        layer.out_features = len(ids)
        return layer


@cache
def largest_weight() -> int:
    """What a weight may be so that this processor's sums are exact: without VNNI instructions they saturate beyond 2^15."""
    most = torch.full((256, 256), LARGEST, dtype=torch.int8)
    exact = (torch._int_mm(most, most) == LARGEST * LARGEST * 256).all()  # type: ignore[operator]
    return LARGEST if exact else LARGEST_ADDED_IN_SIXTEEN


def rounded(x: Tensor, largest: int = LARGEST) -> tuple[Tensor, Tensor]:
    """(N, K) -> whole numbers (N, K) int8, and scales (N, 1) that they are to be multiplied by."""
    scale = x.abs().amax(1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny) / largest
    return (x / scale).round_().to(torch.int8), scale


def int8(model: nn.Module) -> nn.Module:
    """All linear layers, but those to a single number, in eight bits; the rest in float32. ConfigError on a GPU."""
    model = model.float()
    if (device := next(model.parameters()).device).type != "cpu":
        raise ConfigError(f"precision=int8 is for the processor, and the model is on {device}")
    return replaced(model, Int8Linear)


def packed(model: nn.Module) -> nn.Module:
    """With the matrices where oneDNN finds them fastest, if it serves these numbers here; an encoder, which runs once for a source
    of whatever length, stays as it is."""
    weight = next(model.parameters())
    able = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled
    able = able and (weight.dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported())
    for name, part in model.named_children():
        if name != "encoder" and able and weight.is_cpu:
            replaced(part, PackedLinear)
    return model


def replaced(model: nn.Module, make: Callable[[nn.Linear], nn.Module]) -> nn.Module:
    """Each linear layer, but those to a single number, by what `make` makes of it."""
    for module in list(model.modules()):
        for name, part in list(module.named_children()):
            if isinstance(part, nn.Linear) and part.out_features > 1:
                setattr(module, name, make(part))
    return model


PRECISIONS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "64": lambda model: model.double(),
    "32": lambda model: packed(model.float()),
    "bf16": lambda model: packed(model.bfloat16()),
    "16": lambda model: model.half(),
    "int8": int8,
}
