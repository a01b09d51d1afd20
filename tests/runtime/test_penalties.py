"""Length and coverage penalties against the papers' formulas, for torch tensors and NumPy arrays."""

import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from seq2seq.config import SearchConfig
from seq2seq.errors import ConfigError
from seq2seq.runtime.penalties import COVERAGE_FLOOR, COVERAGE_PENALTIES, LENGTH_PENALTIES, Penalties


def test_gnmt_coverage_penalty_on_paper():
    covered = torch.tensor([[[0.5, 2.0, 0.25, 0.0]]])
    mask = torch.tensor([[[True, True, True, False]]])
    value = Penalties("gnmt", alpha=1.0, coverage=0.2).score(torch.tensor([[-4.0]]), 7, covered, mask)
    assert value.item() == pytest.approx(-4.0 / 2 + 0.2 * (math.log(0.5) + math.log(0.25)))


def test_gnmt_coverage_penalty_is_finite_where_nothing_was_attended_to():
    value = Penalties("none", coverage=1.0).score(-4.0, 7, np.array([1.0, 0.0]))
    assert value == pytest.approx(-4.0 + math.log(COVERAGE_FLOOR))


def test_summary_coverage_penalty_on_paper():
    """Gehrmann et al. 2018: beta (sum_i max(c_i, 1) - S), over the S positions that are no padding."""
    covered = torch.tensor([[[0.5, 2.0, 1.25, 3.0]]])
    mask = torch.tensor([[[True, True, True, False]]])
    penalties = Penalties("none", coverage=0.2, coverage_kind="summary")
    value = penalties.score(torch.tensor([[-4.0]]), 7, covered, mask)
    assert value.item() == pytest.approx(-4.0 - 0.2 * ((1 + 2.0 + 1.25) - 3))


@pytest.mark.parametrize("kind", COVERAGE_PENALTIES)
def test_coverage_penalty_never_raises_a_score(kind):
    """The search gives up hypotheses by the score that they could reach without it."""
    covered = torch.rand(5, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2
    mask = (torch.arange(4) < torch.tensor([4, 1, 2, 3, 4])[:, None])[:, None]
    penalties = Penalties("gnmt", alpha=0.9, coverage=0.7, coverage_kind=kind)
    charge = penalties.coverage_charge(covered, mask)
    assert charge.shape == (5, 3)
    assert (charge > 0).any()
    assert (charge >= 0).all()
    log_prob = -covered.sum(-1)
    assert (penalties.score(log_prob, 6, covered, mask) <= penalties.upper_bound(log_prob, 6)).all()


@pytest.mark.parametrize("kind", COVERAGE_PENALTIES)
def test_padding_is_not_charged(kind):
    covered = torch.rand(5, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2
    sizes = torch.tensor([4, 1, 2, 3, 4])
    penalties = Penalties(coverage_kind=kind)
    charge = penalties.coverage_charge(covered, (torch.arange(4) < sizes[:, None])[:, None])
    for b, size in enumerate(sizes):
        torch.testing.assert_close(charge[b], penalties.coverage_charge(covered[b, :, :size]))


@pytest.mark.parametrize("kind", COVERAGE_PENALTIES)
@pytest.mark.parametrize("length", LENGTH_PENALTIES)
def test_numpy_and_torch_agree(length, kind):
    covered = torch.rand(5, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2
    log_prob = -covered.sum(-1)
    penalties = Penalties(length, alpha=0.9, coverage=0.7, coverage_kind=kind)
    scores = penalties.score(log_prob, 6, covered)
    np.testing.assert_allclose(penalties.score(log_prob.numpy(), 6, covered.numpy()), scores.numpy(), rtol=1e-12)
    alone = penalties.score(log_prob[2, 1].item(), 6, covered[2, 1].numpy())
    assert alone == pytest.approx(scores[2, 1].item(), rel=1e-12)


@pytest.mark.parametrize(("name", "expected"), [("none", 1.0), ("average", 9**0.5), ("gnmt", (14 / 6) ** 0.5)])
def test_length_penalties_on_paper(name, expected):
    assert float(LENGTH_PENALTIES[name](9, 0.5)) == pytest.approx(expected)
    assert LENGTH_PENALTIES[name](torch.tensor([9]), 0.5).tolist() == pytest.approx([expected])


def test_a_hypothesis_without_tokens_is_not_charged_for_coverage():
    assert Penalties("average", coverage=0.5).score(0.0, 0, np.zeros(3)) == 0.0


def test_settings_offer_all_penalties():
    choices = {field.name: field.metadata["choices"] for field in dataclasses.fields(SearchConfig)}
    assert choices["length_penalty"] == tuple(LENGTH_PENALTIES)
    assert choices["coverage_penalty_kind"] == tuple(COVERAGE_PENALTIES)


def test_settings_take_the_names_without_importing_numpy_or_torch():
    code = "import sys, seq2seq.runtime.penalties; sys.exit(' '.join({'numpy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr.strip() == ""


def test_unknown_names_and_negative_values_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'average'"):
        Penalties("averag")
    with pytest.raises(ConfigError, match=r"coverage_penalty_kind='sumary'.*did you mean 'summary'"):
        Penalties(coverage_kind="sumary")
    with pytest.raises(ConfigError, match="alpha=-1"):
        Penalties(alpha=-1)
    with pytest.raises(ConfigError, match=r"coverage_penalty=-0\.5"):
        Penalties(coverage=-0.5)
