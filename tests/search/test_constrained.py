"""Beam search with required terms: they are there, nothing else changes, and a wide beam finds the best such output."""

import itertools
import random

import pytest
import torch

from seq2seq.errors import ConfigError
from seq2seq.ids import EOS, UNK
from seq2seq.runtime.penalties import Penalties
from seq2seq.runtime.terms import place_terms
from seq2seq.search.beam import beam_search
from seq2seq.search.constrained import allocate, constrained_beam_search
from seq2seq.search.constraints import ForbiddenTokens, NoRepeat
from seq2seq.search.forced import score_targets
from seq2seq.search.shortlist import Shortlist
from tests.each import each

SIZE = 9
WORDS = [UNK, *range(4, SIZE)]
OPTIONS = {
    "greedy": {"beam": 1},
    "plain": {"beam": 4, "n_best": 4},
    "ties": {"beam": 5, "n_best": 5, "levels": 3},
    "early end": {"beam": 3, "n_best": 3, "end": 9.0},
    "no room": {"beam": 4, "n_best": 4, "room": 0},
    "little room": {"beam": 4, "n_best": 4, "room": 1},
    "coverage": {"beam": 5, "n_best": 5, "penalties": Penalties("gnmt", alpha=0.6, coverage=0.4)},
    "prefix": {"beam": 3, "n_best": 3, "prefix": [4, UNK, 4], "min_length": 5},
    "no word twice": {"beam": 4, "n_best": 4, "no_repeat": 1},
    "forbidden": {"beam": 3, "n_best": 3, "forbidden": WORDS[3:]},
    "words": {"beam": 4, "n_best": 4, "continuing": [6, 7, 8]},
    "copies": {"beam": 4, "n_best": 4, "copies": True},
    "ensemble": {"beam": 4, "n_best": 4, "models": 3},
}


def some_terms(count, seed, most=3, words=WORDS):
    """Up to `most` terms for each of so many sentences, every third of which has none."""
    chance = random.Random(seed)
    return [
        [chance.choices(words, k=chance.randint(1, 3)) for _ in range(chance.randint(1, most) if b % 3 else 0)]
        for b in range(count)
    ]


class Case:
    """The models, sources, terms and options of one entry of OPTIONS."""

    def __init__(self, fakes, name, batch=12, seed=0):
        self.options = {"room": 6} | OPTIONS[name]
        count, room = self.options.pop("models", 1), self.options.pop("room")
        model = {"end": 0.5, "levels": 10007, "copies": False}
        model = {key: self.options.pop(key, default) for key, default in model.items()}
        self.source, self.terms = fakes.sources(batch, seed), some_terms(batch, seed)
        self.models = [fakes.Hashed(SIZE, seed=seed + i, **model) for i in range(count)]
        self.prefix, self.continuing = self.options.pop("prefix", []), self.options.pop("continuing", [])
        self.constraints = [ForbiddenTokens(*self.options.pop("forbidden", ()))]
        if no_repeat := self.options.pop("no_repeat", 0):
            self.constraints.append(NoRepeat(no_repeat))
        self.longest = torch.tensor([len(self.prefix) + sum(map(len, terms)) + room for terms in self.terms])

    def search(self, rows=slice(None), search=constrained_beam_search, **more):
        source = self.source[rows]
        if search is constrained_beam_search:
            marks = torch.tensor([i in self.continuing for i in range(SIZE)])
            more = {"terms": self.terms[rows], "continuing": marks} | more
        memories = [model.encode(source) for model in self.models]
        options = {"max_length": self.longest[rows], "constraints": self.constraints} | self.options | more
        return search(self.models, memories, prefix=[self.prefix] * len(source), **options)


def values(found):
    return [(h.tokens, h.finished, h.score, h.log_prob, h.token_log_probs) for h in found]


@pytest.mark.parametrize("name", OPTIONS)
def test_every_hypothesis_holds_its_terms(fakes, name):
    ended = 0
    for seed in range(4):
        case = Case(fakes, name, seed=seed)
        for terms, most, found in zip(case.terms, case.longest.tolist(), case.search(), strict=True):
            assert 1 <= len(found) <= case.options.get("n_best", 1)
            assert len({tuple(h.tokens) for h in found}) == len(found)
            ended += sum(h.finished for h in found)
            for h in found:
                assert None not in place_terms(h.tokens, terms, case.continuing)
                assert h.tokens[: len(case.prefix)] == case.prefix
                assert case.options.get("min_length", 0) <= len(h.tokens) <= most
    assert ended > 20


@pytest.mark.parametrize("name", OPTIONS)
def test_sentences_without_terms_are_searched_as_without_any(fakes, name):
    case = Case(fakes, name)
    plain, found = case.search(search=beam_search, attention=True), case.search(attention=True)
    without = [b for b, terms in enumerate(case.terms) if not terms]
    assert len(without) == 4
    for b in without:
        assert values(found[b]) == values(plain[b])
        assert all(torch.equal(one.attention, other.attention) for one, other in zip(found[b], plain[b], strict=True))
    nothing = case.search(terms=[[]] * len(plain))
    assert [values(one) for one in nothing] == [values(one) for one in plain]


@pytest.mark.parametrize("name", OPTIONS)
def test_any_batch_gives_the_same(fakes, name):
    case = Case(fakes, name)
    together = case.search()
    fives = [found for start in range(0, 12, 5) for found in case.search(slice(start, start + 5))]
    alone = [case.search(slice(b, b + 1))[0] for b in range(12)]
    assert [values(one) for one in fives] == [values(one) for one in together]
    assert [values(one) for one in alone] == [values(one) for one in together]


@pytest.mark.parametrize("name", OPTIONS)
def test_score_equals_forced_decoding(fakes, name):
    case = Case(fakes, name, 6)
    for b, found in enumerate(case.search()):
        memories = [model.encode(case.source[b : b + 1].expand(len(found), -1)) for model in case.models]
        for h, expected in zip(found, score_targets(case.models, memories, [h.tokens for h in found]), strict=True):
            assert h.token_log_probs == pytest.approx(expected.token_log_probs[: len(h.tokens) + h.finished])


TERMS = {
    "one": [[4, 5]],
    "two": [[4], [6, 5]],
    "the same twice": [[4], [4]],
    "overlapping": [[4, 5], [5, 6]],
    "one within the other": [[4], [4, 5]],
    "repeating itself": [[4, 4, 5]],
}


@pytest.mark.parametrize("continuing", [(), (5,)], ids=["", "words"])
@pytest.mark.parametrize("terms", TERMS.values(), ids=TERMS)
def test_huge_beam_is_exhaustive(fakes, terms, continuing):
    model, source, words = fakes.Hashed(7), fakes.sources(2), [UNK, 4, 5, 6]
    marks = torch.tensor([i in continuing for i in range(7)])
    found = constrained_beam_search(
        [model], [model.encode(source)], terms=[terms] * 2, continuing=marks, beam=400, n_best=400, max_length=4
    )
    every = [list(tokens) for size in range(5) for tokens in itertools.product(words, repeat=size)]
    every = [tokens for tokens in every if None not in place_terms(tokens, terms, continuing)]
    for row, hypotheses in enumerate(found):
        memory = model.encode(source[row : row + 1].expand(len(every), -1))
        scores = {tuple(h.tokens): h.log_prob for h in score_targets([model], [memory], every)}
        assert all(h.finished for h in hypotheses)
        assert [tuple(h.tokens) for h in hypotheses] == sorted(scores, key=lambda tokens: -scores[tokens])


def test_many_terms_and_a_long_one(fakes):
    """Arrays of terms by the longest of them, for every candidate, would be of gigabytes."""
    size, chance = 500, random.Random(3)
    terms = [chance.choices(range(4, size), k=2) for _ in range(150)] + [chance.choices(range(4, size), k=300)]
    model, source = fakes.Hashed(size), fakes.sources(8)
    found = constrained_beam_search(
        [model], [model.encode(source)], terms=[terms] * 8, beam=4, n_best=1, max_length=605
    )
    assert all(None not in place_terms(hypotheses[0].tokens, terms) for hypotheses in found)


def test_terms_are_there_with_a_shortlist(fakes):
    size = 40
    model, source = fakes.Reducible(size), fakes.sources(8)
    terms = some_terms(8, 3, words=range(4, size))
    given = [[i for ids in each for i in ids] for each in terms]
    candidates = Shortlist(torch.arange(60)[:, None] % size, size).candidates(source, source.clamp(max=3), given)

    def search(models, memories, **given):
        return constrained_beam_search(models, memories, beam=4, n_best=4, max_length=14, **given)

    marks = torch.arange(size) % 7 == 0
    found = candidates.search(search, [model], [model.encode(source)], [[]] * 8, terms, marks)
    continuing = marks.nonzero().flatten().tolist()
    for hypotheses, each_terms in zip(found, terms, strict=True):
        assert all(None not in place_terms(h.tokens, each_terms, continuing) for h in hypotheses)


def test_beam_is_divided_between_the_banks():
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.6, 0.5, 0.4, -torch.inf], [0.1, 0.3, 0.3, 0.2, 0.5, 0.4, 0.0]])
    banks = torch.tensor([[2, 2, 2, 1, 1, 0, 0], [0] * 7])
    assert allocate(scores, banks, 6, last=3).tolist() == [[5, 3, 0, 4, 1, 2], [4, 5, 1, 2, 3, 0]]
    assert allocate(scores, banks, 2, last=9).tolist() == [[5, 3], [4, 5]]


def test_empty_batch(fakes):
    model = fakes.Hashed(9)
    assert constrained_beam_search([model], [model.encode(fakes.sources(1)[:0])], terms=[], max_length=3) == []


WRONG = {
    r"terms=\[\[4, 5, 6\], \[4, 5, 6\]\] of sentence 1 have 6 tokens, and max_length leaves 5 for them": [
        [[4]],
        [[4, 5, 6]] * 2,
    ],
    r"terms=\[\[4, 3\]\] of sentence 0 hold an empty one, or PAD, BOS or EOS": [[[4, EOS]], []],
    r"terms=\[\[\]\] of sentence 1 hold an empty one": [[], [[]]],
    "2 sentences with the terms of 1: each needs its own": [[[4]]],
}


@each("words", WRONG)
def test_terms_that_cannot_be_there_are_refused(fakes, words):
    model = fakes.Hashed(9)
    with pytest.raises(ConfigError, match=words):
        constrained_beam_search([model], [model.encode(fakes.sources(2))], terms=WRONG[words], max_length=5)
