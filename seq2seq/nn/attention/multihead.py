"""How do several heads attend to the source at once? Each on its part of the states, with any scorer, window and normaliser."""

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from seq2seq.nn.attention.attention import Attended, fused_pays, weigh
from seq2seq.nn.attention.normalizers import Normalizer, softmax
from seq2seq.nn.attention.scorers import Cached, Product, Scorer
from seq2seq.nn.attention.windows import Window
from seq2seq.nn.ops.linear import Linear
from seq2seq.nn.ops.scan import Plain


def split(x: Tensor, heads: int) -> Tensor:
    """(B, N, D) -> (B, heads, N, D / heads)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge(x: Tensor) -> Tensor:
    """(B, heads, N, D / heads) -> (B, N, D)."""
    return x.transpose(1, 2).flatten(2)


class MultiHeadAttention(nn.Module):
    """Attention of a Transformer to the source  (Vaswani et al. 2017, section 3.2.2), or of a recurrent decoder  (Chen et al. 2018,
    section 4.1).

    Where the score is an inner product, the window has no gain and nobody asks for weights, a fused kernel serves."""

    direction = None  # of coverage, which several heads do not have

    def __init__(
        self, query: int, memory: int, heads: int, scorer: Scorer, window: Window, normalize: Normalizer
    ) -> None:
        """query, memory: their sizes; scorer: for memory / heads of both."""
        super().__init__()
        self.heads, self.scorer, self.window, self.normalize = heads, scorer, window, normalize
        self.value, self.out = Linear(memory, memory), Linear(memory, memory)
        self.query, self.key = (
            Linear(size, memory) if part in scorer.reads else nn.Identity()
            for part, size in (("query", query), ("keys", memory))
        )
        self.fused = isinstance(scorer, Product) and not window.gains and normalize is softmax

    def cache(self, states: Tensor) -> Cached:
        """(B, S, M) -> values (B, heads, S, d) and what the scorer keeps of the keys."""
        keys, values = (
            split(part(states), self.heads).contiguous() for part in (self.key, self.value)
        )  # once, not in every step
        return {"values": values, **self.scorer.cache(keys)}

    def forward(
        self,
        query: Tensor,
        states: Tensor,
        cached: Cached,
        mask: Tensor,
        step: Tensor,
        covered: Tensor | None = None,
        by: Plain | None = None,
    ) -> Attended:
        """As of Attention; the values are among `cached`."""
        by = by or Plain()
        mixed, maps = self.attend(query, cached, mask, step, True, by)
        assert maps is not None
        return Attended(mixed, maps.mean(1), maps.transpose(1, 2))

    def attend(
        self, x: Tensor, cached: Cached, mask: Tensor, step: Tensor, attention: bool, by: Plain | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, T, Q), mask (B, S), step (B, T) -> (B, T, M), weights (B, heads, T, S) if asked for."""
        by = by or Plain()
        query, view = split(by.project(x, self.query), self.heads), self.window(x, step, mask).of_heads()
        if self.fused and not attention and fused_pays(cached["keys"]):
            assert isinstance(self.scorer, Product)
            queries, shape = self.scorer.queries(query), (*query.shape[:-1], mask.size(1))
            allowed = view.allowed.expand(-1, -1, shape[-2], -1)
            mixed = scaled_dot_product_attention(
                queries, cached["keys"].to(queries.dtype), cached["values"], attn_mask=allowed, scale=1.0
            )
            return by.project(merge(mixed), self.out), None
        weights = weigh(self.scorer(query, cached), view, self.normalize)
        return by.project(merge(weights.to(x.dtype) @ cached["values"]), self.out), weights if attention else None
