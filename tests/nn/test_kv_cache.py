"""Preallocated key-value caches stay where they are while hypotheses are reordered within their sentences."""

import pytest
import torch

from seq2seq.nn import kv_cache

N, W = 3, 2  # sentences, hypotheses of each


@pytest.fixture
def model(model_cases):
    return model_cases.build(model_cases.config("transformer", {}), torch.float32).model


def start(model, capacity):
    """The memory of random sentences, and the state of W hypotheses of each."""
    memory = model.encode(torch.randint(4, 11, (N, 5)))
    return memory, model.select(torch.arange(N).repeat_interleave(W).view(N, W), model.start(memory, capacity))


def addresses(state):
    return {name: value.data_ptr() for name, value in state.items() if name.startswith("own_")}


@torch.no_grad()
def test_steps_and_reordering_do_not_move_a_preallocated_cache(model):
    memory, state = start(model, capacity=4)
    before = addresses(state)
    assert len(before) == 2 * len(model.decoder.layers)
    for order in ([[1, 0], [3, 3], [4, 5]], [[0, 0], [2, 3], [5, 4]]):
        state = model.step(torch.full((N * W,), 5), state, memory)[1]
        state = model.select(torch.tensor(order), state)
    assert addresses(state) == before


@torch.no_grad()
def test_steps_do_not_modify_a_growing_cache(model):
    memory, state = start(model, capacity=None)
    before = {name: value.clone() for name, value in state.items()}
    after = model.step(torch.full((N * W,), 5), state, memory)[1]
    assert all(state[name].equal(value) for name, value in before.items())
    assert all(after[name].size(2) == 1 for name in kv_cache.cache_names(0))
