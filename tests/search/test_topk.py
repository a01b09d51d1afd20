"""Are the largest of many scores found, and the first of equal ones, as a stable sort finds them?"""

import math

import pytest
import torch

from seq2seq.search.topk import continuations, largest


@pytest.mark.parametrize("columns", [3, 8, 50])
def test_largest_takes_the_lowest_of_equals(columns):
    scores = torch.randint(0, 4, (200, columns), generator=torch.Generator().manual_seed(1)).double()
    scores[scores == 0] = -torch.inf
    values, index = largest(scores, 6)
    for row, kept, places in zip(scores.tolist(), values.tolist(), index.tolist(), strict=True):
        expected = sorted(range(columns), key=lambda i: (-row[i], i))[:6]
        real = [i for i in expected if row[i] > -math.inf]
        assert places[: len(real)] == real
        assert kept[: len(real)] == [row[i] for i in real]
        assert kept[len(real) :] == [-math.inf] * (6 - len(real))


@pytest.mark.parametrize("ids", [5, 64, 65, 640, 700])
@pytest.mark.parametrize("kinds", [3, 10**6], ids=["ties", "distinct"])
def test_continuations_are_the_largest_of_all_sums(ids, kinds):
    chance = torch.Generator().manual_seed(ids)
    log_probs = torch.randint(0, kinds, (50, 3, ids), generator=chance).double()
    log_probs[log_probs < kinds / 9] = -torch.inf
    total = torch.randint(0, kinds, (50, 3), generator=chance).double()
    total[::7, 1] = -torch.inf
    values, places = continuations(log_probs, total, 4)
    expected, index = largest((log_probs + total[..., None]).flatten(1), 4)
    assert values.equal(expected)
    assert places[values > -torch.inf].equal(index[values > -torch.inf])
