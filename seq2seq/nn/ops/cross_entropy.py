"""Label-smoothed cross-entropy of a linear layer without materializing its logits.

R rows (target tokens), H features, V vocabulary. The gradient is known as soon as the softmax is, so the forward pass
works in chunks of rows and adds up the gradients of each; the (R, V) logits never exist as a whole.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from seq2seq.ids import PAD
from seq2seq.nn.ops import devices

CHUNK = 2**22  # logits of a chunk on the CPU: 16 MiB in float32, larger ones leave its caches


def linear_cross_entropy(
    features: Tensor, weight: Tensor, bias: Tensor, target: Tensor, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Two sums of the cross-entropies of `target` (R) under softmax(W x + b): with label smoothing  (Szegedy et al.
    2016, section 7), and without, which is not differentiable.

    features (R, H), weight (V, H), bias (V). Rows where the target is PAD are left out of the sums; their features have
    to be zero, and their rows of the features' gradient are arbitrary: the caller has to mask both."""
    learning = torch.is_grad_enabled()  # inside a Function's forward it never is
    total, nll = LinearCrossEntropy.apply(features, weight, bias, target, smoothing, learning)
    return total, nll


def linear_cross_entropy_reference(
    features: Tensor, weight: Tensor, bias: Tensor, target: Tensor, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """The same by torch's operations, with the (R, V) logits."""
    logits = F.linear(features, weight, bias)
    smoothed = F.cross_entropy(logits, target, ignore_index=PAD, reduction="sum", label_smoothing=smoothing)
    return smoothed, F.cross_entropy(logits, target, ignore_index=PAD, reduction="sum").detach()


class LinearCrossEntropy(torch.autograd.Function):
    """The label-smoothed sum, which can be differentiated once, and the plain sum. `learning`: gradients are wanted."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, target: Tensor, smoothing: float, learning: bool
    ) -> tuple[Tensor, Tensor]:
        wanted = learning and any(ctx.needs_input_grad)
        grads = [torch.zeros_like(x) for x in (features, weight, bias)] if wanted else []
        dtype = devices.product_dtype(features)
        with devices.no_autocast(features):  # its copies of each chunk would cost as much as the products
            total, nll = sum_chunks(features.to(dtype), weight.to(dtype), bias.to(dtype), target, smoothing, grads)
        ctx.save_for_backward(*grads)
        ctx.mark_non_differentiable(nll)
        return total, nll

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        return (*(grad * grad_outputs[0] for grad in ctx.saved_tensors), None, None, None)


def sum_chunks(
    features: Tensor, weight: Tensor, bias: Tensor, target: Tensor, smoothing: float, grads: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """The smoothed and the plain sum; adds the gradients of features, weight and bias to `grads`, unless that is empty.

    Padding adds nothing to the weight's, because its features are zero; its rows of the features' are arbitrary."""
    wide = torch.promote_types(features.dtype, torch.float32)
    total, nll = (features.new_zeros((), dtype=wide) for _ in range(2))
    vocabulary = weight.size(0)
    rows = max(1, min(len(features), devices.at_once(weight, CHUNK) // vocabulary))
    buffers = [] if devices.fused(features) else [features.new_empty(rows, vocabulary, dtype=wide) for _ in range(2)]
    for x, y, at in zip(features.split(rows), target.split(rows), range(0, len(features), rows), strict=False):
        *sums, grad_logits = softmax_gradient(F.linear(x, weight, bias), y, smoothing, buffers)
        counts = (y != PAD).to(wide)
        log_norm, own, everything = (part @ counts for part in sums)
        nll += log_norm - own
        total += (1 - smoothing) * (log_norm - own) + smoothing * (log_norm - everything / vocabulary)
        if grads:
            grads[0][at : at + rows] = grad_logits @ weight
            grads[1] += grad_logits.t() @ x
            grads[2] += counts.to(grad_logits.dtype) @ grad_logits
    return total, nll


def softmax_gradient(
    logits: Tensor, target: Tensor, smoothing: float, buffers: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits (R, V) and target (R) -> log sum exp of each row, its target's logit, the sum of its logits, all (R), and
    the gradient of its label-smoothed cross-entropy (R, V).

    buffers: two in the wider dtype, of R or more rows of V, shared by all chunks, since new memory costs more than a
    pass over it. None given: a Triton kernel overwrites the logits with the gradient."""
    if not buffers:
        from seq2seq.nn.ops.kernels import cross_entropy

        return *cross_entropy(logits, target, smoothing), logits
    dtype, y = logits.dtype, target.unsqueeze(1)
    logits = buffers[0][: len(logits)].copy_(logits)
    top, own, everything = logits.amax(1), logits.gather(1, y).squeeze(1), logits.sum(1)
    probs = torch.softmax(logits, 1, out=buffers[1][: len(logits)])
    log_norm = top - probs.amax(1).log()  # the largest probability is exp(top - log_norm)
    probs = probs.sub_(smoothing / probs.size(1)) if smoothing else probs
    gradient = probs.scatter_add_(1, y, probs.new_full((1, 1), smoothing - 1).expand_as(y))
    return log_norm, own, everything, gradient.to(dtype)
