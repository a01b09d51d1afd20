"""Does nothing in a model wait for its device, and is it the same model there?

The device is "meta", whose tensors have no numbers: whoever asks for one, or brings a tensor of the processor, fails.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from seq2seq.nn.heads import VocabularyHead
from seq2seq.nn.interface import Output
from seq2seq.nn.ops import devices


def losses(case, device="cpu"):
    """Both sums of the loss with all in its place."""
    model, (source, copy, target_in, target_out) = (
        case.model.to(device),
        (x.to(device) for x in (case.source, case.copy, case.target_in, case.target_out)),
    )
    memory = model.encode(source, copy if case.model.head.reads_weights else None)
    output = model.decode(target_in, memory, attention=model.head.reads_weights)
    return model.head.loss(output, memory, target_out, 0.1)


def test_learning_asks_the_device_for_nothing(case):
    case.model.train()
    losses(case, "meta").total.backward()
    assert {p.grad.device.type for p in case.model.parameters() if p.grad is not None} == {"meta"}


@torch.no_grad()
@pytest.mark.parametrize("attention", [False, True])
def test_a_step_asks_the_device_for_nothing(case, attention):
    model = case.model.to("meta")
    memory = model.encode(case.source.to("meta"), case.copy.to("meta") if case.model.head.reads_weights else None)
    rows = torch.arange(2 * len(case.source), device="meta").view(-1, 2)
    state = model.select(rows // 2, model.start(memory, 6))
    for _ in range(2):
        output, state = model.step(rows.flatten(), state, memory, attention or model.head.reads_weights)
        state = model.select(rows, state)
        assert model.head.log_probs(output, memory).device.type == "meta"


def test_losses_and_gradients_are_those_of_the_processor(case, close, monkeypatch):
    """What is done for a device, done on the processor: padding is not left out of the loss, but counts nothing."""
    parameters = [p for p in case.model.parameters() if p.requires_grad]
    expected = losses(case)
    slopes = torch.autograd.grad(expected.total, parameters, allow_unused=True)
    monkeypatch.setattr(devices, "asynchronous", lambda x: True)
    monkeypatch.setattr(devices, "at_once", lambda x, numbers: 2 * case.model.head.output.out_features)
    found = losses(case)
    for ours, theirs in zip(found, expected, strict=True):
        close(ours, theirs)
    for ours, theirs in zip(torch.autograd.grad(found.total, parameters, allow_unused=True), slopes, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            close(ours, theirs)


def test_padding_moves_nothing_on_a_device(monkeypatch):
    monkeypatch.setattr(devices, "asynchronous", lambda x: True)
    torch.manual_seed(3)
    head, features = VocabularyHead(4, 9), torch.randn(2, 3, 4)
    features[1, 2] = torch.inf  # of a row that counts nothing
    features.requires_grad_()
    head.loss(Output(features), None, torch.tensor([[5, 6, 0], [4, 0, 0]]), 0.1).total.backward()
    assert features.grad[0, :2].abs().min() > 0
    assert not features.grad[0, 2].any()
    assert not features.grad[1, 1:].any()


def test_no_more_is_made_than_there_are_rows(monkeypatch):
    """Elsewhere memory that is only taken is taken all the same."""
    made = []
    with Sizes(made):
        VocabularyHead(4, 9).loss(Output(torch.randn(2, 3, 4)), None, torch.full((2, 3), 5), 0.1)
    assert max(made) <= 6 * 9


class Sizes(TorchDispatchMode):
    """Of all that operations give back."""

    def __init__(self, made):
        super().__init__()
        self.made = made

    def __torch_dispatch__(self, operation, types, given=(), named=None):
        found = operation(*given, **(named or {}))
        self.made += [x.numel() for x in tree_leaves(found) if isinstance(x, torch.Tensor)]
        return found


def test_where_no_kernel_can_be_compiled_torchs_operations_do_it(monkeypatch, caplog):
    kernels = pytest.importorskip("seq2seq.nn.ops.kernels")
    asked = torch.device("cpu"), torch.bfloat16
    devices.compiles.cache_clear()
    assert devices.compiles(*asked)

    def broken(*given):
        raise RuntimeError("Failed to find C compiler.\nPlease")

    monkeypatch.setattr(kernels, "cross_entropy", broken)
    devices.compiles.cache_clear()
    assert not devices.compiles(*asked)
    assert not devices.compiles(*asked)
    told = ["no fused kernels for torch.bfloat16 on cpu, torch's operations are used: Failed to find C compiler."]
    assert [record.getMessage() for record in caplog.records] == told
    devices.compiles.cache_clear()


def test_autocast_is_told_where_there_is_one():
    assert devices.product_dtype(torch.zeros(1, device="meta")) == torch.float32
    with torch.autocast("cpu", torch.bfloat16), devices.no_autocast(torch.zeros(1, device="meta")):
        assert devices.product_dtype(torch.zeros(1)) == torch.bfloat16
        with devices.no_autocast(torch.zeros(1)):
            assert devices.product_dtype(torch.zeros(1)) == torch.float32
