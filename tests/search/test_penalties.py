"""Are scores what the papers' formulas say?"""

import math

import pytest
import torch

from seq2seq.errors import ConfigError
from seq2seq.runtime import search as twin
from seq2seq.search.penalties import LENGTH_PENALTIES, Penalty


def test_coverage_penalty_on_paper():
    covered = torch.tensor([[[0.5, 2.0, 0.25, 0.0]]])
    mask = torch.tensor([[True, True, True, False]])
    value = Penalty("gnmt", 1.0, 0.2)(torch.tensor([[-4.0]]), 7, covered, mask)
    assert value.item() == pytest.approx(-4.0 / 2 + 0.2 * (math.log(0.5) + math.log(0.25)))


@pytest.mark.parametrize(("name", "expected"), [("none", 1.0), ("average", 9**0.5), ("gnmt", (14 / 6) ** 0.5)])
def test_length_penalties_on_paper(name, expected):
    assert float(LENGTH_PENALTIES[name](9, 0.5)) == pytest.approx(expected)
    assert LENGTH_PENALTIES[name](torch.tensor([9]), 0.5).tolist() == pytest.approx([expected])
    assert twin.LENGTH_PENALTIES[name](9, 0.5) == pytest.approx(expected)


def test_refusals():
    with pytest.raises(ConfigError, match="did you mean 'average'"):
        Penalty("averag")
    with pytest.raises(ConfigError, match="alpha=-1"):
        Penalty("average", -1)
