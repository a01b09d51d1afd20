"""Pooling of the states of a text to one vector: one class per way, registered in `POOLINGS`.

B sentences, S source positions, M size of the states, P size of the vector, R heads or hops. Padding has no weight.
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.nn.attention.attention import Attention, attention_weights
from seq2seq.nn.attention.multihead import MultiHeadAttention
from seq2seq.nn.attention.normalizers import Normalizer
from seq2seq.nn.attention.windows import View
from seq2seq.nn.ops.linear import Linear, mix


class Pooled(NamedTuple):
    """The result of pooling."""

    vector: Tensor  # (B, P)
    maps: Tensor  # (B, R, S) the share of each position, which sums to 1


class PoolingConfig(NamedTuple):
    """What a pooling is built from."""

    size: int  # M
    attention: Callable[[], Attention | MultiHeadAttention]  # for queries and memory of size M
    normalize: Normalizer
    hidden: int  # of the scores
    hops: int  # R of the structured pooling


class Pooling(nn.Module):
    """Base of the poolings."""

    uses: ClassVar[frozenset[str]] = frozenset()  # the settings that it reads, of the model or of its attention

    def __init__(self, config: PoolingConfig) -> None:
        super().__init__()
        self.size = config.size  # P

    def forward(self, states: Tensor, mask: Tensor, ends: Tensor) -> Pooled:
        """states (B, S, M), mask (B, S) bool, True on tokens, ends (B, layers, M) of EncoderOutput -> the vector."""
        raise NotImplementedError


class AttentionPooling(Pooling):
    """sum_s a_s h_s, a = normalize(score(q, h)) of a learned query q  (Yang et al. 2016, eq. 5-7).

    Theirs is the additive score, of which W q + b is then a learned bias."""

    uses = frozenset({"scorer", "normalizer", "heads", "hidden"})

    def __init__(self, config: PoolingConfig) -> None:
        super().__init__(config)
        self.attention = config.attention()
        self.query = nn.Parameter(torch.randn(config.size) * config.size**-0.5)

    def forward(self, states: Tensor, mask: Tensor, ends: Tensor) -> Pooled:
        query = self.query.expand(states.size(0), 1, -1)
        attended = self.attention(query, self.attention.remember(states, mask))
        maps = attended.weights if attended.maps is None else attended.maps[:, 0]
        return Pooled(attended.context[:, 0], maps)


class StructuredPooling(Pooling):
    """A H, A = normalize(W2 tanh(W1 H)) with a row for each hop  (Lin et al. 2017, eq. 6-7)."""

    uses = frozenset({"normalizer", "hidden", "hops", "hop_penalty"})

    def __init__(self, config: PoolingConfig) -> None:
        super().__init__(config)
        self.normalize, self.size = config.normalize, config.size * config.hops
        self.inner = Linear(config.size, config.hidden, bias=False)
        self.outer = Linear(config.hidden, config.hops, bias=False)

    def forward(self, states: Tensor, mask: Tensor, ends: Tensor) -> Pooled:
        scores = self.outer(self.inner(states).tanh()).transpose(1, 2)  # (B, R, S)
        maps = attention_weights(scores, View(mask.unsqueeze(1)), self.normalize)
        return Pooled(mix(maps.to(states.dtype), states).flatten(1), maps)


class MeanPooling(Pooling):
    """mean of the states  (Iyyer et al. 2015, of embeddings)."""

    def forward(self, states: Tensor, mask: Tensor, ends: Tensor) -> Pooled:
        share = mask.to(torch.promote_types(states.dtype, torch.float32))
        share = share / share.sum(1, keepdim=True).clamp_min(1)
        return Pooled((share.to(states.dtype).unsqueeze(1) @ states).squeeze(1), share.unsqueeze(1))


class MaxPooling(Pooling):
    """maximum of each feature over the positions  (Conneau et al. 2017).

    The share of a position is that of the features that it gives."""

    def forward(self, states: Tensor, mask: Tensor, ends: Tensor) -> Pooled:
        lowest = torch.finfo(states.dtype).min
        vector, position = states.masked_fill(~mask.unsqueeze(-1), lowest).max(1)  # (B, M) each
        share = torch.full_like(vector, 1 / self.size, dtype=torch.promote_types(vector.dtype, torch.float32))
        maps = torch.zeros_like(states[..., 0], dtype=share.dtype).scatter_add(1, position, share)
        return Pooled(vector, maps.unsqueeze(1))


class LastPooling(Pooling):
    """final state of a recurrent encoder; of a Transformer the state of the last position  (Sutskever et al. 2014).

    Of a bidirectional encoder it is the last state of each direction."""

    def forward(self, states: Tensor, mask: Tensor, ends: Tensor) -> Pooled:
        position = (mask.sum(1, keepdim=True) - 1).clamp_min(0)  # (B, 1)
        maps = torch.arange(mask.size(1), device=mask.device) == position
        state = states.gather(1, position.unsqueeze(-1).expand(-1, -1, states.size(-1))).squeeze(1)
        vector = ends[:, -1] if ends.size(1) else state
        return Pooled(vector, maps.to(torch.promote_types(states.dtype, torch.float32)).unsqueeze(1))


POOLINGS: dict[str, type[Pooling]] = {
    "attention": AttentionPooling,
    "structured": StructuredPooling,
    "mean": MeanPooling,
    "max": MaxPooling,
    "last": LastPooling,
}
