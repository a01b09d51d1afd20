"""The interface between the batched searches and the models that they decode with: NumPy arrays in, NumPy arrays out.

Shapes in this package: B sentences, W hypotheses of each, S source positions, V ids of the target vocabulary, V' of
them that are candidates. The *output* of a model are the probabilities of V ids, or of the V' candidates, numbered 0 ..
V' - 1, then of S more if it copies: V + k, or V' + k, is the k-th unknown word of the source.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

# What an exported model may have besides its states, named as in the model that it was exported from
LOGIT_MASK = "logit_mask"  # (B, V'), added to the logits: -inf on ids that a sentence may not use, else 0
# (V', H) and (V') rows of the output layer, in int8 with more of the same prefix; they belong to no sentence
OUTPUT_PREFIX = "output_"
OUTPUT_ROWS = (f"{OUTPUT_PREFIX}weight", f"{OUTPUT_PREFIX}bias")

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]


class Step(NamedTuple):
    """What may come next after each hypothesis. The model may overwrite these arrays at the next step."""

    # (B, W, K) the likeliest ids, best first, ties by the lower id; K is `count`, or the size of the output if that is
    # less; -inf, with any id of the output, where fewer are allowed
    scores: Floats  # log-probabilities
    ids: Ints  # in the numbering of the output, int64
    log_probs: Floats | None = None  # (B, W, size of the output), if asked for: of all ids, -inf at forbidden ones
    weights: Floats | None = None  # (B, W, S) attention, if asked for and if the model has any


class Decoding(Protocol):
    """The hypotheses of B sentences in a model; it holds their states and caches from step to step."""

    def step(
        self,
        tokens: Ints,
        parents: Ints,
        forbidden: Ints,
        count: int,
        log_probs: bool = False,
        attention: bool = False,
    ) -> Step:
        """Feed one token to each hypothesis.

        tokens (B, W): the last token of each, in ids of the whole vocabulary; BOS at first; ids >= V are read as UNK
        parents (B, W): which hypothesis of the step before it continues, from 0; zeros at first
        forbidden (B, W, F): ids in the numbering of the output that may not come now: their log-probability is -inf,
            and that of the others is unchanged. Rows are padded with PAD, which never may.
        count: the number of next ids, K; a beam of W needs the best 2 W of each hypothesis

        W is 1 at first and may change from step to step."""
        ...

    def select(self, sentences: Ints) -> None:
        """Keep the sentences (B',), in ascending order; the parents of the next step refer to them."""
        ...


class ExportedModel(Protocol):
    """A model that needs no torch, or one member of an ensemble."""

    @property
    def vocabulary(self) -> int:
        """V."""
        ...

    @property
    def copies(self) -> bool:
        """Whether it copies source words: its output has S more ids."""
        ...

    @property
    def source_end(self) -> bool:
        """Whether it reads the EOS of a source; otherwise it masks it like padding."""
        ...

    @property
    def max_source(self) -> int | None:
        """The longest source in tokens, EOS included; None means no limit."""
        ...

    @property
    def max_target(self) -> int | None:
        """The most target steps; None means no limit."""
        ...

    def encode(
        self,
        source: Ints,
        copy: Ints | None = None,
        candidates: Ints | None = None,
        logit_mask: Floats | None = None,
    ) -> Decoding:
        """Encode B sentences, for a search.

        source (B, S): ids, EOS, then PAD
        copy (B, S): what copying each position yields, in the numbering of the output; None if the model copies none
        candidates (V',): ids of the vocabulary to which the output is restricted, in ascending order, with PAD, UNK,
            BOS and EOS; None: all
        logit_mask (B, V') float32: added to the logits, -inf at the candidates that a sentence may not use, else 0"""
        ...
