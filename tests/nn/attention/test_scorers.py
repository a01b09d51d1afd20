"""Does each score equal its paper's formula, pair by pair?"""

import numpy as np
import pytest
import torch

from seq2seq.errors import ConfigError
from seq2seq.nn.attention.scorers import SCORERS, Covered, Product, Sizes

D, HIDDEN, S, T = 4, 3, 6, 5
COVERED = {  # (weights, q, h, the coverage of its position, its direction) -> score, as of the papers' formulas in conftest.py
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


def make(name):
    torch.manual_seed(3)
    scorer = SCORERS[name](Sizes(D, D, HIDDEN, max_source=S + 2)).double()
    with torch.no_grad():
        for weight in scorer.parameters():
            weight.normal_()
    return scorer


def numbers(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def test_every_score_has_its_formula(papers):
    assert set(papers.scores) == set(SCORERS)
    assert set(COVERED) == {name for name, scorer in SCORERS.items() if "coverage" in scorer.uses}


@torch.no_grad()
@pytest.mark.parametrize("leading", LEADING, ids=["batch", "heads"])
@pytest.mark.parametrize("name", SCORERS)
def test_a_score_is_its_formula(name, leading, papers):
    scorer = make(name)
    m = papers.of(scorer)
    queries, states = numbers(*leading, T, D), numbers(*leading, S, D)
    scores = scorer(queries, scorer.cache(states))
    assert scores.shape == (*leading, T, S)
    for q, h, row in zip(*(x.flatten(0, -3).numpy() for x in (queries, states, scores)), strict=True):
        np.testing.assert_allclose(
            row, [[papers.scores[name](m, q[t], h[s], s) for s in range(S)] for t in range(T)], atol=1e-10
        )


@torch.no_grad()
@pytest.mark.parametrize("leading", LEADING, ids=["batch", "heads"])
@pytest.mark.parametrize("name", COVERED)
def test_a_score_with_coverage_is_its_formula(name, leading, papers):
    scorer = make(name)
    m = papers.of(scorer)
    queries, states, amount, w = (
        numbers(*leading, T, D),
        numbers(*leading, S, D),
        numbers(*leading, T, S),
        numbers(scorer.key_size),
    )
    scores, along = scorer(queries, scorer.cache(states), Covered(amount, w)), w.numpy()
    for q, h, c, row in zip(*(x.flatten(0, -3).numpy() for x in (queries, states, amount, scores)), strict=True):
        expected = [[COVERED[name](m, q[t], h[s], c[t, s], along) for s in range(S)] for t in range(T)]
        np.testing.assert_allclose(row, expected, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name, scorer in SCORERS.items() if issubclass(scorer, Product)])
def test_a_product_is_its_queries_times_its_keys(name):
    scorer, query, states = make(name), numbers(2, T, D), numbers(2, S, D)
    cached = scorer.cache(states)
    torch.testing.assert_close(
        scorer(query, cached), torch.einsum("btk,bsk->bts", scorer.queries(query), cached["keys"])
    )


@torch.no_grad()
@pytest.mark.parametrize("name", SCORERS)
def test_a_score_reads_what_it_says(name):
    """`reads` is what it depends on; the keys' size is `key_size`."""
    scorer, query, states = make(name), numbers(2, T, D), numbers(2, S, D)
    before = scorer(query, scorer.cache(states))
    moved = {
        "query": scorer(query + numbers(D), scorer.cache(states)),
        "keys": scorer(query, scorer.cache(states + numbers(S, D))),
    }
    assert scorer.reads == {part for part, after in moved.items() if not after.equal(before)}
    assert scorer.cache(states)["keys"].shape == (2, S, scorer.key_size)


def test_sizes_that_differ_are_taken_or_refused_in_words():
    assert {name for name, kind in SCORERS.items() if kind.equal_sizes} == {"dot", "scaled_dot", "cosine", "euclidean"}
    for kind in SCORERS.values():
        sizes = Sizes(D, D + 1, HIDDEN, S)
        if kind.equal_sizes:
            with pytest.raises(ConfigError, match=rf"model\.attention\.scorer .* {D} and {D + 1}"):
                kind(sizes)
        else:
            scorer = kind(sizes)
            assert scorer(torch.randn(2, T, D), scorer.cache(torch.randn(2, S, D + 1))).shape == (2, T, S)
