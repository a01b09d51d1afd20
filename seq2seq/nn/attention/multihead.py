"""Multi-head attention to the source, each head on its part of the states, with any scorer, window and normalizer."""

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from seq2seq.nn.attention.attention import (
    AttentionOutput,
    Source,
    SourceMemory,
    attention_weights,
    check_shapes,
    remember,
    step_numbers,
)
from seq2seq.nn.attention.normalizers import Normalizer, softmax
from seq2seq.nn.attention.scorers import Product, Scorer
from seq2seq.nn.attention.windows import View, Window
from seq2seq.nn.interface import Cached
from seq2seq.nn.ops.devices import fused_attention_pays
from seq2seq.nn.ops.linear import Linear, mix


def split(x: Tensor, heads: int) -> Tensor:
    """(B, N, D) -> (B, heads, N, D / heads)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge(x: Tensor) -> Tensor:
    """(B, heads, N, D / heads) -> (B, N, D)."""
    return x.transpose(1, 2).flatten(2)


class MultiHeadAttention(nn.Module):
    """Attention of a Transformer to the source  (Vaswani et al. 2017, section 3.2.2), or of a recurrent decoder  (Chen
    et al. 2018, section 4.1).

    A fused kernel computes it where the score is an inner product, the normalizer softmax, the window has no gain, and
    no weights are requested."""

    direction = None  # of coverage, which several heads do not have

    def __init__(
        self,
        scorer: Scorer,
        window: Window,
        normalize: Normalizer = softmax,
        *,
        query_size: int,
        memory_size: int,
        heads: int,
    ) -> None:
        """scorer: for queries and memory of size M / heads. query_size: Q. memory_size: M."""
        super().__init__()
        self.heads, self.scorer, self.window, self.normalize = heads, scorer, window, normalize
        self.query_size, self.memory_size = query_size, memory_size
        self.value, self.out = Linear(memory_size, memory_size), Linear(memory_size, memory_size)
        self.query = Linear(query_size, memory_size) if "query" in scorer.reads else nn.Identity()
        self.key = Linear(memory_size, memory_size) if "keys" in scorer.reads else nn.Identity()
        self.fusible = isinstance(scorer, Product) and not window.gains and normalize is softmax

    def cache(self, states: Tensor) -> Cached:
        """(B, S, M) -> values (B, heads, S, d) and what the scorer keeps of the keys."""
        # contiguous here, once, and not in every step
        keys, values = (split(part(states), self.heads).contiguous() for part in (self.key, self.value))
        return {"values": values, **self.scorer.cache(keys)}

    def remember(self, states: Tensor, mask: Tensor | None = None) -> SourceMemory:
        """As `Attention.remember`."""
        return remember(self, states, mask, self.memory_size)

    def forward(
        self, query: Tensor, memory: Source, step: Tensor | None = None, covered: Tensor | None = None
    ) -> AttentionOutput:
        """As `Attention.forward`, of which `covered` is not read."""
        check_shapes(query, step, memory.mask, self.query_size)
        step = step_numbers(query) if step is None else step
        context, maps = self.attend(query, memory.cached, memory.mask, step, attention=True)
        assert maps is not None
        return AttentionOutput(context, maps.mean(1), maps.transpose(1, 2))

    def attend(
        self, x: Tensor, cached: Cached, mask: Tensor, step: Tensor, attention: bool
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, T, Q), mask (B, S), step (B, T) -> context (B, T, M), and weights (B, heads, T, S) if requested by
        `attention`."""
        query, view = split(self.query(x), self.heads), self.window(x, step, mask).per_head()
        if self.fusible and not attention and fused_attention_pays(cached["keys"]):
            return self.out(merge(self.fused(query, cached, view))), None
        weights = attention_weights(self.scorer(query, cached), view, self.normalize)
        context = self.out(merge(mix(weights.to(x.dtype), cached["values"])))
        return context, weights if attention else None

    def fused(self, query: Tensor, cached: Cached, view: View) -> Tensor:
        """Query (B, heads, T, d) -> context (B, heads, T, d) by torch's fused kernel."""
        assert isinstance(self.scorer, Product)
        queries, keys = self.scorer.queries(query), cached["keys"]
        allowed = view.allowed.expand(-1, -1, query.size(2), -1)
        return scaled_dot_product_attention(
            queries, keys.to(queries.dtype), cached["values"], attn_mask=allowed, scale=1.0
        )
