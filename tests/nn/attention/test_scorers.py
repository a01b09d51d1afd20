"""Each score equals its paper's formula, pair by pair."""

import numpy as np
import pytest
import torch

from seq2seq.errors import ConfigError
from seq2seq.nn.attention.scorers import SCORERS, Coverage, Product, Sizes

D, HIDDEN, S, T = 4, 3, 6, 5
# (weights, q, h, coverage c of the position of h, direction w) -> score, as the formulas without coverage in
# conftest.py
COVERED = {
    "additive": lambda m, q, h, c, w: (
        m["energy.weight"][0] @ np.tanh(m["query.weight"] @ q + m["keys.weight"] @ h + m["query.bias"] + w * c)
    ),
    "concat": lambda m, q, h, c, w: (
        m["energy.weight"][0] @ np.tanh(m["query.weight"] @ q + m["keys.weight"] @ h + w * c)
    ),
    "concat_identity": lambda m, q, h, c, w: m["energy.weight"][0] @ np.tanh(m["query.weight"] @ q + h + w * c),
    "normed_additive": lambda m, q, h, c, w: (
        m["gain"] * COVERED["additive"](m, q, h, c, w) / np.linalg.norm(m["energy.weight"][0])
    ),
    "scaled_general": lambda m, q, h, c, w: m["gain"] * q @ (m["keys.weight"] @ h + c * w),
    "dot": lambda m, q, h, c, w: q @ (h + c * w),
    "scaled_dot": lambda m, q, h, c, w: q @ (h + c * w) / len(q) ** 0.5,
    "general": lambda m, q, h, c, w: q @ (m["keys.weight"] @ h + c * w),
}
LEADING = [(2,), (2, 3)]  # (B,) and (B, heads)


def build_scorer(name):
    """The scorer in float64, with random weights."""
    torch.manual_seed(3)
    scorer = SCORERS[name](Sizes(D, D, HIDDEN, max_source=S + 2)).double()
    with torch.no_grad():
        for weight in scorer.parameters():
            weight.normal_()
    return scorer


def random_tensor(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def test_every_score_has_a_formula(formulas):
    assert set(formulas.scores) == set(SCORERS)
    assert set(COVERED) == {name for name, scorer in SCORERS.items() if "coverage" in scorer.uses}


@torch.no_grad()
@pytest.mark.parametrize("leading", LEADING, ids=["batch", "heads"])
@pytest.mark.parametrize("name", SCORERS)
def test_score_equals_its_formula(name, leading, formulas):
    scorer = build_scorer(name)
    m = formulas.weights_of(scorer)
    queries, states = random_tensor(*leading, T, D), random_tensor(*leading, S, D)
    scores = scorer(queries, scorer.cache(states))
    assert scores.shape == (*leading, T, S)
    for q, h, found in zip(*(x.flatten(0, -3).numpy() for x in (queries, states, scores)), strict=True):
        expected = [[formulas.scores[name](m, q[t], h[s], s) for s in range(S)] for t in range(T)]
        np.testing.assert_allclose(found, expected, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize("leading", LEADING, ids=["batch", "heads"])
@pytest.mark.parametrize("name", COVERED)
def test_score_with_coverage_equals_its_formula(name, leading, formulas):
    scorer = build_scorer(name)
    m = formulas.weights_of(scorer)
    queries, states = random_tensor(*leading, T, D), random_tensor(*leading, S, D)
    amount, direction = random_tensor(*leading, T, S), random_tensor(scorer.key_size)
    scores, w = scorer(queries, scorer.cache(states), Coverage(amount, direction)), direction.numpy()
    for q, h, c, found in zip(*(x.flatten(0, -3).numpy() for x in (queries, states, amount, scores)), strict=True):
        expected = [[COVERED[name](m, q[t], h[s], c[t, s], w) for s in range(S)] for t in range(T)]
        np.testing.assert_allclose(found, expected, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name, scorer in SCORERS.items() if issubclass(scorer, Product)])
def test_product_is_its_queries_times_its_keys(name):
    scorer, query, states = build_scorer(name), random_tensor(2, T, D), random_tensor(2, S, D)
    cached = scorer.cache(states)
    expected = torch.einsum("btk,bsk->bts", scorer.queries(query), cached["keys"])
    torch.testing.assert_close(scorer(query, cached), expected)


@torch.no_grad()
@pytest.mark.parametrize("name", SCORERS)
def test_score_depends_on_what_reads_names(name):
    """And its keys have the size `key_size`."""
    scorer, query, states = build_scorer(name), random_tensor(2, T, D), random_tensor(2, S, D)
    before = scorer(query, scorer.cache(states))
    changed = {
        "query": scorer(query + random_tensor(D), scorer.cache(states)),
        "keys": scorer(query, scorer.cache(states + random_tensor(S, D))),
    }
    assert scorer.reads == {part for part, scores in changed.items() if not scores.equal(before)}
    assert scorer.cache(states)["keys"].shape == (2, S, scorer.key_size)


def test_sizes_that_differ_are_supported_or_refused():
    assert {name for name, scorer in SCORERS.items() if scorer.equal_sizes} == {
        "dot",
        "scaled_dot",
        "cosine",
        "euclidean",
    }
    for scorer_class in SCORERS.values():
        sizes = Sizes(D, D + 1, HIDDEN, S)
        if scorer_class.equal_sizes:
            with pytest.raises(ConfigError, match=rf"scorer: {scorer_class.__name__} .* {D} and {D + 1}"):
                scorer_class(sizes)
        else:
            scorer = scorer_class(sizes)
            assert scorer(torch.randn(2, T, D), scorer.cache(torch.randn(2, S, D + 1))).shape == (2, T, S)
