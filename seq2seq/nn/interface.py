"""The interface between models, heads and their users: training, search and export.

Shapes in this package: B sentences, W hypotheses of each, N = B * W rows (row n belongs to sentence n // W), T target
steps, S source positions, Q query size, K key size, M memory size, H feature size, V target vocabulary.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from torch import Tensor
from torch.nn import Parameter

from seq2seq.ids import PAD
from seq2seq.runtime.interface import LOGIT_MASK as LOGIT_MASK
from seq2seq.runtime.interface import OUTPUT_ROWS as OUTPUT_ROWS

Cached = dict[str, Tensor]  # everything that depends on the source alone, such as projected keys and values
State = dict[str, Tensor]  # the decoder's state between steps; the first dimension of every value is N, or B

# Optional entries of Memory.cached: LOGIT_MASK, and in exported graphs OUTPUT_ROWS, with which `Memory.select` must not
# be used, as they belong to no sentence.


class EncoderOutput(NamedTuple):
    """The output of an encoder."""

    states: Tensor  # (B, S, M)
    summary: Tensor  # (B, M)
    ends: Tensor  # (B, layers, M) the final hidden state of each recurrent layer; (B, 0, M) if there is none
    cells: Tensor | None = None  # (B, layers, M) the final cell state of each LSTM layer, if the bridge reads it


class Memory(NamedTuple):
    """What the decoder reads of the source: computed once per sentence, never repeated for its hypotheses."""

    tokens: Tensor  # (B, S) the id that copying a position yields: of the target vocabulary, V + k for unknown word k
    states: Tensor  # (B, S, M)
    mask: Tensor  # (B, S) bool, True on what the model reads, False on padding
    summary: Tensor  # (B, M)
    cached: Cached  # (B, ...) each

    @property
    def lengths(self) -> Tensor:
        """(B,) the positions of each source, padding left out; also those that the model does not read."""
        return (self.tokens != PAD).sum(1)

    def select(self, sentences: Tensor) -> "Memory":
        """Keep the sentences (B')."""
        tokens, states, mask, summary = (part.index_select(0, sentences) for part in self[:4])
        cached = {name: value.index_select(0, sentences) for name, value in self.cached.items()}
        return Memory(tokens, states, mask, summary, cached)


class Output(NamedTuple):
    """The decoder's output: (B, T, ...) from `decode`, (N, ...) from `step`; attention if requested or read by the
    head."""

    features: Tensor  # (..., H) the input of the head
    weights: Tensor | None = None  # (..., S) attention over the source: of the last layer, averaged over its heads
    maps: Tensor | None = None  # attention of every head: decode (B, layers, heads, T, S), step (N, layers, heads, S)
    parts: Tensor | None = None  # (..., M + Q + E) context, state and input embedding, for a head that reads them


class Loss(NamedTuple):
    """Scalar sums over the target tokens that are not padding."""

    total: Tensor  # label-smoothed cross-entropy, differentiable
    nll: Tensor  # negative log-likelihood in nats, detached


class Head(Protocol):
    """Maps decoder features to probabilities of the next token."""

    @property
    def reads_weights(self) -> bool:
        """Whether it needs `Output.weights`."""
        ...

    @property
    def reads_parts(self) -> bool:
        """Whether it needs `Output.parts`."""
        ...

    def log_probs(self, output: Output, memory: Memory, rows: Tensor | None = None) -> Tensor:
        """Log-probabilities (..., V), or (..., V + S) from a head that copies. The caller may overwrite the result.

        `rows` (R,) gives the sentence of each of R flat rows of `output`; without it, row n belongs to sentence n //
        W."""
        ...

    def loss(self, output: Output, memory: Memory, target_out: Tensor, smoothing: float = 0.0) -> Loss:
        """Cross-entropy of `target_out` (B, T), PAD excluded, given the `output` of `decode`."""
        ...


class Searchable(Protocol):
    """What a search needs of a model: steps over the hypotheses of B sentences, and probabilities."""

    @property
    def head(self) -> Head:
        """The output layer."""
        ...

    @property
    def max_target(self) -> int | None:
        """The most target steps; None means no limit."""
        ...

    def start(self, memory: Memory, capacity: int | None = None) -> State:
        """The state before the first token, B rows.

        capacity=None: caches grow by concatenation, and `step` is a pure function of its arguments. An integer: caches
        for this many steps are allocated once and written in place; a state must not be used again after it was given
        to `step`."""
        ...

    def step(self, token: Tensor, state: State, memory: Memory, attention: bool = False) -> tuple[Output, State]:
        """One step for N = B * W rows; token (N,), ids >= V are read as UNK. attention: return weights and maps too."""
        ...

    def select(self, rows: Tensor, state: State) -> State:
        """Keep, repeat or reorder hypotheses. `rows` holds indices into N.

        A list (N',), or (B', W') in which each row stays within one sentence. If B' is still B, row b must be of
        sentence b: preallocated caches are then not moved. The given state must not be used again."""
        ...


class Model(Searchable, Protocol):
    """An attention encoder-decoder. Every model guarantees that `decode` equals repeated `step`."""

    @property
    def max_source(self) -> int | None:
        """The longest source in tokens, EOS included; None means no limit."""
        ...

    def parameters(self) -> Iterator[Parameter]:
        """As of torch.nn.Module; callers read the device from them."""
        ...

    def encode(self, source: Tensor, copy: Tensor | None = None) -> Memory:
        """source (B, S): ids, EOS, then PAD. copy (B, S): the target ids of its tokens; None: the same ids."""
        ...

    def restrict_vocabulary(self, ids: Tensor) -> "Model":
        """A model with the target ids `ids` (V',) only, renumbered 0 .. V' - 1; ids of copied words start at V'."""
        ...

    def decode(self, target_in: Tensor, memory: Memory, attention: bool = False) -> Output:
        """All steps of a known target (teacher forcing): target_in (B, T). attention: also return weights and maps."""
        ...

    def __call__(
        self, source: Tensor, target_in: Tensor, copy: Tensor | None = None, attention: bool = False
    ) -> Output:
        """decode(target_in, encode(source, copy), attention)."""
        ...
