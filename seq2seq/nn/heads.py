"""Output layers: from decoder features to probabilities of the next token. One class per head, registered in HEADS."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seq2seq.ids import PAD, UNK
from seq2seq.nn.interface import LOGIT_MASK, OUTPUT_ROWS, Loss, Memory, Output
from seq2seq.nn.ops import devices
from seq2seq.nn.ops.cross_entropy import CHUNK, linear_cross_entropy
from seq2seq.nn.ops.linear import Linear, linear


def flatten_rows(target_out: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
    """target_out (B, T) and `tensors` (B, T, ...) with the first two dimensions flattened and rows of padding removed.

    On an asynchronous device, where counting these rows would make the host wait, they are set to zero instead."""
    target, *flat = (x.flatten(0, 1) for x in (target_out, *tensors))
    real = target != PAD
    if devices.asynchronous(target):
        return target, *(x.masked_fill(~real.view(-1, *[1] * (x.dim() - 1)), 0) for x in flat)
    rows = real.nonzero().squeeze(1)
    return tuple(x.index_select(0, rows) for x in (target, *flat))


class VocabularyHead(nn.Module):
    """softmax(W x + b): generate a token."""

    reads_weights: ClassVar[bool] = False
    reads_parts: ClassVar[bool] = False

    def __init__(self, size: int, vocabulary: int, table: Tensor | None = None, parts: int = 0) -> None:
        """size: H. table (V, H): an embedding to share as W, if any. parts: size of Output.parts, not used here."""
        super().__init__()
        self.output = Linear(size, vocabulary)
        nn.init.zeros_(self.output.bias)
        if table is not None:
            self.output.weight = table  # type: ignore[assignment]

    def log_probs(self, output: Output, memory: Memory, rows: Tensor | None = None) -> Tensor:
        """Features (..., H) -> log-probabilities (..., V), float32 at least."""
        logits = self.logits(output.features, memory)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        self.apply_logit_mask(logits, memory)
        if logits.is_cpu and not torch.is_grad_enabled():
            return torch.log_softmax(logits, -1, out=logits)  # allocating the result would cost more than computing it
        return logits.log_softmax(-1)

    def logits(self, features: Tensor, memory: Memory) -> Tensor:
        """Features (..., H) -> logits (..., V), or of the rows that the memory has."""
        if all(name in memory.cached for name in OUTPUT_ROWS):
            return linear(features, *(memory.cached[name] for name in OUTPUT_ROWS))
        logits: Tensor = self.output(features)
        return logits

    def apply_logit_mask(self, scores: Tensor, memory: Memory, copied: int = 0) -> None:
        """Add the memory's LOGIT_MASK, if any, to the first V entries of scores (N or B, T, V + copied) in place."""
        if LOGIT_MASK in memory.cached:
            mask = memory.cached[LOGIT_MASK].unsqueeze(1)
            if copied:  # the sum with a slice would be a scatter in exported graphs
                mask = torch.cat((mask, mask.new_zeros(mask.size(0), 1, copied)), -1)
            scores.view(memory.mask.size(0), -1, scores.size(-1)).add_(mask)

    def loss(self, output: Output, memory: Memory, target_out: Tensor, smoothing: float = 0.0) -> Loss:
        """Sums of the cross-entropy of target_out (B, T), label-smoothed (Szegedy et al. 2016, section 7) and plain."""
        target, features = flatten_rows(target_out, output.features)
        target = target.where(target < self.output.out_features, UNK)  # this head cannot copy: V + k is unknown to it
        return Loss(*linear_cross_entropy(features, self.output.weight, self.output.bias, target, smoothing))


class CopyHead(VocabularyHead):
    """g softmax(W x + b) + (1 - g) attention, g = sigmoid(w . x + b'): generate or copy  (See et al. 2017, eq. 9).

    Unknown source words have the ids V, V + 1, ... of an extended vocabulary with V + S entries."""

    reads_weights = True

    def __init__(self, size: int, vocabulary: int, table: Tensor | None = None, parts: int = 0) -> None:
        super().__init__(size, vocabulary, table)
        self.gate = Linear(parts if self.reads_parts else size, 1)

    def log_probs(self, output: Output, memory: Memory, rows: Tensor | None = None) -> Tensor:
        """Features (..., H), weights (..., S) -> log-probabilities (..., V + S), float32 at least."""
        weights, tokens = output.weights, memory.tokens
        assert weights is not None, "this head reads the attention weights"
        if rows is None:
            tokens = tokens.unsqueeze(1).expand(-1, weights.size(0) // tokens.size(0), -1).flatten(0, 1)
        else:
            tokens = tokens.index_select(0, rows)
        if weights.dim() == 3:
            tokens = tokens.unsqueeze(1).expand_as(weights)
        log_vocabulary = super().log_probs(output, memory)  # (..., V)
        gate = self.gate(output.parts if self.reads_parts else output.features)
        log_generate = nn.functional.logsigmoid(gate.to(log_vocabulary.dtype))  # (..., 1) log g
        generated = (log_vocabulary + log_generate).exp()
        copied = -torch.expm1(log_generate) * weights / weights.sum(-1, keepdim=True).clamp_min(1e-6)  # (..., S)
        mixed = torch.cat((generated, torch.zeros_like(copied, dtype=generated.dtype)), -1)
        mixed = mixed.scatter_add(-1, tokens, copied.to(mixed.dtype))
        log_probs = mixed.clamp_min(torch.finfo(mixed.dtype).tiny).log()
        self.apply_logit_mask(
            log_probs, memory, weights.size(-1)
        )  # again: an id that must not be generated must not be copied either
        return log_probs

    def loss(self, output: Output, memory: Memory, target_out: Tensor, smoothing: float = 0.0) -> Loss:
        """Sums of the cross-entropy of target_out (B, T) under the mixture, smoothed over the V generated tokens."""
        assert output.weights is not None, "this head reads the attention weights"
        sentences = torch.arange(len(target_out), device=target_out.device).unsqueeze(1).expand_as(target_out)
        inputs = [output.features, output.weights]
        if self.reads_parts and output.parts is not None:
            inputs.append(output.parts)
        rows = flatten_rows(target_out, sentences, *inputs)
        size = max(1, devices.at_once(output.features, CHUNK) // self.output.out_features)
        chunks = [
            checkpoint(self.chunk_loss, memory, smoothing, *chunk, use_reentrant=False, preserve_rng_state=False)
            for chunk in zip(*(x.split(size) for x in rows), strict=True)
        ]
        return Loss(*(torch.stack(sums).sum() for sums in zip(*chunks, strict=True)))

    def chunk_loss(
        self, memory: Memory, smoothing: float, target: Tensor, sentence: Tensor, features: Tensor, *more: Tensor
    ) -> Loss:
        """The loss of some rows, recomputed in the backward pass; `more`: weights, and parts if they are read."""
        parts = more[1] if self.reads_parts else None
        log_probs = self.log_probs(Output(features, more[0], parts=parts), memory, sentence)
        counts = (target != PAD).to(log_probs.dtype)
        nll = -log_probs.gather(1, target.unsqueeze(1)).squeeze(1) @ counts
        spread = -log_probs[:, : self.output.out_features].mean(1) @ counts if smoothing else 0.0
        return Loss((1 - smoothing) * nll + smoothing * spread, nll.detach())


class PointerHead(CopyHead):
    """CopyHead with the gate of a pointer-generator: g = sigmoid(w . [c; h; y] + b')  (See et al. 2017, eq. 8).

    c is the context, h the decoder's state, y its input embedding."""

    reads_parts = True


HEADS: dict[str, type[VocabularyHead]] = {"vocabulary": VocabularyHead, "copy": CopyHead, "pointer": PointerHead}
