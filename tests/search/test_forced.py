"""Forced decoding: scores of given targets equal those of single steps, in any batch."""

import math

import pytest
import torch

from seq2seq.ids import BOS, EOS
from seq2seq.search import forced
from seq2seq.search.ensemble import Ensemble
from seq2seq.search.forced import score_targets

TARGETS = [[4, 5, 4], [], [8], [1, 7, 6, 5, 4, 4]]


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_score_equals_that_of_single_steps(fakes, copies, count):
    models, source = [fakes.Hashed(9, seed, copies=copies) for seed in range(count)], fakes.sources(4)
    targets = [[*ids, 9] for ids in TARGETS] if copies else TARGETS
    found = score_targets(models, [model.encode(source) for model in models], targets, attention=True)
    for row, (one, target) in enumerate(zip(found, targets, strict=True)):
        ensemble = Ensemble(models, [model.encode(source[row : row + 1]) for model in models], 20)
        assert one.tokens == target
        assert one.finished
        assert one.score == one.log_prob == pytest.approx(sum(one.token_log_probs))
        for step, (before, after) in enumerate(zip([BOS, *target], [*target, EOS], strict=True)):
            log_probs, weights = ensemble.step(torch.tensor([[before]]), True)
            assert one.token_log_probs[step] == pytest.approx(log_probs[0, 0, after].item())
            torch.testing.assert_close(one.attention[step], weights[0, 0, : one.attention.shape[1]])


def test_chunks_of_positions_change_nothing(fakes, monkeypatch):
    model, source = fakes.Hashed(9, copies=True), fakes.sources(4)
    whole = score_targets([model], [model.encode(source)], TARGETS)
    monkeypatch.setattr(forced, "MAX_POSITIONS", 8)
    assert score_targets([model], [model.encode(source)], TARGETS) == whole


def test_markov_chain_solved_on_paper(fakes):
    table = torch.full((6, 6), 0.1)
    table[4, 5] = 0.5
    model = fakes.Markov(table)
    (found,) = score_targets([model], [model.encode(fakes.sources(1))], [[4, 5]])
    assert found.token_log_probs == pytest.approx([math.log(p) for p in (1 / 6, 0.5, 1 / 6)])


def test_no_targets_give_no_hypotheses(fakes):
    assert score_targets([fakes.Hashed(9)], [], []) == []
