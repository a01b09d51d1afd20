"""`encode` and `step` of every model can be exported by torch.export, and hold at other sizes than the traced ones."""

import pytest
import torch
from torch import nn
from torch.export import Dim, export

from seq2seq.ids import EOS, PAD

pytestmark = pytest.mark.filterwarnings("ignore:.*_check_is_size", "ignore:.*assigned during export")
LENGTHS = (8, 4, 2, 7)  # of source sentences; other ones than were traced
FAST = {("transformer", "local_m")}  # of the other variants, exporting takes long


class Encode(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, source, copy):
        return self.model.encode(source, copy)


class Step(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, token, state, memory):
        output, state = self.model.step(token, state, memory, attention=True)
        return self.model.head.log_probs(output, memory), output.weights, state


def sources(lengths, size):
    """A batch of these lengths in `size` positions."""
    source = torch.randint(4, 11, (len(lengths), size))
    for row, length in zip(source, lengths, strict=True):
        row[length - 1], row[length:] = EOS, PAD
    return source


def assert_same(left, right):
    """Two trees of tensors are equal."""
    left, right = (torch.utils._pytree.tree_leaves(tree) for tree in (left, right))
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def state_after(model, memory, steps):
    """The decoder state after some steps."""
    state = model.start(memory)
    for token in range(steps):
        state = model.step(torch.full((len(memory.mask),), 4 + token), state, memory)[1]
    return state


def dynamic(value, rows, size, axis=1):
    """Dynamic shapes: the rows, and the dimensions from `axis` on that have `size` entries."""
    return {0: rows} | {at: Dim.AUTO for at in range(axis, value.dim()) if value.size(at) == size}


@torch.no_grad()
@pytest.mark.cases(fast=FAST)
def test_exported_step_works_for_any_batch_source_length_and_prefix(variant):
    model, rows = variant.model, Dim.AUTO
    memory = model.encode(variant.source)
    source, past = variant.source.size(1), 2
    state = state_after(model, memory, past)
    shapes = (
        {0: rows},
        {
            name: {0: rows, 2: Dim.AUTO} if value.dim() == 4 else dynamic(value, rows, source)
            for name, value in state.items()
        },
        type(memory)(
            *({0: rows, 1: Dim.AUTO} for _ in range(3)),
            {0: rows},
            {name: {0: rows, value.shape.index(source): Dim.AUTO} for name, value in memory.cached.items()},
        ),
    )
    program = export(
        Step(model), (torch.tensor([4, 5, 6]), state, memory), dynamic_shapes=shapes, strict=False
    ).module()
    for lengths, size, steps in ((LENGTHS, 8, 4), ((3, 2), 5, 1), (LENGTHS, 9, 0)):
        memory = model.encode(sources(lengths, size))
        later, token = state_after(model, memory, steps), torch.arange(4, 4 + len(lengths))
        state = {name: later[name] for name in state}  # a program knows the names in the order of its trace
        assert_same(program(token, state, memory), Step(model)(token, state, memory))


def check_encode(case, source):
    """Export `encode` for a dynamic batch; compare at the traced length, and at others if `source` is dynamic."""
    rows, inputs = {0: Dim.AUTO, 1: source}, (case.source, case.copy)
    program = export(Encode(case.model), inputs, dynamic_shapes=(rows, rows), strict=False).module()
    sizes = (case.source.size(1),) if source is Dim.STATIC else (8, 11, 3)
    for size in sizes:
        other = sources([min(length, size) for length in LENGTHS], size)
        assert_same(program(other, other), case.model.encode(other, other))


@torch.no_grad()
@pytest.mark.cases(fast=FAST)
def test_exported_encode_works_for_any_batch_and_source_length(variant):
    """A recurrent encoder for the traced length only: torch.export unrolls nn.LSTM and nn.GRU (torch 2.13)."""
    check_encode(variant, Dim.STATIC if hasattr(variant.config, "cell") else Dim.AUTO)


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_recurrent_encoder_with_torchs_loop_works_for_any_source_length(cell, model_cases):
    """torch.onnx.export registers these loops by itself. Decompositions cached in this process are cleared first."""
    patches = pytest.importorskip("torch.export._patches", reason="this torch has no loop for recurrent layers")
    if not hasattr(patches, "register_gru_while_loop_decomposition"):
        pytest.skip("this torch has no loop for GRUs")
    case = model_cases.build(
        model_cases.config("rnn", {"cell": cell, "layers": (2, 1), "residual": True}), torch.float32
    )
    operator = getattr(torch.ops.aten, cell).input
    operator._dispatch_cache.clear()
    with patches.register_lstm_while_loop_decomposition(), patches.register_gru_while_loop_decomposition():
        check_encode(case, Dim.DYNAMIC)
    operator._dispatch_cache.clear()
