"""The two graphs of a translator, traced by torch.export: the encoder, and a step of the decoder.

Shapes: B sentences, W hypotheses of each (W before the step may be another number), S source positions, V ids of the
target vocabulary, V' of the candidates of a shortlist, K likeliest next tokens.

    encoder: source (B, S), copy (B, S), candidates (V') -> memory, first state, rows of the output layer
    step: tokens (B, W), parents (B, W), count, number, state, memory
        -> scores and ids (B, W, K), log_probs (B, W, V), weights (B, W, S), next state

A graph has the inputs that its model uses, and no others.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.utils._pytree import tree_map

from seq2seq.ids import BOS, EOS
from seq2seq.nn import kv_cache
from seq2seq.nn.build import EncoderDecoder
from seq2seq.nn.interface import LOGIT_MASK, OUTPUT_ROWS, Memory, Output, State
from seq2seq.nn.rnn.encoder import RecurrentEncoder
from seq2seq.nn.transformer import TransformerDecoder
from seq2seq.runtime.bundle import NEXT, START

MEMORY = ("memory_tokens", "memory", "mask", "summary")  # the names of the first fields of Memory

Change = Callable[[RecurrentEncoder], RecurrentEncoder]


class Encoder(nn.Module):
    """What is computed once for each source: the memory, and the decoder's first state."""

    def __init__(self, model: EncoderDecoder, change: Change) -> None:
        """change: makes a recurrent encoder one that can be traced for any length of the source."""
        super().__init__()
        self.model = model
        self.encoder = change(model.encoder) if isinstance(model.encoder, RecurrentEncoder) else model.encoder

    def forward(
        self, source: Tensor, copy: Tensor | None = None, candidates: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The named outputs."""
        mask = self.model.source_mask(source)
        copy = source if copy is None else copy
        encoded = self.encoder(source, mask)
        memory = Memory(copy, encoded.states, mask, encoded.summary, self.model.decoder.cache(encoded, source, mask))
        outputs = dict(zip(MEMORY, memory[:4], strict=True)) | memory.cached
        if not isinstance(self.model.decoder, TransformerDecoder):
            outputs |= {START + name: value for name, value in self.model.start(memory).items() if name != "number"}
        if candidates is not None:
            layer = self.model.output_layer
            rows = (part.index_select(0, candidates) for part in (layer.weight, layer.bias))
            outputs |= zip(OUTPUT_ROWS, rows, strict=True)
        return outputs


class Step(nn.Module):
    """One step of the decoder for W hypotheses of each sentence, and its likeliest next tokens."""

    def __init__(self, model: EncoderDecoder) -> None:
        super().__init__()
        self.model = model
        self.blocks = isinstance(model.decoder, TransformerDecoder)  # a cache that the caller writes

    def forward(
        self,
        tokens: Tensor,
        parents: Tensor,
        count: Tensor,
        number: Tensor,
        state: State,
        memory: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """The named outputs."""
        B, W = tokens.shape
        _check_sizes(B, W, {"parents": parents, **state, **memory})
        rows = {} if self.blocks else self.continued(state, parents)
        rows["number"] = number.expand(B * W)
        before = state | rows
        copy, states, mask, summary = (memory[name] for name in MEMORY)
        cached = {name: value for name, value in memory.items() if name not in MEMORY}
        source = Memory(copy, states, mask, summary, cached)
        output, after = self.model.step(tokens.flatten(), before, source, attention=True)
        # before the head, so that its output, which is large, need not be copied to another shape
        parts: list[Any] = [None if part is None else part.unflatten(0, (B, W)) for part in output]
        output = Output(*parts)
        log_probs = self.model.head.log_probs(output, source)
        size: Any = count.item()
        torch._check(size >= 1)
        torch._check(size <= log_probs.size(2))
        scores, ids = log_probs.topk(size, -1)
        outputs = {"scores": scores, "ids": ids, "log_probs": log_probs}
        if output.weights is not None:
            outputs["weights"] = output.weights
        for name in state:
            if name != kv_cache.PAST:
                outputs[NEXT + name] = after[name] if self.blocks else after[name].unflatten(0, (B, W))
        return outputs

    def continued(self, state: State, parents: Tensor) -> State:
        """The states (B, W before, ...) of the hypotheses that are continued, as B * W rows."""
        if not state:
            return {}
        B, before = next(iter(state.values())).shape[:2]
        rows = (parents + before * torch.arange(B).unsqueeze(1)).flatten()
        return {name: value.flatten(0, 1).index_select(0, rows) for name, value in state.items()}


def _check_sizes(B: int, W: int, inputs: dict[str, Tensor]) -> None:
    """Tell the tracer which sizes of the inputs are the same, so that the graph need not compute one from others."""
    for name, value in inputs.items():
        if name not in OUTPUT_ROWS:
            torch._check(value.size(0) == B)
        if name in ("parents", kv_cache.PAST):
            torch._check(value.size(1) == W)


class Traced(NamedTuple):
    """A graph, and the names of its inputs and outputs in their order."""

    program: ExportedProgram
    inputs: list[str]
    outputs: list[str]
    examples: list[dict[str, Tensor]]  # inputs of two sizes


def trace(model: EncoderDecoder, change: Change, shortlist: bool = False) -> tuple[Traced, Traced]:
    """The encoder and the step of a model in evaluation mode, with dynamic sizes. `change` as in Encoder.

    shortlist: the step takes the rows of the output layer for some candidates, which the encoder gathers."""
    inputs = [_encoder_inputs(model, sizes, shortlist) for sizes in (SIZES, OTHERS)]
    step_inputs = [_step_inputs(model, sizes, shortlist) for sizes in (SIZES, OTHERS)]
    return _trace(Encoder(model, change), *inputs), _trace(Step(model), *step_inputs)


def _trace(module: nn.Module, one: dict[str, Any], other: dict[str, Any]) -> Traced:
    """A graph for inputs of any sizes in those dimensions in which two sets of inputs differ."""

    def differing(x: Tensor, y: Tensor) -> dict[int, Any]:
        return {axis: Dim.DYNAMIC for axis in range(x.dim()) if x.size(axis) != y.size(axis)}

    program = torch.export.export(module, (), one, dynamic_shapes=tree_map(differing, one, other), strict=False)
    outputs = program.call_spec.out_spec
    assert outputs is not None
    examples = [_by_name(inputs) for inputs in (one, other)]
    return Traced(program, list(examples[0]), list(outputs.context), examples)


def _by_name(inputs: dict[str, Any]) -> dict[str, Tensor]:
    """Inputs without the groups that some of them are in."""
    groups = [{name: value} if isinstance(value, Tensor) else value for name, value in inputs.items()]
    return {name: value for group in groups for name, value in group.items()}


class TraceSizes(NamedTuple):
    """Sizes of the inputs of a trace, all above 1, which torch.export takes for constants."""

    sentences: int
    hypotheses: int
    before: int  # hypotheses in the step before
    source: int
    capacity: int
    candidates: int


# each grows by another number, so that no size is taken for another plus a constant
SIZES, OTHERS = TraceSizes(2, 3, 5, 7, 11, 10), TraceSizes(3, 5, 2, 13, 6, 8)


def _encoder_inputs(model: EncoderDecoder, sizes: TraceSizes, shortlist: bool) -> dict[str, Any]:
    """Inputs of the encoder."""
    source = torch.full((sizes.sentences, sizes.source), EOS)
    # torch.export takes one tensor for one input
    inputs = {"source": source} | ({"copy": source.clone()} if model.head.reads_weights else {})
    return inputs | ({"candidates": torch.arange(sizes.candidates)} if shortlist else {})


def _step_inputs(model: EncoderDecoder, sizes: TraceSizes, shortlist: bool) -> dict[str, Any]:
    """Inputs of a step, with the names and shapes of the model's own state and memory."""
    B, W = sizes.sentences, sizes.hypotheses
    memory = model.encode(torch.full((B, sizes.source), EOS))
    named = dict(zip(MEMORY, memory[:4], strict=True)) | memory.cached
    if shortlist:
        rows, layer = (
            torch.arange(sizes.candidates),
            model.output_layer,
        )  # copies: the table may be that of the embedding
        named |= zip(OUTPUT_ROWS, (layer.weight[rows], layer.bias[rows]), strict=True)
        named[LOGIT_MASK] = torch.zeros(B, sizes.candidates)
    state = {name: value for name, value in model.start(memory).items() if name != "number"}
    if isinstance(model.decoder, TransformerDecoder):
        slots = sizes.capacity, sizes.before
        state = {name: value.new_zeros(B, value.size(1), *slots, value.size(3)) for name, value in state.items()}
        state[kv_cache.PAST] = torch.ones(B, W, *slots, dtype=torch.bool)
    else:
        state = {name: torch.stack([value] * sizes.before, 1) for name, value in state.items()}
    return {
        "tokens": torch.full((B, W), BOS),
        "parents": torch.zeros(B, W, dtype=torch.long),
        "count": torch.tensor(1),
        "number": torch.tensor([1]),
        "state": state,
        "memory": named,
    }
