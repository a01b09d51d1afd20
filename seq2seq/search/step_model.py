"""A step function of one's own as a `Model` for `beam_search` and `sample`."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from seq2seq.nn.interface import Loss, Memory, Output, State

StepFunction = Callable[[Tensor, State], tuple[Tensor, State]]


class StepModel:
    """Searches see it as a model whose output is that of `step`:

        step(token (N,), state) -> log-probabilities (N, V), next state

    for N hypotheses, their rows first in every tensor of the state. `start` is the state of B sentences before the
    first token; the first token that `step` receives is BOS (2), and EOS (3) ends a hypothesis. PAD (0) and BOS are
    never chosen.

        model = StepModel(step, {"hidden": hidden})
        found = beam_search([model], [model.memory], beam=5, max_length=30)  # found[b][0].tokens

    Raises TypeError for a state that is no mapping, ValueError for one without tensors, or of several sizes."""

    max_source = None
    max_target = None

    def __init__(self, step: StepFunction, start: State) -> None:
        if not isinstance(start, Mapping):
            raise TypeError(
                f"the start state is a {type(start).__name__}, where a mapping of names to tensors is expected"
            )
        sizes = {len(value) for value in start.values()}
        if len(sizes) != 1:
            raise ValueError(f"the start state needs tensors of one number of rows, not of {sorted(sizes)}")
        self._step, self._start = step, start
        self.head = _LogProbs()
        rows, device = sizes.pop(), next(iter(start.values())).device
        nothing = torch.zeros(rows, 1, device=device)
        self.memory = Memory(
            nothing.long(), nothing.unsqueeze(2), torch.ones_like(nothing, dtype=torch.bool), nothing, {}
        )

    def start(self, memory: Memory, capacity: int | None = None) -> State:
        """The start state."""
        return self._start

    def step(self, token: Tensor, state: State, memory: Memory, attention: bool = False) -> tuple[Output, State]:
        """One step, without attention weights.

        Raises ValueError unless log-probabilities and state have a row for each token."""
        log_probs, state = self._step(token, state)
        if log_probs.dim() != 2 or len(log_probs) != len(token):
            raise ValueError(
                f"step returned log-probabilities of shape {tuple(log_probs.shape)} for {len(token)} tokens, "
                f"where ({len(token)}, vocabulary) is expected"
            )
        for name, value in state.items():
            if len(value) != len(token):
                raise ValueError(f"step returned {len(value)} rows of the state {name!r} for {len(token)} tokens")
        return Output(log_probs), state

    def select(self, rows: Tensor, state: State) -> State:
        """The states of the hypotheses `rows`."""
        return {name: value.index_select(0, rows.flatten()) for name, value in state.items()}


class _LogProbs:
    """The head of a model whose features are log-probabilities."""

    reads_weights = False
    reads_parts = False

    def log_probs(self, output: Output, memory: Memory, rows: Tensor | None = None) -> Tensor:
        """The features (N, V)."""
        return output.features.clone()  # a search overwrites them

    def loss(self, output: Output, memory: Memory, target_out: Tensor, smoothing: float = 0.0) -> Loss:
        """Raises NotImplementedError."""
        raise NotImplementedError("a step function is searched, not trained")
