"""How is x W^T + b made? By torch while the layer learns; then by oneDNN, from a matrix that it has laid out for itself."""

from typing import Any

import torch
from torch import Tensor, nn

ROWS = 512  # oneDNN keeps code for each number of rows: most of the larger ones, in encoders, never come again


class Linear(nn.Linear):
    """torch's layer, of which a part can be taken."""

    def rows(self, ids: Tensor) -> "Linear":
        """The layer that yields the numbers `ids` of (..., N), and learns nothing."""
        with torch.device("meta"):
            layer = Linear(self.in_features, len(ids), bias=self.bias is not None)
        layer.weight = nn.Parameter(self.weight.detach()[ids], requires_grad=False)
        if self.bias is not None:
            layer.bias = nn.Parameter(self.bias.detach()[ids], requires_grad=False)
        return layer


class PackedLinear(Linear):
    """A layer that has learnt, and stays as it is, where it is (python scripts/bench/linear.py says what that brings)."""

    def __init__(self, linear: nn.Linear) -> None:
        with torch.device("meta"):
            super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None)
        self.weight, self.bias = linear.weight, linear.bias
        self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or x.numel() > ROWS * self.in_features:
            return super().forward(x)
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return y

    def _apply(self, *words: Any, **given: Any) -> Any:
        raise TypeError(
            "a packed layer can neither move nor change its numbers: move the model first, then nn.precision.PRECISIONS"
        )

    def rows(self, ids: Tensor) -> "PackedLinear":
        return PackedLinear(super().rows(ids))
