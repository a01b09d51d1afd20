"""Does a model whose steps were recorded find what it finds otherwise?"""

from contextlib import contextmanager

import pytest
import torch

from seq2seq.nn import cuda_graphs
from seq2seq.nn.cuda_graphs import CUDAGraphRecorder, GraphedModel
from seq2seq.nn.ops import devices
from seq2seq.search.beam import beam_search


@pytest.fixture(autouse=True)
def as_on_a_device(monkeypatch):
    monkeypatch.setattr(devices, "asynchronous", lambda x: True)


def memories(case):
    """Of the same shapes, of other sentences."""
    for order in ([0, 1, 2], [2, 0, 1]):
        source, copy = case.source[order], case.copy[order]
        yield case.model.encode(source, copy if case.model.head.reads_weights else None)


def walk(model, memory, attention):
    """What five steps of two hypotheses each say, in and out of order."""
    rows = torch.arange(len(memory.mask)).repeat_interleave(2).view(-1, 2)
    state = model.select(rows, model.start(memory, 6))
    said = []
    for number in range(5):
        token = torch.arange(4, 10) + number % 3
        output, state = model.step(token, state, memory, attention)
        said.append(
            (
                output.features.clone(),
                output.weights,
                output.maps,
                {name: value.clone() for name, value in state.items()},
            )
        )
        if number != 2:  # then as greedy search goes on
            state = model.select(torch.tensor([[1, 0], [3, 3], [4, 5]]), state)
    return said


def assert_same(ours, theirs, close):
    for one, other in zip(ours, theirs, strict=True):
        for left, right in zip(one[:3], other[:3], strict=True):
            assert (left is None) == (right is None)
            if left is not None:
                close(left, right)
        assert set(one[3]) == set(other[3])
        for name in one[3]:
            close(one[3][name], other[3][name])


@torch.no_grad()
@pytest.mark.parametrize("attention", [False, True])
def test_steps_say_the_same(case, close, attention):
    model = GraphedModel(case.model, lambda work: work)
    for memory in memories(case):
        assert_same(walk(model, memory, attention), walk(case.model, memory, attention), close)
    assert len(model.steps) == (
        2 if case.config.attention.coverage and memory.states.dtype == torch.float64 else 1
    )  # sums get wider


@torch.no_grad()
def test_nothing_but_tensors_makes_them(variant, close, fx):
    """The recorder knows nothing of our code."""
    record = fx()
    model = GraphedModel(variant.model, record)
    for memory in memories(variant):
        assert_same(walk(model, memory, True), walk(variant.model, memory, True), close)
    assert len(record.graphs) == 1


@pytest.mark.parametrize("beam", [1, 3])
def test_a_search_finds_the_same(variant, beam):
    model = GraphedModel(variant.model, lambda work: work)
    for memory in memories(variant):
        options = {"beam": beam, "n_best": beam, "max_length": torch.tensor([3, 9, 6]), "attention": True}
        found, expected = (beam_search([each], [memory], **options) for each in (model, variant.model))
        for ours, theirs in zip(found, expected, strict=True):
            assert [h.tokens for h in ours] == [h.tokens for h in theirs]
            for one, other in zip(ours, theirs, strict=True):
                assert one.score == pytest.approx(other.score, rel=1e-4)
                torch.testing.assert_close(one.attention, other.attention, rtol=1e-3, atol=1e-4)
    assert model.steps


@torch.no_grad()
def test_the_last_used_shapes_are_kept(variant, monkeypatch):
    monkeypatch.setattr(cuda_graphs, "MAX_GRAPHS", 2)
    model, recorded = GraphedModel(variant.model, lambda work: recorded.append(1) or work), []
    memory = next(memories(variant))
    for count in (1, 2, 1, 2, 1, 3, 3, 1, 2):
        part = memory.select(torch.arange(count))
        model.step(torch.full((count,), 5), model.start(part, 4), part)
    assert len(recorded) == 4  # 1, 2, 3 in the place of 2, 2 in the place of 3
    assert [shape[1] for shape in model.steps] == [1, 2]


def test_cuda_graphs_are_recorded_while_a_thread_may_pin_batches(monkeypatch):
    """With a memory pool of its own, and autocast's cache cleared before and after."""
    calls = []

    class CUDAGraph:
        def replay(self):
            calls.append("replayed")

    @contextmanager
    def graph(recorded, pool, capture_error_mode):
        assert isinstance(recorded, CUDAGraph)
        calls.append((pool, capture_error_mode))
        yield
        calls.append("recorded")

    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
    monkeypatch.setattr(torch.cuda, "CUDAGraph", CUDAGraph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch, "clear_autocast_cache", lambda: calls.append("cleared"))
    replay = CUDAGraphRecorder()(lambda: calls.append("worked"))
    replay()
    assert calls == ["cleared", ("pool", "thread_local"), "worked", "recorded", "cleared", "replayed"]
