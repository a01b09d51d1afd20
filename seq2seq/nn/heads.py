"""How do features become probabilities of the next token? One class per way, one row per class in HEADS."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seq2seq.ids import PAD, UNK
from seq2seq.nn.interface import BARRED, Loss, Memory, Output
from seq2seq.nn.ops import devices
from seq2seq.nn.ops.cross_entropy import CHUNK, CrossEntropy
from seq2seq.nn.ops.linear import Linear


def rows_of(target_out: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:
    """target_out (B, T) and `parts` (B, T, ...) row by row, without those of padding; where finding these would make the host
    wait, they become zeros."""
    target, *flat = (x.flatten(0, 1) for x in (target_out, *parts))
    real = target != PAD
    if devices.asynchronous(target):
        return target, *(x.masked_fill(~real.view(-1, *[1] * (x.dim() - 1)), 0) for x in flat)
    place = real.nonzero().squeeze(1)
    return tuple(x.index_select(0, place) for x in (target, *flat))


class VocabularyHead(nn.Module):
    """softmax(W x + b): generate a token."""

    reads_weights: ClassVar[bool] = False
    reads_parts: ClassVar[bool] = False

    def __init__(self, size: int, vocabulary: int, table: Tensor | None = None, parts: int = 0) -> None:
        """table (V, H): an embedding to share; None makes a weight of its own. parts: size of Output.parts."""
        super().__init__()
        self.output = Linear(size, vocabulary)
        nn.init.zeros_(self.output.bias)
        if table is not None:
            self.output.weight = table  # type: ignore[assignment]

    def log_probs(self, output: Output, memory: Memory, rows: Tensor | None = None) -> Tensor:
        """Features (..., H) -> log-probabilities (..., V) in float32."""
        logits: Tensor = self.output(output.features)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        self.bar(logits, memory)
        if logits.is_cpu and not torch.is_grad_enabled():
            return torch.log_softmax(logits, -1, out=logits)  # new memory costs more than the pass
        return logits.log_softmax(-1)

    def bar(self, scores: Tensor, memory: Memory) -> None:
        """Leave each sentence its own ids: scores (..., V), or more behind these, of rows or steps of B sentences, in place."""
        if BARRED in memory.cached:
            barred = memory.cached[BARRED].unsqueeze(1)
            scores.view(len(memory.mask), -1, scores.size(-1))[..., : barred.size(-1)].add_(barred)

    def loss(self, output: Output, memory: Memory, target_out: Tensor, smoothing: float = 0.0) -> Loss:
        """Sums of the cross-entropies of target_out (B, T), label-smoothed (Szegedy et al. 2016, section 7) and plain."""
        target, features = rows_of(target_out, output.features)
        target = target.where(target < self.output.out_features, UNK)  # only a head that copies knows more words
        learning = torch.is_grad_enabled()  # inside of forward it never is
        return Loss(*CrossEntropy.apply(features, self.output.weight, self.output.bias, target, smoothing, learning))


class CopyHead(VocabularyHead):
    """g softmax(W x + b) + (1 - g) attention, g = sigmoid(w . x + b'): generate a token or copy one  (See et al. 2017, eq. 9).

    Unknown source words are ids V, V + 1, ... of an extended vocabulary of V + S entries."""

    reads_weights = True

    def __init__(self, size: int, vocabulary: int, table: Tensor | None = None, parts: int = 0) -> None:
        super().__init__(size, vocabulary, table)
        self.gate = Linear(parts if self.reads_parts else size, 1)

    def log_probs(self, output: Output, memory: Memory, rows: Tensor | None = None) -> Tensor:
        """Features (..., H), weights (..., S) -> log-probabilities (..., V + S) in float32."""
        weights, tokens = output.weights, memory.tokens
        assert weights is not None, "this head reads the attention weights"
        tokens = (
            tokens.repeat_interleave(weights.size(0) // tokens.size(0), 0)
            if rows is None
            else tokens.index_select(0, rows)
        )
        if weights.dim() == 3:
            tokens = tokens.unsqueeze(1).expand_as(weights)
        made = super().log_probs(output, memory)  # (..., V)
        seen = output.parts if self.reads_parts else output.features
        log_generate = nn.functional.logsigmoid(self.gate(seen).to(made.dtype))  # (..., 1)
        made = made + log_generate
        share = -torch.expm1(log_generate) * weights / weights.sum(-1, keepdim=True).clamp_min(1e-6)  # (..., S)
        mixed = torch.cat((made.exp(), torch.zeros_like(share, dtype=made.dtype)), -1)
        log_probs = mixed.scatter_add(-1, tokens, share.to(mixed.dtype)).clamp_min(torch.finfo(mixed.dtype).tiny).log()
        self.bar(log_probs, memory)  # again: what may not be generated has no probability, and may not be copied either
        return log_probs

    def loss(self, output: Output, memory: Memory, target_out: Tensor, smoothing: float = 0.0) -> Loss:
        """Sums of the cross-entropies of target_out (B, T) under the mixture; smoothing spreads over the V generated tokens."""
        assert output.weights is not None, "this head reads the attention weights"
        sentences = torch.arange(len(target_out), device=target_out.device).unsqueeze(1).expand_as(target_out)
        read = [
            output.features,
            output.weights,
            *([output.parts] if self.reads_parts and output.parts is not None else []),
        ]
        rows = rows_of(target_out, sentences, *read)
        size = max(1, devices.at_once(output.features, CHUNK) // self.output.out_features)
        parts = [
            checkpoint(self.chunk, memory, smoothing, *chunk, use_reentrant=False, preserve_rng_state=False)
            for chunk in zip(*(x.split(size) for x in rows), strict=True)
        ]
        return Loss(*(torch.stack(sums).sum() for sums in zip(*parts, strict=True)))

    def chunk(
        self, memory: Memory, smoothing: float, target: Tensor, sentence: Tensor, features: Tensor, *seen: Tensor
    ) -> Loss:
        """Some rows' part of the loss, computed again in the backward pass rather than kept. seen: weights, and parts if they are read."""
        log_probs = self.log_probs(
            Output(features, seen[0], parts=seen[1] if self.reads_parts else None), memory, sentence
        )
        counts = (target != PAD).to(log_probs.dtype)
        nll = -log_probs.gather(1, target.unsqueeze(1)).squeeze(1) @ counts
        spread = -log_probs[:, : self.output.out_features].mean(1) @ counts if smoothing else 0.0
        return Loss((1 - smoothing) * nll + smoothing * spread, nll.detach())


class PointerHead(CopyHead):
    """The same with g = sigmoid(w . [c; h; y] + b') of context, state and input: a pointer-generator  (See et al. 2017, eq. 8)."""

    reads_parts = True


HEADS: dict[str, type[VocabularyHead]] = {"vocabulary": VocabularyHead, "copy": CopyHead, "pointer": PointerHead}
