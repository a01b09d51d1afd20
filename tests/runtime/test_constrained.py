"""Beam search with required terms in NumPy; that it finds what torch's does is tested in test_torch_search.py."""

import random

import numpy as np
import pytest
import torch

from seq2seq.errors import ConfigError
from seq2seq.ids import EOS
from seq2seq.runtime.beam import beam_search
from seq2seq.runtime.constrained import TermArrays, constrained_beam_search
from seq2seq.runtime.constraints import Constraints
from seq2seq.runtime.term_tries import TermTries
from seq2seq.runtime.terms import place_terms
from seq2seq.search import constrained as torch_search
from tests.each import each

MODEL = {"copies": False, "levels": 0, "members": 1, "restricted": False}
CHOICES = {"plain": {}, "ties": {"levels": 3}, "copies": {"copies": True}, "shortlist": {"restricted": True}}


def case_of(tiny, name, no_repeat=0, batch=12):
    """A case, and terms of its sentences, of which every third has none."""
    chance = random.Random(1)
    terms = [
        [
            [chance.randint(4, 8) for _ in range(chance.randint(1, 3))]
            for _ in range(chance.randint(1, 3) if b % 3 else 0)
        ]
        for b in range(batch)
    ]

    def constrain(b):
        return Constraints(max_length=sum(map(len, terms[b])) + b % 4 + 2, prefix=(5, 6)[: b % 3], no_repeat=no_repeat)

    return tiny.Case(MODEL | CHOICES[name], constrain, batch=batch), terms


@pytest.mark.parametrize("no_repeat", [0, 1])
@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("name", CHOICES)
def test_terms_are_there_in_any_batch(tiny, name, beam, no_repeat):
    case, terms = case_of(tiny, name, no_repeat)
    options = {"beam": beam, "n_best": beam, "continuing": np.arange(9) == 7, "attention": True}
    together = case.search(constrained_beam_search, terms=terms, **options)
    for found, ids, one in zip(together, terms, case.constraints, strict=True):
        assert all(None not in place_terms(h.tokens, ids, {7}) for h in found)
        assert all(h.tokens[: len(one.prefix)] == [*one.prefix] and len(h.tokens) <= one.max_length for h in found)
    for b in range(0, 12, 5):
        few = case.search(constrained_beam_search, slice(b, b + 5), terms=terms[b : b + 5], **options)
        for one, other in zip(few, together[b : b + 5], strict=True):
            tiny.assert_same(one, other)


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_progress_is_what_place_terms_says(library):
    """After any tokens, for many sentences at once: which terms are there, and how few tokens are missing."""
    chance = np.random.default_rng(2)
    terms = [[chance.integers(4, 7, chance.integers(1, 5)).tolist() for _ in range(b % 5)] for b in range(40)]
    marks, tokens = np.arange(9) == 6, chance.integers(4, 8, (40, 6, 12))
    if library == "numpy":
        table, convert = TermArrays(terms, marks), np.asarray
    else:
        table, convert = torch_search.TermTensors(terms, torch.from_numpy(marks), torch.device("cpu")), torch.as_tensor
    tries = TermTries(terms)
    same, zeros = convert(np.arange(6)[None].repeat(40, 0)), convert(np.zeros((40, 6), np.int64))
    progress = table.start()
    for length in range(13):
        missing, following = table.missing(progress).tolist(), table.next_ids(progress)
        for b, n in np.ndindex(40, 6 if length else 1):
            places = place_terms(tokens[b, n, :length].tolist(), terms[b], {6})
            lacking = sum(len(ids) for ids, place in zip(terms[b], places, strict=True) if place is None)
            pending = int(progress.pending[b, n])
            complete = 0 if pending < 0 else int(tries.depth[pending])
            assert int(progress.absent[b, n]) - complete == lacking
            assert (missing[b][n] == 0) == (None not in places)
        if length == 12:
            break
        # one of the tokens that are offered lowers what is missing by one
        columns = [following[..., column] for column in range(following.shape[2])]
        parents = same if length else zeros
        after = [
            np.asarray(table.missing(table.moves(progress, parents[:, : column.shape[1]], column)))
            for column in columns
        ]
        assert (np.min(after, 0) == np.maximum(np.asarray(missing) - 1, 0)).all()
        progress = table.extend(progress, parents, convert(tokens[..., length]))


def test_without_terms_it_is_the_plain_search(tiny):
    case, _ = case_of(tiny, "plain")
    plain = case.search(beam_search, beam=3)
    for one, other in zip(case.search(constrained_beam_search, terms=[()] * 12, beam=3), plain, strict=True):
        tiny.assert_same(one, other)
    assert constrained_beam_search([tiny.Model()], tiny.sources(0), [], terms=[]) == []


@each("terms", ([[[4, 5, 6]] * 2, []], [[], [[4, EOS]]], [[[]], []], [[]]))
def test_terms_that_cannot_be_there_are_refused(tiny, terms):
    with pytest.raises(ConfigError, match="terms"):
        constrained_beam_search([tiny.Model()], tiny.sources(2), [Constraints(5)] * 2, terms=terms)
