"""How does a Transformer read and write? Encoder, decoder with caches, any scorer and window on its cross-attention."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from seq2seq.ids import UNK
from seq2seq.nn import kv_cache
from seq2seq.nn.attention.attention import fused_pays, weigh
from seq2seq.nn.attention.multihead import MultiHeadAttention, merge, split
from seq2seq.nn.attention.normalizers import softmax
from seq2seq.nn.attention.scorers import Cached
from seq2seq.nn.attention.windows import View
from seq2seq.nn.interface import EncoderOutput, Memory, Output, State
from seq2seq.nn.layers import FeedForward, Positions, Rotary
from seq2seq.nn.ops.dropout import Dropout
from seq2seq.nn.ops.linear import Linear


class Design(NamedTuple):
    """What all layers of a Transformer share."""

    size: int  # of embeddings and layers
    heads: int
    feedforward: int
    dropout: float = 0.0
    pre_norm: bool = True
    norm: Callable[[int], nn.Module] = nn.LayerNorm  # size -> normalisation
    activation: tuple[int, Callable[[Tensor], Tensor]] = (1, nn.functional.relu)  # a row of ACTIVATIONS


class Sublayer(nn.Module):
    """x + dropout(f(norm(x)))  (Xiong et al. 2020, pre), or norm(x + dropout(f(x)))  (Vaswani et al. 2017, section 3.1, post)."""

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.norm, self.dropout, self.pre = design.norm(design.size), Dropout(design.dropout), design.pre_norm

    def before(self, x: Tensor) -> Tensor:
        """What f reads."""
        return self.norm(x) if self.pre else x

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """x and y = f(before(x)) -> the output."""
        x = x + self.dropout(y)
        return x if self.pre else self.norm(x)


def scaled_dot_product(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """softmax(q k / sqrt(d)) v of (B, heads, N, d)  (Vaswani et al. 2017, eq. 1)."""
    if fused_pays(k):
        return scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
    scores = (q * q.size(-1) ** -0.5) @ k.to(q.dtype).transpose(-2, -1)
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
    weights = scores.softmax(-1) if mask is None else weigh(scores, View(mask), softmax)
    return weights.to(v.dtype) @ v


class SelfAttention(nn.Module):
    """Scaled dot-product attention of a sequence to itself  (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, design: Design, rotary: Rotary | None) -> None:
        super().__init__()
        self.heads, self.rotary = design.heads, rotary
        self.project, self.out = Linear(design.size, 3 * design.size), Linear(design.size, design.size)

    def split(self, x: Tensor, number: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, N, D), positions (N,) -> queries, keys, values (B, heads, N, d)."""
        q, k, v = (split(part, self.heads) for part in self.project(x).chunk(3, -1))
        return (q, k, v) if self.rotary is None else (self.rotary(q, number), self.rotary(k, number), v)

    def mix(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """-> (B, N, D)."""
        mixed: Tensor = self.out(merge(scaled_dot_product(q, k, v, mask, causal)))
        return mixed


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network."""

    def __init__(self, design: Design, rotary: Rotary | None) -> None:
        super().__init__()
        self.own = SelfAttention(design, rotary)
        self.feed = FeedForward(design.size, design.feedforward, design.dropout, design.activation)
        self.around_own, self.around_feed = Sublayer(design), Sublayer(design)

    def forward(self, x: Tensor, mask: Tensor, number: Tensor) -> Tensor:
        """x (B, S, D), mask (B, 1, S, S), positions (S,)."""
        x = self.around_own.after(x, self.own.mix(*self.own.split(self.around_own.before(x), number), mask))
        return self.around_feed.after(x, self.feed(self.around_feed.before(x)))


class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention and a feed-forward network."""

    def __init__(self, design: Design, rotary: Rotary | None, cross: MultiHeadAttention) -> None:
        super().__init__()
        self.own = SelfAttention(design, rotary)
        self.feed = FeedForward(design.size, design.feedforward, design.dropout, design.activation)
        self.cross = cross
        self.around_own, self.around_cross, self.around_feed = Sublayer(design), Sublayer(design), Sublayer(design)

    def outward(
        self, x: Tensor, cached: Cached, mask: Tensor, step: Tensor, attention: bool
    ) -> tuple[Tensor, Tensor | None]:
        """What follows self-attention: x (N, T, D), cached and mask of B sentences, step (B, N // B * T)."""
        given = self.around_cross.before(x)
        # the W rows of a sentence take the place of time, so that its memory is read once and never repeated
        mixed, weights = self.cross.attend(given.reshape(mask.size(0), -1, x.size(-1)), cached, mask, step, attention)
        x = self.around_cross.after(x, mixed.reshape(x.shape))
        return self.around_feed.after(x, self.feed(self.around_feed.before(x))), weights


class TransformerEncoder(nn.Module):
    """Vaswani et al. 2017, section 3.1."""

    def __init__(self, embedding: nn.Embedding, positions: Positions, layers: int, design: Design) -> None:
        super().__init__()
        self.embedding, self.positions, self.size = embedding, positions, design.size
        self.layers = nn.ModuleList(EncoderLayer(design, positions.rotary) for _ in range(layers))
        self.norm = design.norm(design.size) if design.pre_norm else nn.Identity()
        self.dropout = Dropout(design.dropout)

    def forward(self, source: Tensor, mask: Tensor) -> EncoderOutput:
        """(B, S) ids, (B, S) mask -> states and their mean."""
        number = torch.arange(source.size(1), device=source.device)
        x = self.dropout(self.positions(self.embedding(source), number))
        seen = mask[:, None, None, :].expand(-1, 1, source.size(1), -1)
        for layer in self.layers:
            x = layer(x, seen, number)
        x = self.norm(x)
        mean = (x * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        return EncoderOutput(x, mean, x.new_zeros(x.size(0), 0, x.size(-1)))


class TransformerDecoder(nn.Module):
    """Vaswani et al. 2017, section 3.1; a step costs one token, not the prefix."""

    layers: Sequence[DecoderLayer]

    def __init__(
        self,
        embedding: nn.Embedding,
        positions: Positions,
        layers: int,
        design: Design,
        make_cross: Callable[[], MultiHeadAttention],
    ) -> None:
        super().__init__()
        self.embedding, self.positions, self.heads = embedding, positions, design.heads
        self.layers = nn.ModuleList(DecoderLayer(design, positions.rotary, make_cross()) for _ in range(layers))  # type: ignore[assignment]
        self.norm = design.norm(design.size) if design.pre_norm else nn.Identity()
        self.dropout = Dropout(design.dropout)

    def cache(self, encoded: EncoderOutput) -> Cached:
        """Every layer's cross keys and values: keys0, values0, ..."""
        return {
            f"{name}{i}": value
            for i, layer in enumerate(self.layers)
            for name, value in layer.cross.cache(encoded.states).items()
        }

    def start(self, memory: Memory, capacity: int | None = None) -> State:
        """Empty caches own_keys0, own_values0, ...: (B, heads, 0, d) to grow, (B, heads, capacity, 1, d) with room."""
        B, D = memory.mask.size(0), memory.states.size(-1)
        size = (0,) if capacity is None else (capacity, 1)
        state = {"number": torch.zeros(B, dtype=torch.long, device=memory.mask.device)}
        for name in (name for layer in range(len(self.layers)) for name in kv_cache.names(layer)):
            state[name] = memory.states.new_zeros(B, self.heads, *size, D // self.heads)
        return state if capacity is None else state | {kv_cache.SEEN: memory.mask.new_zeros(B, capacity, 1)}

    def select(self, rows: Tensor, state: State) -> State:
        """Reordering moves no key and no value of a cache with room."""
        return kv_cache.select(rows, state)

    def embed(self, token: Tensor, number: Tensor) -> Tensor:
        """Ids (N, T), those beyond the vocabulary read as UNK, at positions (T,) -> (N, T, D)."""
        token = token.where(token < self.embedding.num_embeddings, UNK)
        embedded: Tensor = self.dropout(self.positions(self.embedding(token), number))
        return embedded

    def cached(self, memory: Memory, layer: int) -> Cached:
        """The part of memory.cached that a layer reads, without its number."""
        end = str(layer)
        return {
            name.removesuffix(end): value
            for name, value in memory.cached.items()
            if name.rstrip("0123456789") + end == name
        }

    def decode(self, target_in: Tensor, memory: Memory, attention: bool = False) -> Output:
        number = torch.arange(target_in.size(1), device=target_in.device)
        x, maps = self.embed(target_in, number), []
        for i, layer in enumerate(self.layers):
            q, k, v = layer.own.split(layer.around_own.before(x), number)
            x = layer.around_own.after(x, layer.own.mix(q, k, v, causal=True))
            x, weights = layer.outward(x, self.cached(memory, i), memory.mask, number.expand(x.size(0), -1), attention)
            maps.append(weights)
        if not attention:
            return Output(self.norm(x))
        stacked = torch.stack([m for m in maps if m is not None], 1)  # (B, layers, heads, T, S)
        return Output(self.norm(x), stacked[:, -1].mean(1), stacked)

    def step(self, token: Tensor, state: State, memory: Memory, attention: bool = False) -> tuple[Output, State]:
        B, number = memory.mask.size(0), state["number"]
        x, maps = self.embed(token.unsqueeze(1), number[:1]), []
        before = kv_cache.Room(state) if kv_cache.SEEN in state else kv_cache.Growing(state)
        for i, layer in enumerate(self.layers):
            mixed = layer.own.mix(*before.add(i, *layer.own.split(layer.around_own.before(x), number[:1])))
            x = layer.around_own.after(x, mixed.reshape(x.shape))
            x, weights = layer.outward(x, self.cached(memory, i), memory.mask, number.view(B, -1), attention)
            maps.append(weights)
        features, after = self.norm(x).squeeze(1), before.after | {"number": number + 1}
        if not attention:
            return Output(features), after
        stacked = torch.stack([m for m in maps if m is not None], 1)  # (B, layers, heads, W, S)
        stacked = stacked.permute(0, 3, 1, 2, 4).flatten(0, 1)  # (N, layers, heads, S)
        return Output(features, stacked[:, -1].mean(1), stacked), after
