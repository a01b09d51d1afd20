"""Stable top-k against a stable sort."""

import math

import pytest
import torch

from seq2seq.search.topk import stable_topk, topk_continuations


@pytest.mark.parametrize("columns", [3, 8, 50])
def test_ties_are_broken_by_the_lower_index(columns):
    scores = torch.randint(0, 4, (200, columns), generator=torch.Generator().manual_seed(1)).double()
    scores[scores == 0] = -torch.inf
    values, index = stable_topk(scores, 6)
    for row, kept, places in zip(scores.tolist(), values.tolist(), index.tolist(), strict=True):
        expected = sorted(range(columns), key=lambda i: (-row[i], i))[:6]
        real = [i for i in expected if row[i] > -math.inf]
        assert places[: len(real)] == real
        assert kept[: len(real)] == [row[i] for i in real]
        assert kept[len(real) :] == [-math.inf] * (6 - len(real))


@pytest.mark.parametrize("ids", [5, 64, 65, 640, 700])
@pytest.mark.parametrize("levels", [3, 10**6], ids=["ties", "distinct"])
def test_continuations_are_the_top_k_of_all_sums(ids, levels):
    chance = torch.Generator().manual_seed(ids)
    log_probs = torch.randint(0, levels, (50, 3, ids), generator=chance).double()
    log_probs[log_probs < levels / 9] = -torch.inf
    total = torch.randint(0, levels, (50, 3), generator=chance).double()
    total[::7, 1] = -torch.inf
    values, places = topk_continuations(log_probs, total, 4)
    expected, index = stable_topk((log_probs + total[..., None]).flatten(1), 4)
    assert values.equal(expected)
    assert places[values > -torch.inf].equal(index[values > -torch.inf])
