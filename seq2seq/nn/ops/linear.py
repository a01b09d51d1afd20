"""Linear layers: gradients deferred inside a `scan`, and oneDNN's prepacked weights in inference."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq.nn.ops.scan import active

# oneDNN compiles code for each number of rows. Larger numbers are those of encoders, most of which never recur.
ROWS = 512


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b of x (..., K), weight (N, K) and bias (N) -> (..., N); or of x (B, ..., T, K) and a weight
    (B, ..., N, K) for each sentence -> (B, ..., T, N).

    Inside a scan the gradient of the weight is computed once, after the loop, if every step is given the same
    tensor. Attention's own layers, whose x (B, T, K) has more dimensions than the weight, stay torch's: deferring
    them was measured to gain nothing."""
    products = active()
    deferred = products is not None and x.dim() == weight.dim()
    if not deferred and weight.dim() == 2:
        return F.linear(x, weight, bias)
    y = products.multiply(x, weight, weight) if products is not None and deferred else x @ weight.mT
    return y if bias is None else y + bias.to(y.dtype)


def mix(weights: Tensor, values: Tensor) -> Tensor:
    """weights (B, ..., T, S) @ values (B, ..., S, M) -> (B, ..., T, M).

    Inside a scan the gradient of the values is computed once, after the loop, if every step is given the same
    tensor."""
    products = active()
    return weights @ values if products is None else products.multiply(weights, values, values.mT)


class Linear(nn.Linear):
    """torch.nn.Linear computed by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)

    def select_outputs(self, ids: Tensor) -> "Linear":
        """A layer for the outputs `ids` (N') alone, which requires no gradients."""
        with torch.device("meta"):
            layer = Linear(self.in_features, len(ids), bias=self.bias is not None)
        layer.weight = nn.Parameter(self.weight.detach()[ids], requires_grad=False)
        if self.bias is not None:
            layer.bias = nn.Parameter(self.bias.detach()[ids], requires_grad=False)
        return layer


class PackedLinear(Linear):
    """A trained layer for inference on the CPU, in the memory layout of oneDNN; `scripts/bench/linear.py` measures the
    gain.

    With gradients enabled, or for more than ROWS rows, it computes what `Linear` does. Raises TypeError if it is moved
    to another device or dtype."""

    def __init__(self, layer: nn.Linear) -> None:
        with torch.device("meta"):
            super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None)
        self.weight, self.bias = layer.weight, layer.bias
        self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or x.numel() > ROWS * self.in_features:
            return super().forward(x)
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return y

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a packed layer can change neither device nor dtype: do that to the model before packing it")

    def select_outputs(self, ids: Tensor) -> "PackedLinear":
        return PackedLinear(super().select_outputs(ids))
