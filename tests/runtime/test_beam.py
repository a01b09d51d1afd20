"""Batched beam search in NumPy against the search for one sentence, for every pair of options, and against torch's."""

import itertools

import numpy as np
import pytest

from seq2seq.errors import ConfigError
from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.runtime import batch_search, shortlist
from seq2seq.runtime.beam import beam_search
from seq2seq.runtime.constraints import Constraints
from seq2seq.runtime.penalties import NO_PENALTIES, Penalties
from tests.pairs import cover, row_id
from tests.search import search_one

BATCH = 5
LENGTHS = {
    "long": lambda b: {"max_length": 9},
    "at least": lambda b: {"max_length": 9, "min_length": 4},
    "exact": lambda b: {"max_length": 5, "min_length": 5},
    "short": lambda b: {"max_length": 2},
    "none": lambda b: {"max_length": 0},
    "of each": lambda b: {"max_length": 3 + 2 * (b % 3), "min_length": b % 4},
}
PREFIXES = {
    "free": lambda b: (),
    "prefix": lambda b: (4, UNK, 4),
    "of each": lambda b: (5, 6, 5)[: b % 4],
}
PENALTIES = {
    "no penalty": NO_PENALTIES,
    "average": Penalties("average"),
    "gnmt": Penalties("gnmt", alpha=0.6),
    "coverage": Penalties("gnmt", alpha=0.6, coverage=0.4),
    "summary": Penalties("average", coverage=0.8, coverage_kind="summary"),
}
AXES = {
    "beam": (1, 2, 5, 12),
    "n_best": ("best", "all"),
    "penalties": PENALTIES,
    "lengths": LENGTHS,
    "prefix": PREFIXES,
    "no_repeat": (0, 1, 2, 3, "of each"),
    "forbidden": ((), (UNK, 5)),
    "levels": (0, 3, 1),
    "copies": (False, True),
    "members": (1, 3),
    "restricted": (False, True),
}
PLAIN = {name: next(iter(choices)) for name, choices in AXES.items()} | {"beam": 4, "n_best": "all"}


def can_be_combined(row):
    return not (row.get("prefix", "free") != "free" and row.get("lengths") in ("short", "none"))


COVER = cover(AXES, can_be_combined)  # every pair of choices


class Case:
    """Models, sources and options, a choice of each of AXES."""

    def __init__(self, tiny, choices, seed=0, batch=BATCH, **more):
        lengths, prefix, no_repeat = LENGTHS[choices["lengths"]], PREFIXES[choices["prefix"]], choices["no_repeat"]

        def constrain(b):
            size = b % 4 if no_repeat == "of each" else no_repeat
            return Constraints(**lengths(b), prefix=prefix(b), no_repeat=size, forbidden=choices["forbidden"])

        self.tiny = tiny.Case(choices, constrain, seed, batch, end=-3.0 if no_repeat else 0.5, **more)
        self.models, self.source = self.tiny.models, self.tiny.source
        beam = choices["beam"]
        n_best = beam if choices["n_best"] == "all" else 1
        self.options = {"beam": beam, "n_best": n_best, "penalties": PENALTIES[choices["penalties"]]}

    def search(self, rows=slice(None), attention=True):
        return self.tiny.search(beam_search, rows, attention=attention, **self.options)

    def search_one(self, b):
        return self.tiny.search_one(search_one.beam_search, b, **self.options)


@pytest.mark.parametrize("choices", COVER, ids=row_id)
def test_equals_the_search_for_one_sentence(tiny, monkeypatch, choices):
    monkeypatch.setattr(shortlist, "MULTIPLE", 3)
    case = Case(tiny, choices)
    found = case.search()
    for b in range(BATCH):
        tiny.assert_same(found[b], case.search_one(b))


@pytest.mark.parametrize("choices", COVER[::3], ids=row_id)
def test_any_batch_gives_the_same(tiny, choices):
    case = Case(tiny, choices, seed=1, batch=12)
    together = case.search()
    fives = [found for start in range(0, 12, 5) for found in case.search(slice(start, start + 5))]
    alone = [case.search(slice(b, b + 1))[0] for b in range(0, 12, 5)]
    for one, other in zip([*fives, *alone], [*together, *together[::5]], strict=True):
        tiny.assert_same(one, other)


def test_finished_sentences_leave_in_groups(tiny, monkeypatch):
    def search_with(share):
        monkeypatch.setattr(batch_search, "MIN_DONE_SHARE", share)
        case = Case(tiny, PLAIN | {"lengths": "of each", "penalties": "coverage", "no_repeat": 3}, batch=40)
        found = case.search()
        return [call[0] for call in case.models[0].decodings[0].calls], found

    (kept, expected), (left, found), (soon, others) = search_with(2.0), search_with(0.25), search_with(0.0)
    assert {*kept} == {40}
    assert sum(soon) <= sum(left) < sum(kept)
    sizes = [*dict.fromkeys(left)]
    assert len(sizes) > 2
    assert all(after <= 0.75 * before for before, after in itertools.pairwise(sizes))
    for one, other, third in zip(found, expected, others, strict=True):
        tiny.assert_same(one, other)
        tiny.assert_same(third, other)


@pytest.mark.parametrize("choice", [{}, {"prefix": "prefix"}, {"members": 3}, {"penalties": "coverage"}], ids=str)
def test_models_are_asked_for_no_more_than_is_needed(tiny, choice):
    case = Case(tiny, PLAIN | choice)
    case.search(attention=False)
    calls = case.models[0].decodings[0].calls
    assert [width for _, width, *_ in calls] == [1, *[4] * (len(calls) - 1)]
    assert {count for _, _, count, *_ in calls} == {1 if "members" in choice else 8}
    prefix = 3 if "prefix" in choice else len(calls) if "members" in choice else 0
    assert [log_probs for *_, log_probs, _ in calls] == [step < prefix for step in range(len(calls))]
    assert {attention for *_, attention in calls} == {"penalties" in choice}


def test_attention_is_returned_only_if_asked_for(tiny):
    case = Case(tiny, PLAIN | {"penalties": "coverage"})
    for asked, plain, source in zip(case.search(), case.search(attention=False), case.source, strict=True):
        assert [h.tokens for h in asked] == [h.tokens for h in plain]
        assert all(h.attention is None for h in plain)
        assert all(h.attention.shape == (len(h.tokens) + h.finished, (source != PAD).sum()) for h in asked)
        assert all(h.attention.sum(1) == pytest.approx(1) for h in asked)


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("members", [1, 2])
def test_without_any_allowed_token_the_hypothesis_ends(tiny, beam, members):
    table = np.full((6, 6), -np.inf)
    options = {"beam": beam, "n_best": beam, "attention": True}
    for (found,) in beam_search([tiny.Table(table)] * members, tiny.sources(3), [Constraints(5)] * 3, **options):
        assert found == ([], 0.0, 0.0, [], False, None)
    table[BOS, 4], table[BOS, 5], table[4, UNK] = -0.5, -1.0, -0.25
    ((found,),) = beam_search([tiny.Table(table)] * members, tiny.sources(1), [Constraints(5)], **options)
    assert (found.tokens, found.finished) == ([4, UNK], False)
    assert found.token_log_probs == pytest.approx([-0.5, -0.25])


def test_hypotheses_that_can_still_win_are_continued(tiny):
    table = np.full((6, 6), -np.inf)
    table[BOS, EOS], table[BOS, 4], table[4, EOS], table[4, 4] = -1.0, -1.5, -0.02, -0.01
    options = {"beam": 9, "penalties": Penalties("average")}
    ((found,),) = beam_search([tiny.Table(table)], tiny.sources(1), [Constraints(4)], **options)
    assert (found.tokens, found.score) == ([4] * 4, pytest.approx((-1.5 - 0.03 - 0.02) / 5))


@pytest.mark.parametrize("members", [1, 2])
def test_a_model_without_probabilities_gives_hypotheses_without(tiny, members):
    models = [tiny.Table(np.full((6, 6), np.nan))] * members
    for (found,) in beam_search(models, tiny.sources(3), [Constraints(5)] * 3, beam=2):
        assert np.isnan(found.log_prob)


def test_empty_batch(tiny):
    assert beam_search([tiny.Model()], tiny.sources(0), []) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"beam": 2, "n_best": 3}, "n_best=3 does not fit beam=2"),
        ({"beam": 0}, "beam=0"),
        ({"constraints": [Constraints(5)]}, "2 sentences with the constraints of 1: each needs its own"),
        (
            {"constraints": [Constraints(7), Constraints(8)]},
            "max_length=8 is too long: with EOS the model",
        ),
        ({"models": []}, "no model is given"),
    ],
)
def test_options_that_cannot_work_are_refused(tiny, options, words):
    model = tiny.Model()
    model.max_target = 8
    inputs = {"models": [model], "source": tiny.sources(2), "constraints": [Constraints(7)] * 2}
    with pytest.raises(ConfigError, match=words):
        beam_search(**(inputs | options))
