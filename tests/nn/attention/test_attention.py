"""Do scorers, windows and normalisers compose as they should, in every combination?"""

import itertools

import numpy as np
import pytest
import torch

from seq2seq.nn.attention.attention import Attention, weigh
from seq2seq.nn.attention.normalizers import NORMALIZERS, entmax, sparsemax
from seq2seq.nn.attention.scorers import SCORERS, Covered, Sizes
from seq2seq.nn.attention.windows import WINDOWS, View, WindowConfig

B, S, T, D = 3, 7, 4, 6
MASK = torch.arange(S) < torch.tensor([7, 3, 5])[:, None]
PRODUCT = [
    (scorer, window, normalizer, coverage)
    for scorer, window, normalizer, coverage in itertools.product(SCORERS, WINDOWS, NORMALIZERS, (False, True))
    if not coverage or "coverage" in SCORERS[scorer].uses
]
STEPS = torch.arange(T).expand(B, T)


class Composed:
    """An attention with weights drawn at random, and what it reads."""

    def __init__(self, scorer, window, normalizer, coverage, dtype=torch.float64):
        torch.manual_seed(5)
        parts = SCORERS[scorer](Sizes(D, D, 5, S + 2)), WINDOWS[window](D, WindowConfig(2))
        self.attention = Attention(*parts, NORMALIZERS[normalizer], coverage).to(dtype)
        self.query, self.states = torch.randn(B, T, D, dtype=dtype), torch.randn(B, S, D, dtype=dtype)
        self.covered = torch.rand(B, T, S, dtype=dtype) * MASK[:, None]

    def __call__(self, query=None, states=None, mask=MASK, step=STEPS, covered=None):
        query, states = self.query if query is None else query, self.states if states is None else states
        covered = self.covered if covered is None else covered
        return self.attention(query, self.attention.remember(states, mask), step, covered)


@pytest.fixture(params=PRODUCT, ids=lambda row: "-".join(map(str, row)))
def composed(request):
    return Composed(*request.param)


def pad(x, more=2):
    return torch.nn.functional.pad(x, (0, more))


@torch.no_grad()
def test_padding_gets_no_weight_and_changes_nothing(composed):
    seen = composed()
    assert not seen.weights.masked_select(~MASK[:, None]).any()
    garbage = composed(states=composed.states + 5 * torch.randn(B, S, D) * ~MASK[..., None])
    wide = torch.nn.functional.pad(composed.states, (0, 0, 0, 2), value=3.0)
    padded = composed(states=wide, mask=pad(MASK), covered=pad(composed.covered))
    for other in (garbage, padded):
        torch.testing.assert_close(other.weights[..., :S], seen.weights)
        torch.testing.assert_close(other.context, seen.context)
    assert not padded.weights[..., S:].any()


@torch.no_grad()
def test_weights_sum_to_one_before_the_gain_and_to_at_most_one_after_it(composed):
    attention, view = composed.attention, composed.attention.window(composed.query, STEPS, MASK)
    before = Covered(composed.covered, attention.direction) if attention.direction is not None else None
    scores = attention.scorer(composed.query, attention.cache(composed.states), before)
    shares = weigh(scores, view._replace(gain=None), attention.normalize)
    torch.testing.assert_close(shares.sum(-1), torch.ones(B, T, dtype=torch.float64))
    assert not shares.masked_select(~view.allowed.expand_as(shares)).any()
    weights = composed().weights
    torch.testing.assert_close(weights, shares if view.gain is None else shares * view.gain)
    if view.gain is not None:
        whole = weigh(scores, view._replace(renormalize=True), attention.normalize)
        torch.testing.assert_close(whole, weights / weights.sum(-1, keepdim=True))
    assert (weights >= 0).all()
    assert (weights.sum(-1) <= 1 + 1e-9).all()
    assert (weights.sum(-1) > 0).all()


@torch.no_grad()
def test_the_context_is_the_weighted_mean_of_the_states(composed):
    seen = composed()
    for b, t in itertools.product(range(B), range(T)):
        torch.testing.assert_close(
            seen.context[b, t], sum(seen.weights[b, t, s] * composed.states[b, s] for s in range(S))
        )


@torch.no_grad()
def test_all_steps_at_once_are_one_by_one(composed):
    """T steps, or W hypotheses, each with its own number and coverage; sentences do not see each other."""
    seen = composed()
    for t in range(T):
        one = composed(
            query=composed.query[:, t : t + 1], step=STEPS[:, t : t + 1], covered=composed.covered[:, t : t + 1]
        )
        torch.testing.assert_close(one.weights, seen.weights[:, t : t + 1])
        torch.testing.assert_close(one.context, seen.context[:, t : t + 1])
    for b in range(B):
        rows = slice(b, b + 1)
        alone = composed(composed.query[rows], composed.states[rows], MASK[rows], STEPS[rows], composed.covered[rows])
        torch.testing.assert_close(alone.weights, seen.weights[rows])


@torch.no_grad()
@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("scorer", SCORERS)
def test_heads_are_a_leading_dimension(scorer, normalizer):
    """Scores and weights of (B, heads, T, S) are those of each head alone."""
    score, normalize = Composed(scorer, "everywhere", normalizer, False).attention.scorer, NORMALIZERS[normalizer]
    query, states = torch.randn(B, 2, T, D).double(), torch.randn(B, 2, S, D).double()
    both = weigh(score(query, score.cache(states)), View(MASK[:, None, None]), normalize)
    for head in range(2):
        alone = weigh(score(query[:, head], score.cache(states[:, head])), View(MASK[:, None]), normalize)
        torch.testing.assert_close(both[:, head], alone)


def test_every_parameter_gets_a_gradient(composed):
    """Where the window leaves one position the scores are free: only there may the gradient be zero."""
    composed.query.requires_grad_()
    composed.states.requires_grad_()
    composed().context.square().sum().backward()
    one = type(composed.attention.window) is WINDOWS["last"]
    given = {"query": composed.query, "states": composed.states}
    for name, weight in [*given.items(), *composed.attention.named_parameters()]:
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert (
            one or weight.grad.any() or (name == "query" and type(composed.attention.scorer) is SCORERS["uniform"])
        ), name


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_stay_float32_in_half_precision(composed, dtype):
    composed = Composed(*read(composed), dtype=torch.float32)
    with torch.autocast("cpu", dtype):
        seen = composed(query=composed.query.to(dtype) * 30, states=composed.states.to(dtype) * 30)
    assert seen.weights.dtype == torch.float32
    assert seen.weights.isfinite().all()
    assert seen.context.isfinite().all()
    assert not seen.weights.masked_select(~MASK[:, None]).any()


def read(composed):
    """The names of the parts of a case."""
    parts = (
        (SCORERS, type(composed.attention.scorer)),
        (WINDOWS, type(composed.attention.window)),
        (NORMALIZERS, composed.attention.normalize),
    )
    return (
        *(next(name for name, row in table.items() if row is part) for table, part in parts),
        composed.attention.direction is not None,
    )


@torch.no_grad()
@pytest.mark.parametrize("scorer", [name for name, kind in SCORERS.items() if "coverage" in kind.uses])
def test_coverage_matters_and_starts_from_nothing(scorer):
    composed = Composed(scorer, "everywhere", "softmax", True)
    plain = Composed(scorer, "everywhere", "softmax", False)
    plain.attention.load_state_dict(composed.attention.state_dict(), strict=False)
    torch.testing.assert_close(
        composed(covered=torch.zeros(B, T, S).double()).weights, plain(composed.query, composed.states).weights
    )
    assert not torch.allclose(composed().weights, plain(composed.query, composed.states).weights)


SPARSE = ("sparsemax", "entmax")


@pytest.mark.parametrize("scale", [0.01, 1, 10, 1000])
@pytest.mark.parametrize("name", SPARSE)
def test_sparse_weights_are_those_that_bisection_finds(name, scale, papers):
    scores = np.random.default_rng(1).normal(size=(20, 8)) * scale
    lengths = np.arange(20) % 8 + 1
    masked = torch.from_numpy(scores).masked_fill(
        torch.arange(8) >= torch.from_numpy(lengths)[:, None], torch.finfo(torch.float64).min
    )
    weights = NORMALIZERS[name](masked)
    for row, full, length in zip(weights, scores, lengths, strict=True):
        np.testing.assert_allclose(row[:length], papers.weights[name](full[:length]), atol=1e-9)
        assert not row[length:].any()


def test_sparsemax_by_hand():
    scores = torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 1.5], [9.0, 0.0, 1.0], [0.5, 0.5, -3.0]])
    torch.testing.assert_close(
        sparsemax(scores), torch.tensor([[1 / 3] * 3, [0.75, 0.0, 0.25], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    )


def test_entmax_by_hand():
    """Of two scores a and 0 the first gets p with 2 (sqrt(p) - sqrt(1 - p)) = a, and all from a = 2 on."""
    p = 0.8
    scores = torch.tensor([[0.0, 0.0], [2 * (p**0.5 - (1 - p) ** 0.5), 0.0], [2.0, 0.0], [7.0, 0.0]])
    torch.testing.assert_close(entmax(scores), torch.tensor([[0.5, 0.5], [p, 1 - p], [1.0, 0.0], [1.0, 0.0]]))


@pytest.mark.parametrize("name", SPARSE)
def test_sparse_weights_have_the_gradient_of_their_formula(name):
    scores = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(NORMALIZERS[name], (scores,))
    masked = scores.detach().masked_fill(torch.arange(6) > 3, torch.finfo(torch.float64).min).requires_grad_()
    NORMALIZERS[name](masked).square().sum().backward()
    assert masked.grad.isfinite().all()
    assert not masked.grad[:, 4:].any()
