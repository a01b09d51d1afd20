"""Batched sampling in NumPy against the search for one sentence, for every pair of options."""

import itertools

import numpy as np
import pytest

from seq2seq.errors import ConfigError
from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.runtime import sampling, shortlist
from seq2seq.runtime.beam import beam_search
from seq2seq.runtime.constraints import Constraints
from seq2seq.runtime.sampling import draw_ids, nucleus, sample
from tests.pairs import cover, row_id
from tests.search import search_one

BATCH = 5
LENGTHS = {
    "long": lambda b: {"max_length": 8},
    "at least": lambda b: {"max_length": 8, "min_length": 3},
    "short": lambda b: {"max_length": 2},
    "none": lambda b: {"max_length": 0},
    "of each": lambda b: {"max_length": 3 + b % 4, "min_length": b % 3},
}
AXES = {
    "samples": (4, 1),
    "temperature": (1.0, 2.5, 0.3),
    "top_k": (0, 3, 1, 50),
    "top_p": (1.0, 0.6, 0.9),
    "lengths": LENGTHS,
    "prefix": ("free", "prefix"),
    "no_repeat": (0, 1, 2),
    "levels": (0, 2),
    "copies": (False, True),
    "members": (1, 2),
    "restricted": (False, True),
}
PLAIN = {name: next(iter(choices)) for name, choices in AXES.items()}


def can_be_combined(row):
    return not (row.get("prefix", "free") != "free" and row.get("lengths") in ("short", "none"))


COVER = cover(AXES, can_be_combined)  # every pair of choices


class Case:
    """Models, sources and options, a choice of each of AXES."""

    def __init__(self, tiny, choices, seed=0, batch=BATCH, **more):
        lengths = LENGTHS[choices["lengths"]]
        prefix = (5, 5, 6) if choices["prefix"] == "prefix" else ()

        def constrain(b):
            return Constraints(**lengths(b), prefix=prefix[: b % 4], no_repeat=choices["no_repeat"])

        self.tiny = tiny.Case(choices, constrain, seed, batch, **more)
        self.models = self.tiny.models
        self.seeds = [(-7) ** (b % 23) + b for b in range(batch)]
        self.options = {name: choices[name] for name in ("samples", "temperature", "top_k", "top_p")}

    def sample(self, rows=slice(None), **more):
        return self.tiny.search(sample, rows, seeds=self.seeds[rows], **({"attention": True} | self.options | more))

    def sample_one(self, b):
        return self.tiny.search_one(search_one.sample, b, seed=self.seeds[b], **self.options)


@pytest.mark.parametrize("choices", COVER, ids=row_id)
def test_equals_the_search_for_one_sentence(tiny, monkeypatch, choices):
    monkeypatch.setattr(shortlist, "MULTIPLE", 3)
    case = Case(tiny, choices)
    found = case.sample()
    for b in range(BATCH):
        tiny.assert_same(found[b], case.sample_one(b))


@pytest.mark.parametrize("choices", COVER[::3], ids=row_id)
def test_any_batch_gives_the_same(tiny, choices):
    case = Case(tiny, choices, seed=1, batch=24)
    together = case.sample()
    sevens = [found for start in range(0, 24, 7) for found in case.sample(slice(start, start + 7))]
    for one, other in zip(sevens, together, strict=True):
        tiny.assert_same(one, other)
    for b in range(0, 24, 9):
        (first,) = case.sample(slice(b, b + 1), samples=1)
        tiny.assert_same(first, together[b][:1])


@pytest.mark.parametrize("choice", [{}, {"top_k": 3}, {"top_k": 3, "prefix": "prefix"}, {"top_p": 0.9}], ids=str)
def test_models_are_asked_for_no_more_than_is_needed(tiny, choice):
    case = Case(tiny, PLAIN | choice)
    case.sample(attention=False)
    calls = case.models[0].decodings[0].calls
    assert [width for _, width, *_ in calls] == [1, *[4] * (len(calls) - 1)]
    assert {count for _, _, count, *_ in calls} == {choice.get("top_k", 1)}
    every = len(calls) if "top_k" not in choice else 3 if "prefix" in choice else 0
    assert [log_probs for *_, log_probs, _ in calls] == [step < every for step in range(len(calls))]
    assert not any(attention for *_, attention in calls)


@pytest.mark.parametrize("option", [{"temperature": 1e-6}, {"top_k": 1}, {"top_p": 1e-9}], ids=str)
def test_low_temperature_top_1_and_tiny_top_p_are_greedy(tiny, option):
    case = Case(tiny, PLAIN | {"samples": 1} | option, batch=20)
    greedy = case.tiny.search(beam_search, beam=1)
    assert [[h.tokens for h in one] for one in case.sample()] == [[h.tokens for h in one] for one in greedy]


@pytest.mark.parametrize("option", [{}, {"top_k": 2}, {"top_p": 0.5}], ids=str)
def test_without_any_allowed_token_the_sample_ends(tiny, option):
    table = np.full((6, 6), -np.inf)
    for tokens in ([], [4], [4, UNK]):
        for last, token in itertools.pairwise([BOS, *tokens]):
            table[last, token] = -0.5
        found = sample([tiny.Table(table)], tiny.sources(2), [Constraints(5)] * 2, seeds=[1, 2], samples=2, **option)
        assert [h[:5] for samples in found for h in samples] == [
            (tokens, -0.5 * len(tokens), -0.5 * len(tokens), [-0.5] * len(tokens), False)
        ] * 4


@pytest.mark.parametrize("top_k", [0, 5])
def test_samples_have_the_distribution_of_the_model(tiny, top_k):
    model, count = tiny.Model(), 20000
    source = tiny.sources(1)
    every, *_ = model.advance(np.array([[BOS]]), np.zeros((1, 1, 5)), source, None)
    shares = np.exp(every[0, 0])
    shares[[PAD, BOS, EOS]] = 0
    shares[np.argsort(-shares, kind="stable")[top_k or 9 :]] = 0
    shares /= shares.sum()
    (drawn,) = sample([model], source, [Constraints(1, 1)], seeds=[0], samples=count, top_k=top_k)
    seen = np.bincount([h.tokens[0] for h in drawn], minlength=9)
    assert not seen[shares == 0].any()
    expected = count * shares[shares > 0]
    assert ((seen[shares > 0] - expected) ** 2 / expected).sum() < 20.5  # 5 degrees of freedom: one in a thousand


@pytest.mark.parametrize("few", [1, 2, 50])
def test_nucleus_on_paper(monkeypatch, few):
    monkeypatch.setattr(sampling, "FEW", few)
    with np.errstate(divide="ignore"):
        logits = np.log([[0.1, 0.4, 0.2, 0.0, 0.2, 0.1], [0.0] * 6])
    for top_p, kept in {0.39: [1], 0.41: [1, 2], 0.75: [1, 2, 4], 1.0: [1, 2, 4, 0, 5]}.items():
        found, ids = nucleus(logits, top_p)
        assert ids[0][found[0] > -np.inf].tolist() == kept
        np.testing.assert_array_equal(found[0, : len(kept)], logits[0, kept])
        assert (found[1] == -np.inf).all()


def test_draw_on_paper():
    with np.errstate(divide="ignore"):
        logits = np.log([[[0.0, 0.5, 0.0, 0.25, 0.25, 0.0]]])
    numbers = {0.0: 1, 0.499: 1, 0.5: 3, 0.749: 3, 0.75: 4, 1 - 2.0**-48: 4}
    assert draw_ids(logits, np.array([[*numbers]])).tolist() == [[*numbers.values()]]
    assert draw_ids(np.full((1, 2, 3), -np.inf), np.array([[0.0, 0.9]])).max() < 3  # some id


def test_empty_batch(tiny):
    assert sample([tiny.Model()], tiny.sources(0), [], seeds=[]) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seeds": [1]}, "1 seed for 2 sentences"),
        ({"temperature": 0.0}, "temperature=0 is too small: at least 1e-06"),
        ({"top_p": 0.0}, "top_p=0 is too small: above 0"),
        ({"samples": 0}, "samples=0"),
    ],
)
def test_options_that_cannot_work_are_refused(tiny, options, words):
    with pytest.raises(ConfigError, match=words):
        sample([tiny.Model()], tiny.sources(2), [Constraints(5)] * 2, **({"seeds": [1, 2]} | options))
