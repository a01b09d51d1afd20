"""No model waits for its device, and what models do differently for other devices than the CPU changes no result.

The device is "meta", whose tensors have no values: reading one, or mixing in a tensor of the CPU, raises an error.
"""

import pytest
import torch

from seq2seq.nn.heads import VocabularyHead
from seq2seq.nn.interface import Output
from seq2seq.nn.ops import devices

# the fast combinations have every choice of a recurrent model
pytestmark = pytest.mark.cases(fast=[("transformer", "scaled_dot"), ("transformer", "local_m")])


def encode(case, device):
    copy = case.copy.to(device) if case.model.head.reads_weights else None
    return case.model.to(device).encode(case.source.to(device), copy)


def shorten(case):
    """Keep three source and two target positions, as operations are what matters."""
    case.source, case.copy = case.source[:, :3], case.copy[:, :3]
    case.target_in, case.target_out = case.target_in[:, :2], case.target_out[:, :2]


def loss(case, device="cpu"):
    """Both sums of the loss, computed on the device."""
    model, memory = case.model, encode(case, device)
    output = model.decode(case.target_in.to(device), memory, attention=model.head.reads_weights)
    return model.head.loss(output, memory, case.target_out.to(device), 0.1)


def test_training_reads_no_value_from_the_device(case):
    shorten(case)
    case.model.train()
    loss(case, "meta").total.backward()
    assert {p.grad.device.type for p in case.model.parameters() if p.grad is not None} == {"meta"}


@torch.no_grad()
def test_step_reads_no_value_from_the_device(case):
    shorten(case)
    model, memory = case.model, encode(case, "meta")
    rows = torch.arange(2 * len(case.source), device="meta").view(-1, 2)
    for attention in sorted({True, model.head.reads_weights}):
        state = model.select(rows // 2, model.start(memory, 6))
        for _ in range(2):
            output, state = model.step(rows.flatten(), state, memory, attention)
            state = model.select(rows, state)
            assert model.head.log_probs(output, memory).device.type == "meta"


def test_losses_and_gradients_equal_those_of_the_cpu(case, assert_close, monkeypatch):
    """What is done for other devices, done on the CPU: padding stays in the loss, but adds nothing."""
    parameters = [p for p in case.model.parameters() if p.requires_grad]
    expected = loss(case)
    gradients = torch.autograd.grad(expected.total, parameters, allow_unused=True)
    monkeypatch.setattr(devices, "asynchronous", lambda x: True)
    monkeypatch.setattr(devices, "at_once", lambda x, elements: 2 * case.model.head.output.out_features)
    found = loss(case)
    for ours, theirs in zip(found, expected, strict=True):
        assert_close(ours, theirs)
    for ours, theirs in zip(torch.autograd.grad(found.total, parameters, allow_unused=True), gradients, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert_close(ours, theirs)


def test_padding_that_stays_in_the_loss_gets_no_gradient(monkeypatch):
    monkeypatch.setattr(devices, "asynchronous", lambda x: True)
    torch.manual_seed(3)
    head, features = VocabularyHead(4, 9), torch.randn(2, 3, 4)
    features[1, 2] = torch.inf  # of padding
    features.requires_grad_()
    head.loss(Output(features), None, torch.tensor([[5, 6, 0], [4, 0, 0]]), 0.1).total.backward()
    assert features.grad[0, :2].abs().min() > 0
    assert not features.grad[0, 2].any()
    assert not features.grad[1, 1:].any()
