"""Transformer encoder and decoder with key-value caches, and any scorer and window on cross-attention."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from seq2seq.ids import UNK
from seq2seq.nn import kv_cache
from seq2seq.nn.attention.attention import attention_weights
from seq2seq.nn.attention.multihead import MultiHeadAttention, merge, split
from seq2seq.nn.attention.normalizers import softmax
from seq2seq.nn.attention.windows import View
from seq2seq.nn.interface import Cached, EncoderOutput, Memory, Output, State
from seq2seq.nn.layers import FeedForward, PositionalEncoding, Rotary
from seq2seq.nn.ops.devices import fused_attention_pays
from seq2seq.nn.ops.dropout import Dropout
from seq2seq.nn.ops.linear import Linear


class LayerConfig(NamedTuple):
    """What all layers of a Transformer share."""

    size: int  # D, of embeddings and layers
    heads: int
    feedforward: int  # inner size of the feed-forward networks
    dropout: float = 0.0
    pre_norm: bool = True
    norm: Callable[[int], nn.Module] = nn.LayerNorm  # size -> normalization
    activation: tuple[int, Callable[[Tensor], Tensor]] = (1, nn.functional.relu)  # an entry of ACTIVATIONS


class Sublayer(nn.Module):
    """The residual connection around a function f, with normalization and dropout.

    pre-norm: x + dropout(f(norm(x)))  (Xiong et al. 2020); post-norm: norm(x + dropout(f(x)))  (Vaswani et al. 2017,
    section 3.1)."""

    def __init__(self, config: LayerConfig) -> None:
        super().__init__()
        self.norm, self.dropout, self.pre = config.norm(config.size), Dropout(config.dropout), config.pre_norm

    def prepare(self, x: Tensor) -> Tensor:
        """The input of f."""
        return self.norm(x) if self.pre else x

    def combine(self, x: Tensor, y: Tensor) -> Tensor:
        """The output, from x and y = f(prepare(x))."""
        x = x + self.dropout(y)
        return x if self.pre else self.norm(x)


def scaled_dot_product(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """softmax(q k / sqrt(d)) v of (B, heads, N, d)  (Vaswani et al. 2017, eq. 1); fused where that is faster."""
    if fused_attention_pays(k):
        return scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
    scores = (q * q.size(-1) ** -0.5) @ k.to(q.dtype).transpose(-2, -1)
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
    weights = scores.softmax(-1) if mask is None else attention_weights(scores, View(mask), softmax)
    return weights.to(v.dtype) @ v


class SelfAttention(nn.Module):
    """Multi-head scaled dot-product attention of a sequence to itself  (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, config: LayerConfig, rotary: Rotary | None) -> None:
        super().__init__()
        self.heads, self.rotary = config.heads, rotary
        self.project, self.out = Linear(config.size, 3 * config.size), Linear(config.size, config.size)

    def qkv(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, N, D) at positions (N,) -> queries, keys, values (B, heads, N, d)."""
        q, k, v = (split(part, self.heads) for part in self.project(x).chunk(3, -1))
        return (q, k, v) if self.rotary is None else (self.rotary(q, positions), self.rotary(k, positions), v)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """q, k, v (B, heads, N, d) -> (B, N, D)."""
        y: Tensor = self.out(merge(scaled_dot_product(q, k, v, mask, causal)))
        return y


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network."""

    def __init__(self, config: LayerConfig, rotary: Rotary | None) -> None:
        super().__init__()
        self.own = SelfAttention(config, rotary)
        self.feed = FeedForward(config.size, config.feedforward, config.dropout, config.activation)
        self.around_own, self.around_feed = Sublayer(config), Sublayer(config)

    def forward(self, x: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        """x (B, S, D), mask (B, 1, S, S), positions (S,) -> (B, S, D)."""
        x = self.around_own.combine(x, self.own.attend(*self.own.qkv(self.around_own.prepare(x), positions), mask))
        return self.around_feed.combine(x, self.feed(self.around_feed.prepare(x)))


class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention and a feed-forward network."""

    def __init__(self, config: LayerConfig, rotary: Rotary | None, cross: MultiHeadAttention) -> None:
        super().__init__()
        self.own = SelfAttention(config, rotary)
        self.feed = FeedForward(config.size, config.feedforward, config.dropout, config.activation)
        self.cross = cross
        self.around_own, self.around_cross, self.around_feed = Sublayer(config), Sublayer(config), Sublayer(config)

    def after_self_attention(
        self, x: Tensor, cached: Cached, mask: Tensor, step: Tensor, attention: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Cross-attention and the feed-forward network.

        x (N, T, D), cached and mask of B sentences, step (B, N // B * T) -> (N, T, D), weights (B, heads, N // B * T,
        S) or None."""
        query = self.around_cross.prepare(x)
        # the W rows of a sentence take the place of time, so that its memory is read once and never repeated
        y, weights = self.cross.attend(query.reshape(mask.size(0), -1, x.size(-1)), cached, mask, step, attention)
        x = self.around_cross.combine(x, y.reshape(x.shape))
        return self.around_feed.combine(x, self.feed(self.around_feed.prepare(x))), weights


class TransformerEncoder(nn.Module):
    """The encoder of Vaswani et al. 2017, section 3.1."""

    def __init__(
        self, embedding: nn.Embedding, positions: PositionalEncoding, layers: int, config: LayerConfig
    ) -> None:
        super().__init__()
        self.embedding, self.positions, self.size = embedding, positions, config.size
        self.layers = nn.ModuleList(EncoderLayer(config, positions.rotary) for _ in range(layers))
        self.norm = config.norm(config.size) if config.pre_norm else nn.Identity()
        self.dropout = Dropout(config.dropout)

    def forward(self, source: Tensor, mask: Tensor) -> EncoderOutput:
        """source (B, S) ids, mask (B, S) -> states (B, S, D), and their mean as the summary."""
        positions = torch.arange(source.size(1), device=source.device)
        x = self.dropout(self.positions(self.embedding(source), positions))
        allowed = mask[:, None, None, :].expand(-1, 1, source.size(1), -1)
        for layer in self.layers:
            x = layer(x, allowed, positions)
        x = self.norm(x)
        mean = (x * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        return EncoderOutput(x, mean, x.new_zeros(x.size(0), 0, x.size(-1)))


class TransformerDecoder(nn.Module):
    """The decoder of Vaswani et al. 2017, section 3.1.

    With its key-value caches, `step` computes one token and not the prefix."""

    layers: Sequence[DecoderLayer]

    def __init__(
        self,
        embedding: nn.Embedding,
        positions: PositionalEncoding,
        layers: int,
        config: LayerConfig,
        make_cross: Callable[[], MultiHeadAttention],
    ) -> None:
        super().__init__()
        self.embedding, self.positions, self.heads = embedding, positions, config.heads
        self.layers = nn.ModuleList(  # type: ignore[assignment]
            DecoderLayer(config, positions.rotary, make_cross()) for _ in range(layers)
        )
        self.norm = config.norm(config.size) if config.pre_norm else nn.Identity()
        self.dropout = Dropout(config.dropout)

    def cache(self, encoded: EncoderOutput, source: Tensor, mask: Tensor) -> Cached:
        """The keys and values of every layer's cross-attention: keys0, values0, keys1, ..."""
        return {
            f"{name}{i}": value
            for i, layer in enumerate(self.layers)
            for name, value in layer.cross.cache(encoded.states).items()
        }

    def start(self, memory: Memory, capacity: int | None = None) -> State:
        """As interface.Model. Caches are (B, heads, 0, d) to grow, or (B, heads, capacity, 1, d) if preallocated."""
        return kv_cache.empty(memory, len(self.layers), self.heads, capacity)

    def select(self, rows: Tensor, state: State) -> State:
        """As interface.Model."""
        return kv_cache.select(rows, state)

    def embed(self, token: Tensor, positions: Tensor) -> Tensor:
        """Ids (N, T), those beyond the vocabulary read as UNK, at positions (T,) -> (N, T, D)."""
        token = token.where(token < self.embedding.num_embeddings, UNK)
        embedded: Tensor = self.dropout(self.positions(self.embedding(token), positions))
        return embedded

    def layer_cache(self, memory: Memory, layer: int) -> Cached:
        """The entries of memory.cached of one layer, without its number in their names."""
        suffix = str(layer)
        return {
            name.removesuffix(suffix): value
            for name, value in memory.cached.items()
            if name.rstrip("0123456789") + suffix == name
        }

    def decode(self, target_in: Tensor, memory: Memory, attention: bool = False) -> Output:
        """As interface.Model."""
        positions = torch.arange(target_in.size(1), device=target_in.device)
        steps = positions.expand(target_in.size(0), -1)  # (B, T)
        x, maps = self.embed(target_in, positions), []
        for i, layer in enumerate(self.layers):
            q, k, v = layer.own.qkv(layer.around_own.prepare(x), positions)
            x = layer.around_own.combine(x, layer.own.attend(q, k, v, causal=True))
            x, weights = layer.after_self_attention(x, self.layer_cache(memory, i), memory.mask, steps, attention)
            maps.append(weights)
        if not attention:
            return Output(self.norm(x))
        stacked = torch.stack([m for m in maps if m is not None], 1)  # (B, layers, heads, T, S)
        return Output(self.norm(x), stacked[:, -1].mean(1), stacked)

    def step(self, token: Tensor, state: State, memory: Memory, attention: bool = False) -> tuple[Output, State]:
        """As interface.Model."""
        number = state["number"]  # (N,) of the step, the same in all rows
        position, steps = number[:1], number.view(memory.mask.size(0), -1)  # (1,), (B, W)
        x, maps = self.embed(token.unsqueeze(1), position), []
        cache = kv_cache.cache_of(state)
        for i, layer in enumerate(self.layers):
            q, k, v = layer.own.qkv(layer.around_own.prepare(x), position)
            y = cache.attend(i, layer.own, q, k, v)
            x = layer.around_own.combine(x, y.reshape(x.shape))
            x, weights = layer.after_self_attention(x, self.layer_cache(memory, i), memory.mask, steps, attention)
            maps.append(weights)
        features, next_state = self.norm(x).squeeze(1), cache.next_state | {"number": number + 1}
        if not attention:
            return Output(features), next_state
        layers = [m for m in maps if m is not None]  # (B, heads, W, S) each
        stacked = torch.stack([m.transpose(1, 2).flatten(0, 1) for m in layers], 1)  # (N, layers, heads, S)
        return Output(features, layers[-1].mean(1).flatten(0, 1), stacked), next_state
