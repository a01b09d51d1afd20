"""How is x W^T made fast? On the processor oneDNN makes it, where torch would take another library (python scripts/bench/linear.py)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

LEAST = 2**21  # multiplications; of fewer, the call costs more than it saves
WEIGHTS = 2**18  # of a matrix; a smaller one gains nothing
ROWS = 512  # oneDNN keeps code for each number of rows that it has seen: only steps of a search, whose numbers come again


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (..., K) weight^T + bias, weight (N, K) -> (..., N), where no gradient is asked of the product itself."""
    if not torch.is_grad_enabled() and direct(x, weight, bias):
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return y
    return linear(x, weight, bias)


def direct(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    """Whether oneDNN takes them as they are, and it pays."""
    return (
        x.is_cpu
        and x.dtype == weight.dtype == torch.float32
        and (bias is None or (bias.dtype == x.dtype and bias.is_contiguous()))
        and weight.numel() >= WEIGHTS
        and LEAST <= x.numel() * weight.size(0) <= ROWS * weight.numel()
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


class Linear(nn.Linear):
    """torch's, but for who makes the product when nothing is learnt."""

    def rows(self, ids: Tensor) -> "Linear":
        """The layer that yields the numbers `ids` of (..., N), and nothing is learnt by."""
        with torch.device("meta"):
            layer = Linear(self.in_features, len(ids), bias=self.bias is not None)
        layer.weight = nn.Parameter(self.weight.detach()[ids], requires_grad=False)
        if self.bias is not None:
            layer.bias = nn.Parameter(self.bias.detach()[ids], requires_grad=False)
        return layer

    def forward(self, x: Tensor) -> Tensor:
        return product(x, self.weight, self.bias)
