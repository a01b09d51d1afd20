"""Label-smoothed cross-entropy of a linear layer without materializing the (rows, V) logits."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn.functional import linear

from seq2seq.ids import PAD
from seq2seq.nn.ops import devices

CHUNK = 2**22  # logits that exist at once on the processor: 16 MiB in float32, larger ones leave its caches


class CrossEntropy(torch.autograd.Function):
    """Sum of the label-smoothed cross-entropies of a linear layer, in chunks of rows.

    The gradient is known as soon as the softmax is, so each chunk adds its part at once: (R, V) never exists as a whole."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, target: Tensor, smoothing: float, learning: bool
    ) -> tuple[Tensor, Tensor]:
        """features (R, H), weight (V, H), bias (V), target (R) -> smoothed sum, plain sum. `learning`: gradients are wanted."""
        wanted = learning and any(ctx.needs_input_grad)
        grads = [torch.zeros_like(x) for x in (features, weight, bias)] if wanted else []
        kind = devices.product_dtype(features)
        with devices.no_autocast(features):  # its copies of each chunk would cost as much as the products
            total, nll = chunks(features.to(kind), weight.to(kind), bias.to(kind), target, smoothing, grads)
        ctx.save_for_backward(*grads)
        ctx.mark_non_differentiable(nll)
        return total, nll

    @staticmethod
    def backward(ctx: FunctionCtx, *outer: Tensor) -> tuple[Tensor | None, ...]:
        grads: tuple[Tensor, ...] = ctx.saved_tensors  # type: ignore[attr-defined]
        return (*(grad * outer[0] for grad in grads), None, None, None)


def chunks(
    features: Tensor, weight: Tensor, bias: Tensor, target: Tensor, smoothing: float, grads: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """The two sums of CrossEntropy; adds the gradients of features, weight and bias to `grads`, unless it is empty.

    A row of padding counts nothing if its features are zero; on their gradient, which is not, nobody depends."""
    wide = torch.promote_types(features.dtype, torch.float32)
    total, nll = (features.new_zeros((), dtype=wide) for _ in range(2))
    vocabulary = weight.size(0)
    rows = max(1, min(len(features), devices.at_once(weight, CHUNK) // vocabulary))
    room = [] if devices.fused(features) else [features.new_empty(rows, vocabulary, dtype=wide) for _ in range(2)]
    for x, y, at in zip(features.split(rows), target.split(rows), range(0, len(features), rows), strict=False):
        *sums, slope = slopes(linear(x, weight, bias), y, smoothing, room)
        counts = (y != PAD).to(wide)
        norm, own, everything = (part @ counts for part in sums)
        nll += norm - own
        total += (1 - smoothing) * (norm - own) + smoothing * (norm - everything / vocabulary)
        if grads:
            grads[0][at : at + rows] = slope @ weight
            grads[1] += slope.t() @ x
            grads[2] += counts.to(slope.dtype) @ slope
    return total, nll


def slopes(logits: Tensor, target: Tensor, smoothing: float, room: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Logits (R, V), to be overwritten, and target (R) -> each row's log sum exp, its target's logit, the sum of its logits (R), and
    the gradient of its cross-entropy (R, V). Room: twice (R, V) or more in wider numbers, for all chunks, since new memory
    costs more than a pass; none: it is done by one kernel, in place."""
    if not room:
        from seq2seq.nn.ops.kernels import cross_entropy

        return *cross_entropy(logits, target, smoothing), logits
    kind, y = logits.dtype, target.unsqueeze(1)
    logits = room[0][: len(logits)].copy_(logits)
    top, own, everything = logits.amax(1), logits.gather(1, y).squeeze(1), logits.sum(1)
    share = torch.softmax(logits, 1, out=room[1][: len(logits)])
    norm = top - share.amax(1).log()  # the largest share is exp(top - norm)
    share = share.sub_(smoothing / share.size(1)) if smoothing else share
    return norm, own, everything, share.scatter_add_(1, y, share.new_full((1, 1), smoothing - 1).expand_as(y)).to(kind)
