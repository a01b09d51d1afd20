"""Attention scores of a query against each source position: one class per formula, registered in `SCORERS`.

q is a query vector of size Q, h a memory vector of size M, K the size of keys. Leading dimensions written ... are (B,)
or (B, heads); T is one step, all steps, or the W hypotheses of a sentence; S are source positions.
"""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from seq2seq.errors import ConfigError
from seq2seq.nn.interface import Cached
from seq2seq.nn.ops.additive import additive_scores
from seq2seq.nn.ops.linear import Linear, linear


class Sizes(NamedTuple):
    """The sizes that a scorer is built from."""

    query: int  # Q
    memory: int  # M
    hidden: int = 256  # K of the additive scores
    max_source: int = 512  # longest source of the location score


class Coverage(NamedTuple):
    """Earlier attention to each position; it moves each key: k + amount * direction  (See et al. 2017, eq. 11)."""

    amount: Tensor  # (..., T, S)
    direction: Tensor  # (K,)


class Scorer(nn.Module):
    """score(q, h) for all pairs: `cache` runs once per source, `forward` at every step."""

    uses: ClassVar[frozenset[str]] = frozenset()  # which of the settings hidden, max_length and coverage it reads
    # what the score depends on; the rest is not projected
    reads: ClassVar[frozenset[str]] = frozenset({"query", "keys"})
    equal_sizes: ClassVar[bool] = False  # whether it compares query and memory directly, which then have one size

    def __init__(self, sizes: Sizes, key_size: int | None = None) -> None:
        """key_size: the memory is projected to this size; None compares it with the query as it is.

        Raises ConfigError for sizes between which there is no such comparison."""
        super().__init__()
        if self.equal_sizes and sizes.query != sizes.memory:
            raise ConfigError(
                f"model.attention.scorer: {type(self).__name__} compares the states of decoder and encoder directly "
                f"and needs them of one size, not {sizes.query} and {sizes.memory}; general and additive take any sizes"
            )
        self.sizes, self.key_size = sizes, key_size or sizes.memory
        self.keys: nn.Module = Linear(sizes.memory, key_size, bias=False) if key_size else nn.Identity()

    def cache(self, states: Tensor) -> Cached:
        """States (..., S, M) -> what `forward` reads of them; every scorer has "keys" (..., S, K)."""
        return {"keys": self.keys(states)}

    def forward(self, query: Tensor, cached: Cached, covered: Coverage | None = None) -> Tensor:
        """Query (..., T, Q) -> scores (..., T, S)."""
        raise NotImplementedError


class Product(Scorer):
    """Base of the scores that are an inner product, queries(q) . key: fused kernels take them."""

    uses = frozenset({"coverage"})

    def queries(self, query: Tensor) -> Tensor:
        """(..., T, Q) -> (..., T, K)."""
        return query

    def forward(self, query: Tensor, cached: Cached, covered: Coverage | None = None) -> Tensor:
        query = self.queries(query)
        scores = linear(query, cached["keys"])
        if covered is None:
            return scores
        return scores + covered.amount * (query @ covered.direction).unsqueeze(-1)


class Dot(Product):
    """q . h  (Luong et al. 2015, section 3.1, dot)."""

    equal_sizes = True


class ScaledDot(Dot):
    """q . h / sqrt(Q)  (Vaswani et al. 2017, eq. 1)."""

    def queries(self, query: Tensor) -> Tensor:
        return query * query.size(-1) ** -0.5


class General(Product):
    """q . W h  (Luong et al. 2015, section 3.1, general)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes, key_size=sizes.query)


class ScaledGeneral(General):
    """g q . W h, g learned  (scaled_luong of tf/nmt: Luong et al. 2017)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        self.gain = nn.Parameter(torch.tensor(1.0))

    def queries(self, query: Tensor) -> Tensor:
        return self.gain * query


class Cosine(Dot):
    """g q . h / (|q| |h|), g learned  (Graves et al. 2014, eq. 5-6)."""

    uses = frozenset()

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        self.gain = nn.Parameter(torch.tensor(10.0))

    def cache(self, states: Tensor) -> Cached:
        return {"keys": normalize(states, dim=-1)}

    def queries(self, query: Tensor) -> Tensor:
        return self.gain * normalize(query, dim=-1)


class Euclidean(Scorer):
    """-|q - h|^2 / sqrt(Q)  (a Gaussian kernel under the softmax: Tsai et al. 2019, eq. 7).

    Computed as (2 q . h - |h|^2 - |q|^2) / sqrt(Q), with |h|^2 cached."""

    equal_sizes = True

    def cache(self, states: Tensor) -> Cached:
        return {"keys": states, "squares": states.square().sum(-1)}

    def forward(self, query: Tensor, cached: Cached, covered: Coverage | None = None) -> Tensor:
        products = linear(query, cached["keys"])
        distance = cached["squares"].unsqueeze(-2) - 2 * products + query.square().sum(-1, keepdim=True)
        return -distance * query.size(-1) ** -0.5


class Additive(Scorer):
    """v . tanh(W q + U h + b)  (Bahdanau et al. 2015, section A.1.2)."""

    uses = frozenset({"hidden", "coverage"})

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes, key_size=sizes.hidden)
        self.query = Linear(sizes.query, sizes.hidden)
        self.energy = Linear(sizes.hidden, 1, bias=False)

    def forward(self, query: Tensor, cached: Cached, covered: Coverage | None = None) -> Tensor:
        amount, direction = (None, None) if covered is None else covered
        return additive_scores(self.query(query), cached["keys"], self.vector(), amount, direction)

    def vector(self) -> Tensor:
        """v (K)."""
        return self.energy.weight[0]


class NormedAdditive(Additive):
    """g v / |v| . tanh(W q + U h + b), g learned  (normed_bahdanau of tf/nmt: Luong et al. 2017; Salimans & Kingma
    2016, eq. 2)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        self.gain = nn.Parameter(torch.tensor(sizes.hidden**-0.5))

    def vector(self) -> Tensor:
        return self.gain * normalize(super().vector(), dim=-1)


class Concat(Additive):
    """v . tanh(W [q; h])  (Luong et al. 2015, section 3.1, concat)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        self.query = Linear(sizes.query, sizes.hidden, bias=False)


class ConcatIdentity(Additive):
    """v . tanh(W q + h)  (what Luong et al. 2015 ran as concat: a footnote to their section 5.3)."""

    uses = frozenset({"coverage"})

    def __init__(self, sizes: Sizes) -> None:
        Scorer.__init__(self, sizes)
        self.query = Linear(sizes.query, sizes.memory, bias=False)
        self.energy = Linear(sizes.memory, 1, bias=False)


class Location(Scorer):
    """W q, one score per source position, regardless of its content  (Luong et al. 2015, eq. 8)."""

    uses, reads = frozenset({"max_length"}), frozenset({"query"})

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        self.position = Linear(sizes.query, sizes.max_source, bias=False)

    def forward(self, query: Tensor, cached: Cached, covered: Coverage | None = None) -> Tensor:
        return self.position(query)[..., : cached["keys"].size(-2)]


class Uniform(Scorer):
    """0: equal scores, mean pooling over the window  (the fixed context of Cho et al. 2014 with window=last)."""

    reads = frozenset()

    def forward(self, query: Tensor, cached: Cached, covered: Coverage | None = None) -> Tensor:
        # made from the query, so that all before it has a gradient: data-parallel training waits for every one
        zero = query[..., :1] * 0
        return zero.expand(*query.shape[:-1], cached["keys"].size(-2))


SCORERS: dict[str, type[Scorer]] = {
    "dot": Dot,
    "scaled_dot": ScaledDot,
    "general": General,
    "scaled_general": ScaledGeneral,
    "concat": Concat,
    "concat_identity": ConcatIdentity,
    "additive": Additive,
    "normed_additive": NormedAdditive,
    "location": Location,
    "cosine": Cosine,
    "euclidean": Euclidean,
    "uniform": Uniform,
}
