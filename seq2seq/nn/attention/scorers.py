"""How well does each source position match a query? One class per formula, one row per class in SCORERS.

q is the query, h a memory vector. Leading dimensions written ... may be (B,) or (B, heads); T may be one step, all
steps, or the W hypotheses of a sentence.
"""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from seq2seq.errors import ConfigError
from seq2seq.nn.ops.additive import additive_scores
from seq2seq.nn.ops.linear import Linear
from seq2seq.nn.ops.scan import Plain

Cached = dict[str, Tensor]  # all that depends on the source alone; every scorer has "keys" (..., S, K)


class Sizes(NamedTuple):
    """The sizes that a scorer is built from."""

    query: int
    memory: int
    hidden: int = 256
    max_source: int = 512


class Covered(NamedTuple):
    """How much was attended before, as if each key were moved by it: k + amount * direction."""

    amount: Tensor  # (..., T, S)
    direction: Tensor  # (K,)


class Scorer(nn.Module):
    """score(q, h) for all pairs: `cache` runs once per source, `forward` at every step."""

    uses: ClassVar[frozenset[str]] = frozenset()  # of the settings hidden, max_length, coverage: those it reads
    reads: ClassVar[frozenset[str]] = frozenset(
        {"query", "keys"}
    )  # what the score depends on: nothing else needs to be projected
    alike: ClassVar[bool] = False  # whether it compares query and memory as they are, which then need one size

    def __init__(self, sizes: Sizes, key_size: int | None = None) -> None:
        """key_size: project the memory to this size; None takes the memory as it is, to be compared with the query directly.

        Raises ConfigError for sizes between which there is no such comparison."""
        super().__init__()
        if self.alike and sizes.query != sizes.memory:
            raise ConfigError(
                f"this model.attention.scorer compares the decoder's state with the encoder's directly and needs them of one size, "
                f"not {sizes.query} and {sizes.memory}; general and additive take any sizes"
            )
        self.key_size = key_size or sizes.memory
        self.keys: nn.Module = Linear(sizes.memory, key_size, bias=False) if key_size else nn.Identity()

    def cache(self, states: Tensor) -> Cached:
        """(..., S, M) -> what `forward` reads."""
        return {"keys": self.keys(states)}

    def forward(self, query: Tensor, cached: Cached, covered: Covered | None = None) -> Tensor:
        """(..., T, Q) -> (..., T, S)."""
        raise NotImplementedError


class Product(Scorer):
    """Base of the scores that are an inner product of something of q with something of h: fused kernels take them."""

    uses = frozenset({"coverage"})

    def queries(self, query: Tensor) -> Tensor:
        """(..., T, Q) -> (..., T, K), so that the score is queries(q) . key."""
        return query

    def forward(self, query: Tensor, cached: Cached, covered: Covered | None = None, by: Plain | None = None) -> Tensor:
        """`by`: how to multiply, in a loop over time."""
        query = self.queries(query)
        scores = (by or Plain()).linear(query, cached["keys"])
        return scores if covered is None else scores + covered.amount * (query @ covered.direction).unsqueeze(-1)


class Dot(Product):
    """q . h  (Luong et al. 2015, section 3.1, dot)."""

    alike = True


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
    """-|q - h|^2 / sqrt(Q), as (2 q . h - |h|^2 - |q|^2) / sqrt(Q)  (a Gaussian kernel under the softmax: Tsai et al. 2019, eq. 7)."""

    alike = True

    def cache(self, states: Tensor) -> Cached:
        return {"keys": states, "squares": states.square().sum(-1)}

    def forward(self, query: Tensor, cached: Cached, covered: Covered | None = None) -> Tensor:
        products = query @ cached["keys"].transpose(-2, -1)
        distance = cached["squares"].unsqueeze(-2) - 2 * products + query.square().sum(-1, keepdim=True)
        return -distance * query.size(-1) ** -0.5


class Additive(Scorer):
    """v . tanh(W q + U h + b)  (Bahdanau et al. 2015, section A.1.2)."""

    uses = frozenset({"hidden", "coverage"})

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes, key_size=sizes.hidden)
        self.query = Linear(sizes.query, sizes.hidden)
        self.energy = Linear(sizes.hidden, 1, bias=False)

    def forward(self, query: Tensor, cached: Cached, covered: Covered | None = None) -> Tensor:
        # covered: See et al. 2017, eq. 11
        return additive_scores(self.query(query), cached["keys"], self.vector(), *(covered or (None, None)))

    def vector(self) -> Tensor:
        """v (K)."""
        return self.energy.weight[0]


class NormedAdditive(Additive):
    """g v / |v| . tanh(W q + U h + b), g learned  (normed_bahdanau of tf/nmt: Luong et al. 2017; Salimans & Kingma 2016, eq. 2)."""

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
    """W q, one score per source position, whatever stands there  (Luong et al. 2015, eq. 8)."""

    uses, reads = frozenset({"max_length"}), frozenset({"query"})

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        self.position = Linear(sizes.query, sizes.max_source, bias=False)

    def forward(self, query: Tensor, cached: Cached, covered: Covered | None = None) -> Tensor:
        return self.position(query)[..., : cached["keys"].size(-2)]


class Uniform(Scorer):
    """0: every position alike; mean pooling over the window  (the fixed context of Cho et al. 2014 with window=last)."""

    reads = frozenset()

    def forward(self, query: Tensor, cached: Cached, covered: Covered | None = None) -> Tensor:
        zero = (
            query[..., :1] * 0
        )  # of the query, so that all before it has a gradient: data-parallel training waits for every one
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
