"""Are scores what the papers' formulas say?"""

import dataclasses
import math

import pytest
import torch

from seq2seq.config import SearchConfig
from seq2seq.errors import ConfigError
from seq2seq.runtime import search as twin
from seq2seq.search.penalties import COVERAGE_PENALTIES, LENGTH_PENALTIES, Penalty


def test_coverage_penalty_on_paper():
    covered = torch.tensor([[[0.5, 2.0, 0.25, 0.0]]])
    mask = torch.tensor([[True, True, True, False]])
    value = Penalty("gnmt", 1.0, 0.2)(torch.tensor([[-4.0]]), 7, covered, mask)
    assert value.item() == pytest.approx(-4.0 / 2 + 0.2 * (math.log(0.5) + math.log(0.25)))


def test_what_is_attended_to_twice_is_charged_on_paper():
    """Gehrmann et al. 2018: beta (sum_i max(c_i, 1) - S), over the S positions that are no padding."""
    covered = torch.tensor([[[0.5, 2.0, 1.25, 3.0]]])
    mask = torch.tensor([[True, True, True, False]])
    value = Penalty("none", 1.0, 0.2, "summary")(torch.tensor([[-4.0]]), 7, covered, mask)
    assert value.item() == pytest.approx(-4.0 - 0.2 * ((1 + 2.0 + 1.25) - 3))


@pytest.mark.parametrize("kind", COVERAGE_PENALTIES)
def test_a_coverage_penalty_never_raises_a_score(kind):
    """The search gives up hypotheses by what they could reach without it. The NumPy search charges the same."""
    covered = torch.rand(5, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2
    mask = torch.arange(4) < torch.tensor([4, 1, 2, 3, 4])[:, None]
    charge = COVERAGE_PENALTIES[kind](covered, mask)
    assert charge.shape == (5, 3)
    assert (charge > 0).any()
    assert (charge >= 0).all()
    log_prob = -covered.sum(-1)
    assert (
        Penalty("gnmt", 0.9, 0.7, kind)(log_prob, 6, covered, mask)
        <= Penalty("gnmt", 0.9, 0.7, kind).bound(log_prob, 6)
    ).all()
    alone = [
        [twin.COVERAGE_PENALTIES[kind](c[:n].numpy()).sum() for c in row]
        for row, n in zip(covered, mask.sum(1), strict=True)
    ]
    torch.testing.assert_close(charge, torch.tensor(alone, dtype=torch.float64))


def test_the_kinds_of_coverage_are_those_that_can_be_set():
    (field,) = (f for f in dataclasses.fields(SearchConfig) if f.name == "coverage_penalty_kind")
    assert set(field.metadata["choices"]) == set(COVERAGE_PENALTIES) == set(twin.COVERAGE_PENALTIES)


@pytest.mark.parametrize(("name", "expected"), [("none", 1.0), ("average", 9**0.5), ("gnmt", (14 / 6) ** 0.5)])
def test_length_penalties_on_paper(name, expected):
    assert float(LENGTH_PENALTIES[name](9, 0.5)) == pytest.approx(expected)
    assert LENGTH_PENALTIES[name](torch.tensor([9]), 0.5).tolist() == pytest.approx([expected])
    assert twin.LENGTH_PENALTIES[name](9, 0.5) == pytest.approx(expected)


def test_refusals():
    with pytest.raises(ConfigError, match="did you mean 'average'"):
        Penalty("averag")
    with pytest.raises(ConfigError, match=r"coverage_penalty_kind='sumary'.*did you mean 'summary'"):
        Penalty("average", 1.0, 0.2, "sumary")
    with pytest.raises(ConfigError, match="alpha=-1"):
        Penalty("average", -1)
