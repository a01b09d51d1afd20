"""Recorded steps give the same results as the model itself."""

from contextlib import contextmanager

import pytest
import torch

from seq2seq.nn import cuda_graphs
from seq2seq.nn.cuda_graphs import CUDAGraphRecorder, GraphedModel
from seq2seq.nn.ops import devices
from seq2seq.search.beam import beam_search
from tests.recording import TensorRecorder


@pytest.fixture(autouse=True)
def as_on_a_device(monkeypatch):
    monkeypatch.setattr(devices, "asynchronous", lambda x: True)


def memories(case):
    """Two memories of the same shapes: the sentences in two orders."""
    for order in ([0, 1, 2], [2, 0, 1]):
        source, copy = case.source[order], case.copy[order]
        yield case.model.encode(source, copy if case.model.head.reads_weights else None)


def run_steps(model, memory, attention):
    """Outputs and states of five steps with two hypotheses per sentence, reordered after all steps but one."""
    rows = torch.arange(len(memory.mask)).repeat_interleave(2).view(-1, 2)
    state = model.select(rows, model.start(memory, 6))
    results = []
    for number in range(5):
        token = torch.arange(4, 10) + number % 3
        output, state = model.step(token, state, memory, attention)
        results.append(
            (
                output.features.clone(),
                output.weights,
                output.maps,
                {name: value.clone() for name, value in state.items()},
            )
        )
        if number != 2:  # greedy search does not reorder
            state = model.select(torch.tensor([[1, 0], [3, 3], [4, 5]]), state)
    return results


def assert_same(ours, theirs, assert_close):
    for one, other in zip(ours, theirs, strict=True):
        for left, right in zip(one[:3], other[:3], strict=True):
            assert (left is None) == (right is None)
            if left is not None:
                assert_close(left, right)
        assert set(one[3]) == set(other[3])
        for name in one[3]:
            assert_close(one[3][name], other[3][name])


@torch.no_grad()
def test_recorded_steps_equal_the_models(case, assert_close):
    """With and without attention."""
    for attention in (False, True):
        model = GraphedModel(case.model, lambda work: work)
        for memory in memories(case):
            assert_same(run_steps(model, memory, attention), run_steps(case.model, memory, attention), assert_close)
        widens = case.config.attention.coverage and memory.states.dtype == torch.float64  # float32 coverage, one step
        assert len(model.steps) == (2 if widens else 1)


@torch.no_grad()
def test_recording_replays_tensor_operations_only(variant, assert_close):
    """torch.fx as the recorder: the replay runs none of the model's Python code."""
    record = TensorRecorder()
    model = GraphedModel(variant.model, record)
    for memory in memories(variant):
        assert_same(run_steps(model, memory, True), run_steps(variant.model, memory, True), assert_close)
    assert len(record.graphs) == 1


@pytest.mark.parametrize("beam", [1, 3])
def test_beam_search_with_recorded_steps_finds_the_same(variant, beam):
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
def test_least_recently_used_graph_is_dropped(variant, monkeypatch):
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
