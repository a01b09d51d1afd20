"""Laws of attention, for every pair of scorer, window, normalizer and coverage."""

import itertools

import pytest
import torch

from seq2seq.nn.attention.attention import Attention, attention_weights
from seq2seq.nn.attention.normalizers import NORMALIZERS
from seq2seq.nn.attention.scorers import SCORERS, Coverage, Sizes
from seq2seq.nn.attention.windows import WINDOWS, View, WindowConfig

B, S, T, D = 3, 7, 4, 6
MASK = torch.arange(S) < torch.tensor([7, 3, 5])[:, None]
PARTS = {"scorer": SCORERS, "window": WINDOWS, "normalizer": NORMALIZERS, "coverage": (False, True)}
STEPS = torch.arange(T).expand(B, T)


class Problem:
    """An attention with random weights, and random inputs for it."""

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


def possible(row):
    """Whether the scorer takes coverage, if there is one."""
    return not row.get("coverage") or "coverage" in SCORERS[row.get("scorer", "additive")].uses


every_part = pytest.mark.pairs(possible, **PARTS)


@pytest.fixture
def problem(scorer, window, normalizer, coverage):
    return Problem(scorer, window, normalizer, coverage)


def pad(x):
    """x (..., S) with two more positions."""
    return torch.nn.functional.pad(x, (0, 2))


@torch.no_grad()
@every_part
def test_padding_gets_no_weight_and_changes_nothing(problem):
    attended = problem()
    assert not attended.weights.masked_select(~MASK[:, None]).any()
    garbage = problem(states=problem.states + 5 * torch.randn(B, S, D) * ~MASK[..., None])
    wide = torch.nn.functional.pad(problem.states, (0, 0, 0, 2), value=3.0)
    padded = problem(states=wide, mask=pad(MASK), covered=pad(problem.covered))
    for other in (garbage, padded):
        torch.testing.assert_close(other.weights[..., :S], attended.weights)
        torch.testing.assert_close(other.context, attended.context)
    assert not padded.weights[..., S:].any()


@torch.no_grad()
@every_part
def test_weights_sum_to_one_before_the_gain_and_to_at_most_one_after_it(problem):
    attention, view = problem.attention, problem.attention.window(problem.query, STEPS, MASK)
    covered = Coverage(problem.covered, attention.direction) if attention.direction is not None else None
    scores = attention.scorer(problem.query, attention.cache(problem.states), covered)
    shares = attention_weights(scores, view._replace(gain=None), attention.normalize)
    torch.testing.assert_close(shares.sum(-1), torch.ones(B, T, dtype=torch.float64))
    assert not shares.masked_select(~view.allowed.expand_as(shares)).any()
    weights = problem().weights
    torch.testing.assert_close(weights, shares if view.gain is None else shares * view.gain)
    if view.gain is not None:
        whole = attention_weights(scores, view._replace(renormalize=True), attention.normalize)
        torch.testing.assert_close(whole, weights / weights.sum(-1, keepdim=True))
    assert (weights >= 0).all()
    assert (weights.sum(-1) <= 1 + 1e-9).all()
    assert (weights.sum(-1) > 0).all()


@torch.no_grad()
@every_part
def test_context_is_the_weighted_sum_of_the_states(problem):
    attended = problem()
    for b, t in itertools.product(range(B), range(T)):
        context = sum(attended.weights[b, t, s] * problem.states[b, s] for s in range(S))
        torch.testing.assert_close(attended.context[b, t], context)


@torch.no_grad()
@every_part
def test_steps_and_sentences_are_independent(problem):
    """T steps, or W hypotheses, each with its own number and coverage, equal single ones; so do sentences."""
    attended = problem()
    for t in range(T):
        step = slice(t, t + 1)
        one = problem(query=problem.query[:, step], step=STEPS[:, step], covered=problem.covered[:, step])
        torch.testing.assert_close(one.weights, attended.weights[:, step])
        torch.testing.assert_close(one.context, attended.context[:, step])
    for b in range(B):
        rows = slice(b, b + 1)
        alone = problem(problem.query[rows], problem.states[rows], MASK[rows], STEPS[rows], problem.covered[rows])
        torch.testing.assert_close(alone.weights, attended.weights[rows])


@torch.no_grad()
@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("scorer", SCORERS)
def test_heads_are_a_leading_dimension(scorer, normalizer):
    """Scores and weights of (B, heads, T, S) are those of each head alone."""
    score, normalize = Problem(scorer, "everywhere", normalizer, False).attention.scorer, NORMALIZERS[normalizer]
    query, states = torch.randn(B, 2, T, D).double(), torch.randn(B, 2, S, D).double()
    both = attention_weights(score(query, score.cache(states)), View(MASK[:, None, None]), normalize)
    for head in range(2):
        alone = attention_weights(score(query[:, head], score.cache(states[:, head])), View(MASK[:, None]), normalize)
        torch.testing.assert_close(both[:, head], alone)


@every_part
def test_every_parameter_gets_a_gradient(problem):
    """It may be zero only where the score has no effect: in a window of one position, and for a query that is not
    read."""
    problem.query.requires_grad_()
    problem.states.requires_grad_()
    problem().context.square().sum().backward()
    uniform = type(problem.attention.scorer) is SCORERS["uniform"]
    inputs = {"query": problem.query, "states": problem.states}
    for name, tensor in [*inputs.items(), *problem.attention.named_parameters()]:
        assert tensor.grad is not None, name
        assert tensor.grad.isfinite().all(), name
        no_effect = problem.attention.window.single or (name == "query" and uniform)
        assert tensor.grad.any() or no_effect, name


@torch.no_grad()
@pytest.mark.pairs(possible, **PARTS, dtype=[torch.bfloat16, torch.float16])
def test_weights_are_float32_under_autocast(scorer, window, normalizer, coverage, dtype):
    problem = Problem(scorer, window, normalizer, coverage, dtype=torch.float32)
    with torch.autocast("cpu", dtype):
        attended = problem(query=problem.query.to(dtype) * 30, states=problem.states.to(dtype) * 30)
    assert attended.weights.dtype == torch.float32
    assert attended.weights.isfinite().all()
    assert attended.context.isfinite().all()
    assert not attended.weights.masked_select(~MASK[:, None]).any()


@torch.no_grad()
@pytest.mark.parametrize("scorer", [name for name, scorer in SCORERS.items() if "coverage" in scorer.uses])
def test_coverage_of_zero_changes_nothing_and_any_other_does(scorer):
    problem = Problem(scorer, "everywhere", "softmax", True)
    plain = Problem(scorer, "everywhere", "softmax", False)
    plain.attention.load_state_dict(problem.attention.state_dict(), strict=False)
    expected = plain(problem.query, problem.states).weights
    torch.testing.assert_close(problem(covered=torch.zeros(B, T, S).double()).weights, expected)
    assert not torch.allclose(problem().weights, expected)
