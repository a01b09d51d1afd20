"""Heads give the probabilities and losses of their formulas, computed whole or in chunks."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from seq2seq.ids import PAD, UNK
from seq2seq.nn import heads
from seq2seq.nn.heads import HEADS, CopyHead, VocabularyHead
from seq2seq.nn.interface import Memory, Output
from seq2seq.nn.ops import cross_entropy as cross_entropy_module

B, T, S, H, V, PARTS = 3, 4, 5, 4, 9, 7
ALL_ROWS, TWO_ROWS = 2**22, 2 * V  # logits per chunk


def memory(tokens):
    return Memory(tokens, torch.zeros(B, S, H), torch.ones(B, S, dtype=torch.bool), torch.zeros(B, H), {})


@pytest.fixture(params=[ALL_ROWS, TWO_ROWS], ids=["whole", "chunks"])
def chunk(request, monkeypatch):
    for module in (heads, cross_entropy_module):
        monkeypatch.setattr(module, "CHUNK", request.param)


@pytest.fixture(params=HEADS)
def problem(request):
    """A head, an output and a memory, in float64; source tokens repeat and V, V + 1 are unknown words."""
    torch.manual_seed(2)
    head = HEADS[request.param](H, V, parts=PARTS).double()
    with torch.no_grad():
        for weight in head.parameters():
            weight.normal_()
    weights = torch.rand(B, T, S).double().softmax(-1) * 0.7  # as after the gain of a window
    features = torch.randn(B, T, H).double()
    tokens = torch.tensor([[4, 4, 9, 5, 3], [9, 10, 9, 6, 3], [8, 7, 3, 0, 0]])
    target = torch.tensor([[4, 8, 3, 0], [6, 7, 1, 3], [3, 0, 0, 0]])
    if isinstance(head, CopyHead):
        target[0, 1], target[1, 0] = V, V + 1
    parts = torch.randn(B, T, PARTS, dtype=torch.float64, requires_grad=True)
    return head, Output(features.requires_grad_(), weights.requires_grad_(), parts=parts), memory(tokens), target


def map_output(output, change):
    """`change` applied to features, weights and parts."""
    return Output(change(output.features), change(output.weights), parts=change(output.parts))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_equals_torchs(chunk, smoothing):
    torch.manual_seed(1)
    head, target = VocabularyHead(H, V).double(), torch.randint(1, V, (B, T))
    target[0, 2:] = target[2, 1:] = PAD
    features = torch.randn(B, T, H, dtype=torch.float64, requires_grad=True)
    inputs = (features, head.output.weight, head.output.bias)
    ours = head.loss(Output(features), memory(target), target, smoothing)
    logits = head.output(features).flatten(0, 1)
    total, nll = (
        cross_entropy(logits, target.flatten(), ignore_index=PAD, reduction="sum", label_smoothing=x)
        for x in (smoothing, 0.0)
    )
    torch.testing.assert_close(ours.total, total)
    torch.testing.assert_close(ours.nll, nll)
    assert not ours.nll.requires_grad
    for left, right in zip(
        torch.autograd.grad(3 * ours.total, inputs), torch.autograd.grad(3 * total, inputs), strict=True
    ):
        torch.testing.assert_close(left, right)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_equals_that_of_the_log_probabilities(problem, chunk, smoothing):
    head, output, source, target = problem
    scores, real = head.log_probs(output, source), target != PAD
    nll = -scores.gather(-1, target.unsqueeze(-1)).squeeze(-1)[real].sum()
    total = (1 - smoothing) * nll - smoothing * scores[..., :V].mean(-1)[real].sum()
    ours = head.loss(output, source, target, smoothing)
    torch.testing.assert_close(ours.nll, nll.detach())
    torch.testing.assert_close(ours.total, total)
    read = [
        output.features,
        *([output.weights] if head.reads_weights else []),
        *([output.parts] if head.reads_parts else []),
    ]
    inputs = [*read, *head.parameters()]
    for left, right in zip(torch.autograd.grad(ours.total, inputs), torch.autograd.grad(total, inputs), strict=True):
        torch.testing.assert_close(left, right)


@torch.no_grad()
def test_probabilities_sum_to_one_in_float32_or_wider(problem):
    head, output, source, _ = problem
    scores = head.log_probs(output, source)
    torch.testing.assert_close(scores.exp().sum(-1), torch.ones(B, T, dtype=torch.float64))
    assert scores.shape == (B, T, V + S if head.reads_weights else V)
    half = head.to(torch.bfloat16).log_probs(map_output(output, lambda x: x.to(torch.bfloat16)), source)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half.exp().sum(-1), torch.ones(B, T), atol=1e-2, rtol=0)


@torch.no_grad()
def test_flat_rows_read_the_source_of_their_sentence(problem):
    """(B, T, .), flat rows with W = T per sentence, and any rows with `rows` given, have the same probabilities."""
    head, output, source, _ = problem
    whole = head.log_probs(output, source)
    flat = map_output(output, lambda x: x.flatten(0, 1))
    torch.testing.assert_close(head.log_probs(flat, source), whole.flatten(0, 1))
    rows = torch.tensor([7, 0, 11, 5])
    some = map_output(flat, lambda x: x[rows])
    torch.testing.assert_close(head.log_probs(some, source, rows // T), whole.flatten(0, 1)[rows])


@torch.no_grad()
@pytest.mark.parametrize("name", ["copy", "pointer"])
def test_copying_is_see_et_al_equations_8_and_9(name):
    """The gate of `copy` reads the features instead of context, state and input."""
    torch.manual_seed(4)
    head = HEADS[name](H, V, parts=PARTS).double()
    tokens = torch.tensor([[4, 4, 9, 5, 3], [9, 10, 9, 6, 3], [8, 7, 3, 11, 8]])
    output = Output(
        torch.randn(B, T, H).double(), torch.rand(B, T, S).double(), parts=torch.randn(B, T, PARTS).double()
    )
    scores = head.log_probs(output, memory(tokens))
    for b in range(B):
        for t in range(T):
            x, attention = output.features[b, t].numpy(), output.weights[b, t].numpy()
            logits = head.output.weight.numpy() @ x + head.output.bias.numpy()
            gate_input = output.parts[b, t].numpy() if name == "pointer" else x
            gate = 1 / (1 + math.exp(-(head.gate.weight.numpy()[0] @ gate_input + head.gate.bias.item())))
            expected = [gate * math.exp(logit) / sum(math.exp(other) for other in logits) for logit in logits] + [
                0.0
            ] * S
            for s in range(S):
                expected[tokens[b, s]] += (1 - gate) * attention[s] / attention.sum()
            for entry, probability in enumerate(expected):
                assert scores[b, t, entry].exp().item() == pytest.approx(probability, abs=1e-12)


@torch.no_grad()
def test_vocabulary_head_scores_extended_ids_as_unknown():
    head, output = VocabularyHead(H, V), Output(torch.randn(B, T, H))
    extended, unknown = torch.full((B, T), V + 1), torch.full((B, T), UNK)
    torch.testing.assert_close(
        head.loss(output, memory(extended), extended), head.loss(output, memory(unknown), unknown)
    )


def test_loss_of_padding_is_zero(problem):
    head, output, source, target = problem
    loss = head.loss(output, source, torch.zeros_like(target), 0.1)
    loss.total.backward()
    assert loss.total.item() == loss.nll.item() == 0


@pytest.mark.parametrize("name", HEADS)
def test_shared_embedding_is_the_output_weight(name):
    table = torch.nn.Embedding(V, H)
    head = HEADS[name](H, V, table.weight)
    assert head.output.weight is table.weight
    assert sum(weight.shape == (V, H) for weight in head.parameters()) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("vocabulary", [1, 5, 63, 1000, 8001])
def test_in_place_log_probabilities_equal_those_with_gradients(vocabulary, dtype):
    torch.manual_seed(1)
    head, output = VocabularyHead(8, vocabulary).to(dtype), Output(torch.randn(40, 8).to(dtype))
    memory = Memory(None, None, None, None, {})
    learning = head.log_probs(output, memory)
    with torch.no_grad():
        assert head.log_probs(output, memory).equal(learning.detach())
    torch.testing.assert_close(learning.detach().exp().sum(1), torch.ones(40))
