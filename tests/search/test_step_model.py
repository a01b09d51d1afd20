"""Searches over a step function of one's own: a Markov chain whose best paths are known."""

import itertools
import math

import pytest
import torch

from seq2seq.ids import BOS, EOS
from seq2seq.search import StepModel, beam_search, sample

CHAIN = torch.tensor([  # from id (rows) to id (columns); PAD, UNK and BOS never follow
    [0, 0, 0, 1, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0.1, 0.5, 0.4],
    [0, 0, 0, 1, 0, 0], [0, 0, 0, 0.3, 0.4, 0.3], [0, 0, 0, 0.7, 0.2, 0.1],
])  # fmt: skip


def step(token, state):
    return CHAIN[token].clamp_min(1e-30).log(), {"length": state["length"] + 1}


def paths(most):
    """Every path of at most `most` tokens that ends by EOS, with its probability."""
    for length in range(most + 1):
        for tokens in itertools.product((4, 5), repeat=length):
            ids = [BOS, *tokens, EOS]
            yield math.prod(float(CHAIN[a, b]) for a, b in itertools.pairwise(ids)), list(tokens)


def test_beam_search_finds_the_best_paths_of_a_chain():
    model = StepModel(step, {"length": torch.zeros(2, dtype=torch.long)})
    found = beam_search([model], [model.memory], beam=8, n_best=4, max_length=4)
    best = sorted(paths(4), reverse=True)[:4]
    for hypotheses in found:
        assert [one.tokens for one in hypotheses] == [tokens for _, tokens in best]
        assert [math.exp(one.score) for one in hypotheses] == pytest.approx([p for p, _ in best])


def test_sampling_follows_the_probabilities_of_a_chain():
    model = StepModel(step, {"length": torch.zeros(1, dtype=torch.long)})
    (drawn,) = sample([model], [model.memory], max_length=4, samples=2000, seeds=[1])
    share = sum(one.tokens == [5] for one in drawn) / len(drawn)
    assert share == pytest.approx(0.4 * 0.7, abs=0.04)


@pytest.mark.parametrize("start", [{}, {"a": torch.zeros(2), "b": torch.zeros(3)}])
def test_a_start_state_without_rows_is_refused(start):
    with pytest.raises(ValueError, match="one number of rows"):
        StepModel(step, start)


def test_a_step_of_the_wrong_shape_is_refused():
    model = StepModel(lambda token, state: (torch.zeros(6), state), {"length": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"shape \(6,\) for 2 tokens, where \(2, vocabulary\) is expected"):
        beam_search([model], [model.memory], beam=1, max_length=2)


def test_a_start_state_that_is_a_tensor_is_refused():
    with pytest.raises(TypeError, match="the start state is a Tensor, where a mapping of names to tensors is expected"):
        StepModel(step, torch.zeros(2, 1))


def test_a_state_that_loses_rows_is_refused():
    model = StepModel(lambda token, state: (CHAIN[token], {"length": torch.zeros(1)}), {"length": torch.zeros(2)})
    with pytest.raises(ValueError, match="1 rows of the state 'length' for 2 tokens"):
        beam_search([model], [model.memory], beam=1, max_length=2)
