"""What does a model promise to training, search and export?

Shapes in this package: B sentences, W hypotheses of each, N = B * W rows (row n belongs to sentence n // W), T target
steps, S source positions, Q query size, K key size, M memory size, H feature size, V target vocabulary.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from torch import Tensor
from torch.nn import Parameter

BARRED = (
    "barred"  # in Memory.cached: (B, V) -inf on the ids that a sentence may not use, 0 on others; absent: all may come
)
State = dict[str, Tensor]  # what one step hands to the next; every value has its N rows first, or their B sentences


class EncoderOutput(NamedTuple):
    """What an encoder makes of the source."""

    states: Tensor  # (B, S, M)
    summary: Tensor  # (B, M)
    ends: Tensor  # (B, layers, M) the last hidden state of each recurrent layer; (B, 0, M) where there is none
    cells: Tensor | None = None  # (B, layers, M) likewise of an LSTM's cell, if it is asked for


class Memory(NamedTuple):
    """What the decoder sees of the source: computed once per sentence, never repeated for hypotheses."""

    tokens: (
        Tensor  # (B, S) what copying a position yields: ids of the target vocabulary, V + k for the k-th unknown word
    )
    states: Tensor  # (B, S, M)
    mask: Tensor  # (B, S) bool, True on tokens
    summary: Tensor  # (B, M)
    cached: dict[str, Tensor]  # (B, ...) all that depends on the source alone: projected keys and values

    def select(self, rows: Tensor) -> "Memory":
        """Keep the sentences `rows` (B',)."""
        tokens, states, mask, summary = (part.index_select(0, rows) for part in self[:4])
        return Memory(
            tokens, states, mask, summary, {name: value.index_select(0, rows) for name, value in self.cached.items()}
        )


class Output(NamedTuple):
    """What the decoder says: (B, T, ...) from decode, (N, ...) from step. Attention only if asked for, or needed."""

    features: Tensor  # (..., H) what the head reads
    weights: Tensor | None = None  # (..., S) attention over the source: the last layer's, averaged over its heads
    maps: Tensor | None = None  # decode (B, layers, heads, T, S), step (N, layers, heads, S): every single map
    parts: Tensor | None = None  # (..., M + Q + E) context, state and input side by side, for a head that reads them


class Loss(NamedTuple):
    """Sums over the target tokens that are not padding; scalars."""

    total: Tensor  # label-smoothed, to be differentiated
    nll: Tensor  # negative log-likelihood in nats, for the eye


class Head(Protocol):
    """From features to probabilities."""

    @property
    def reads_weights(self) -> bool:
        """Whether it needs the attention weights."""
        ...

    @property
    def reads_parts(self) -> bool:
        """Whether it needs context, state and input."""
        ...

    def log_probs(self, output: Output, memory: Memory, rows: Tensor | None = None) -> Tensor:
        """Log-probabilities (..., V), or (..., V + S) of a head that copies.

        It is the caller's, who may overwrite it. `rows` (R,) are the sentences that R flat rows of `output` belong to; without
        it row n is of n // W."""
        ...

    def loss(self, output: Output, memory: Memory, target_out: Tensor, smoothing: float = 0.0) -> Loss:
        """Cross-entropy of `target_out` (B, T) under `output` of decode, PAD left out."""
        ...


class Model(Protocol):
    """An attention encoder-decoder. Law: `decode` equals repeated `step`."""

    @property
    def head(self) -> Head: ...

    @property
    def max_source(self) -> int | None:
        """Longest source in tokens, EOS included; None knows no limit."""
        ...

    @property
    def max_target(self) -> int | None:
        """Most target steps; None knows no limit."""
        ...

    def parameters(self) -> Iterator[Parameter]:
        """torch.nn.Module's: they tell the device."""
        ...

    def encode(self, source: Tensor, copy: Tensor | None = None) -> Memory:
        """source (B, S) ids, EOS at the end, PAD behind; copy (B, S) target ids of its tokens, None: the same ids."""
        ...

    def start(self, memory: Memory, capacity: int | None = None) -> State:
        """The state before the first token, B rows. None: caches grow by concatenation, a pure function; a number of
        steps: caches are allocated once and written in place, and the state given to `step` is then spent."""
        ...

    def step(self, token: Tensor, state: State, memory: Memory, attention: bool = False) -> tuple[Output, State]:
        """One step for N = B * W rows: token (N,), ids >= V are read as UNK. `attention` asks for weights and maps."""
        ...

    def select(self, rows: Tensor, state: State) -> State:
        """Keep, repeat or reorder hypotheses: rows are indices into N, as a list (N',), or (B', W') where row b is of one
        sentence, and of the b-th, as before, if there are still as many: caches with room then stay where they are. The
        state given may be spent."""
        ...

    def reduced(self, ids: Tensor) -> "Model":
        """The same with these target ids (V',) alone, which become 0 .. V' - 1; ids that stand for copies begin at V'."""
        ...

    def decode(self, target_in: Tensor, memory: Memory, attention: bool = False) -> Output:
        """Every step at once, the target being known: target_in (B, T)."""
        ...

    def __call__(
        self, source: Tensor, target_in: Tensor, copy: Tensor | None = None, attention: bool = False
    ) -> Output:
        """decode(target_in, encode(source, copy))."""
        ...
