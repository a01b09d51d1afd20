"""Beam search against a NumPy twin and chains solved on paper, for every option and in any batch."""

import itertools
import math

import pytest
import torch

from seq2seq.errors import ConfigError
from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.nn.ops import devices
from seq2seq.runtime.penalties import LENGTH_PENALTIES, NO_PENALTIES, Penalties
from seq2seq.search import base
from seq2seq.search.beam import beam_search
from seq2seq.search.constraints import ForbiddenTokens, NoRepeat
from seq2seq.search.ensemble import Ensemble
from seq2seq.search.forced import score_targets
from seq2seq.search.sampling import sample
from tests.search import search_one as numpy_search

A, B = 4, 5

OPTIONS = {
    "greedy": {"beam": 1},
    "plain": {"beam": 4, "n_best": 4},
    "ties": {"beam": 5, "n_best": 5, "levels": 3},
    "all tied": {"beam": 3, "n_best": 3, "levels": 1},
    "average": {"beam": 4, "n_best": 3, "penalties": Penalties("average")},
    "gnmt": {"beam": 5, "n_best": 2, "penalties": Penalties("gnmt", alpha=0.6)},
    "coverage": {"beam": 5, "n_best": 5, "penalties": Penalties("gnmt", alpha=0.6, coverage=0.4)},
    "coverage, summary": {
        "beam": 4,
        "n_best": 4,
        "penalties": Penalties("gnmt", alpha=0.9, coverage=0.8, coverage_kind="summary"),
    },
    "coverage, greedy": {"beam": 1, "penalties": Penalties("average", coverage=2.0)},
    "minimum": {"beam": 3, "n_best": 3, "min_length": 4},
    "exact length": {"beam": 3, "n_best": 3, "min_length": 5, "max_length": 5},
    "short": {"beam": 5, "n_best": 5, "max_length": 2, "end": -2.0},
    "nothing": {"beam": 5, "n_best": 5, "max_length": 0, "end": -2.0, "penalties": Penalties("average", coverage=0.3)},
    "no repeat": {"beam": 4, "n_best": 4, "no_repeat": 2, "end": -4.0},
    "no word twice": {"beam": 4, "n_best": 4, "no_repeat": 1, "end": -4.0, "min_length": 8},
    "no trigram": {"beam": 2, "n_best": 2, "no_repeat": 3, "size": 6, "end": -4.0},
    "prefix": {"beam": 3, "n_best": 3, "prefix": [A, UNK, A], "min_length": 2, "no_repeat": 1},
    "forbidden": {"beam": 3, "n_best": 3, "forbidden": [UNK, B]},
    "copies": {"beam": 4, "n_best": 4, "copies": True, "no_repeat": 2},
    "ensemble": {"beam": 4, "n_best": 4, "models": 3, "penalties": Penalties("average", coverage=0.2)},
    "wide": {"beam": 12, "n_best": 12, "size": 6, "levels": 4},
}


class Case:
    """The models, sources and options of one entry of OPTIONS."""

    def __init__(self, fakes, name, batch):
        self.options = {"max_length": 9} | OPTIONS[name]
        count, size = self.options.pop("models", 1), self.options.pop("size", 9)
        model = {"end": 0.5, "levels": 10007, "copies": False}
        model = {key: self.options.pop(key, default) for key, default in model.items()}
        self.fakes, self.source = fakes, fakes.sources(batch)
        self.models = [fakes.Hashed(size, seed=i, **model) for i in range(count)]

    def search(self, rows=slice(None), **more):
        options = {"attention": True} | self.options | more
        constraints = [ForbiddenTokens(*options.pop("forbidden", ()))]
        if no_repeat := options.pop("no_repeat", 0):
            constraints.append(NoRepeat(no_repeat))
        prefix = options.pop("prefix", None)
        source = self.source[rows]
        memories = [model.encode(source) for model in self.models]
        prefixes = [prefix] * len(source) if prefix else None
        return beam_search(self.models, memories, constraints=constraints, prefix=prefixes, **options)

    def numpy_search(self, row):
        options = {"n_best": 1} | self.options
        beam, n_best = options.pop("beam"), options.pop("n_best")
        penalties = options.pop("penalties", NO_PENALTIES)
        steps, states = zip(
            *(self.fakes.step_function(m, m.encode(self.source[row : row + 1])) for m in self.models), strict=True
        )
        constraints = numpy_search.Constraints(**options)
        return numpy_search.beam_search(steps, states, constraints, beam=beam, n_best=n_best, penalties=penalties)


def assert_same(found, expected, tolerance=1e-9):
    assert [h.tokens for h in found] == [h.tokens for h in expected]
    assert [h.finished for h in found] == [h.finished for h in expected]
    for one, other in zip(found, expected, strict=True):
        assert (one.score, one.log_prob) == pytest.approx((other.score, other.log_prob), abs=tolerance)
        assert one.token_log_probs == pytest.approx(other.token_log_probs, abs=tolerance)
        if one.attention is not None and other.attention is not None:
            torch.testing.assert_close(one.attention, torch.as_tensor(other.attention), atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", OPTIONS)
def test_equals_numpy_search(fakes, name):
    case = Case(fakes, name, 6)
    for row, found in enumerate(case.search()):
        assert_same(found, case.numpy_search(row))


@pytest.mark.parametrize("name", OPTIONS)
def test_any_batch_gives_the_same(fakes, name):
    case = Case(fakes, name, 10)
    together = case.search()
    sevens = [hypotheses for start in (0, 7) for hypotheses in case.search(slice(start, start + 7))]
    alone = [case.search(slice(row, row + 1))[0] for row in (0, 9)]
    for one, other in zip([*sevens, *alone], [*together, *together[::9]], strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("name", OPTIONS)
def test_score_equals_forced_decoding(fakes, name):
    case = Case(fakes, name, 5)
    for row, hypotheses in enumerate(case.search()):
        memories = [model.encode(case.source[row : row + 1].expand(len(hypotheses), -1)) for model in case.models]
        forced = score_targets(case.models, memories, [h.tokens for h in hypotheses], attention=True)
        for found, expected in zip(hypotheses, forced, strict=True):
            steps = len(found.tokens) + found.finished
            assert found.token_log_probs == pytest.approx(expected.token_log_probs[:steps])
            assert found.log_prob == pytest.approx(sum(expected.token_log_probs[:steps]))
            torch.testing.assert_close(found.attention, expected.attention[:steps])


@pytest.mark.parametrize("name", OPTIONS)
def test_hypotheses_meet_the_constraints(fakes, name):
    case = Case(fakes, name, 20)
    options = case.options
    for hypotheses in case.search():
        assert 1 <= len(hypotheses) <= options.get("n_best", 1)
        assert len({tuple(h.tokens) for h in hypotheses}) == len(hypotheses)
        assert [(not h.finished, -h.score) for h in hypotheses] == sorted(
            (not h.finished, -h.score) for h in hypotheses
        )
        for h in hypotheses:
            assert not {PAD, BOS, EOS, *options.get("forbidden", ())} & set(h.tokens)
            assert len(h.tokens) <= options["max_length"]
            assert not h.finished or len(h.tokens) >= options.get("min_length", 0)
            prefix, n = options.get("prefix", []), options.get("no_repeat", 0)
            assert h.tokens[: len(prefix)] == prefix
            ngrams = (
                [tuple(h.tokens[i : i + n]) for i in range(len(h.tokens) - n + 1) if i + n > len(prefix)] if n else []
            )
            assert len(set(ngrams)) == len(ngrams)


@pytest.mark.parametrize("length", LENGTH_PENALTIES)
def test_huge_beam_is_exhaustive(fakes, length):
    penalties, longest, vocabulary = Penalties(length, alpha=0.8), 3, 7
    model, source = fakes.Hashed(vocabulary), fakes.sources(3)
    found = beam_search([model], [model.encode(source)], beam=400, n_best=400, max_length=longest, penalties=penalties)
    words = [UNK, *range(4, vocabulary)]
    every = [list(tokens) for size in range(longest + 1) for tokens in itertools.product(words, repeat=size)]
    for row, hypotheses in enumerate(found):
        memory = model.encode(source[row : row + 1].expand(len(every), -1))
        scores = {
            tuple(h.tokens): h.log_prob / LENGTH_PENALTIES[length](len(h.tokens) + 1, 0.8)
            for h in score_targets([model], [memory], every)
        }
        assert all(h.finished for h in hypotheses)
        assert [tuple(h.tokens) for h in hypotheses] == sorted(scores, key=lambda tokens: -scores[tokens])


def chain(fakes):
    """BOS is followed by A (0.7) or B (0.3); A by EOS (0.3), A (0.3) or B (0.4); B by EOS (0.9) or A (0.1)."""
    table = torch.zeros(6, 6)
    table[BOS, A], table[BOS, B] = 0.7, 0.3
    table[A, EOS], table[A, A], table[A, B] = 0.3, 0.3, 0.4
    table[B, EOS], table[B, A] = 0.9, 0.1
    return fakes.Markov(table)


def test_markov_chain_solved_on_paper(fakes):
    model, source = chain(fakes), fakes.sources(2)
    memory = model.encode(source)
    for (greedy,) in beam_search([model], [memory], beam=1, max_length=9):
        assert greedy.tokens == [A, B]
        assert greedy.log_prob == pytest.approx(math.log(0.7 * 0.4 * 0.9))
    for best in beam_search([model], [memory], beam=6, n_best=4, max_length=9):
        assert [h.tokens for h in best] == [[B], [A, B], [A], [A, A, B]]
        assert [math.exp(h.log_prob) for h in best] == pytest.approx([0.27, 0.252, 0.21, 0.0756])
        assert best[1].token_log_probs == pytest.approx([math.log(p) for p in (0.7, 0.4, 0.9)])
    for (mean,) in beam_search([model], [memory], beam=6, max_length=9, penalties=Penalties("average")):
        assert mean.tokens == [A, B]
        assert mean.score == pytest.approx(math.log(0.252) / 3)


@pytest.mark.parametrize("limit", [2, 5])
def test_search_continues_while_a_live_hypothesis_can_still_win(fakes, limit):
    table, idle = torch.zeros(7, 7), 6
    table[BOS, EOS], table[BOS, A], table[BOS, idle] = 0.6, 0.3, 0.1
    table[A, B] = table[B, EOS] = table[idle, idle] = 1.0
    model = fakes.Markov(table)
    memory = model.encode(fakes.sources(1))
    ((found,),) = beam_search([model], [memory], beam=2, max_length=limit, penalties=Penalties("average"))
    # log(0.3) / 3 is above log(0.6), which ended before; log(0.3) and log(0.3) / 2, without EOS, are not
    assert found.tokens == [A, B]
    assert found.score == pytest.approx(math.log(0.3) / 3)


def test_impossible_continuations_end_unfinished(fakes):
    model = fakes.Markov(torch.eye(6).roll(1, 1))  # BOS 2 -> EOS 3, and UNK 1 -> BOS 2, which is never produced
    memory = model.encode(fakes.sources(2))
    for (found,) in beam_search([model], [memory], beam=3, max_length=5, min_length=1):
        assert found.tokens == []
        assert not found.finished
        assert found.log_prob == 0


def test_ensemble_takes_the_mean_of_probabilities(fakes):
    models, source = [fakes.Hashed(6, seed) for seed in range(2)], fakes.sources(4)
    memories = [model.encode(source) for model in models]
    first = torch.full((4, 1), BOS)
    each = [Ensemble([m], [k], 1).step(first, False)[0].exp() for m, k in zip(models, memories, strict=True)]
    both = Ensemble(models, memories, 1).step(first, False)[0].exp()
    torch.testing.assert_close(both, (each[0] + each[1]) / 2)


def test_ensemble_of_a_model_with_itself_is_the_model(fakes):
    model, source = fakes.Hashed(9), fakes.sources(8)
    one, two = ([model] * n for n in (1, 2))
    options = {"beam": 4, "n_best": 4, "max_length": 9, "attention": True}
    for found, expected in zip(
        *(beam_search(m, [model.encode(source)] * len(m), **options) for m in (one, two)), strict=True
    ):
        assert_same(found, expected)


def test_limits_of_each_sentence(fakes):
    model, source = fakes.Hashed(9, end=3.0), fakes.sources(12)
    least, most = torch.arange(12) % 3, torch.arange(12) % 5 + 2
    prefix = [[A] * (i // 3 % 2) for i in range(12)]
    options = {"beam": 3, "n_best": 3}
    memory = model.encode(source)
    found = beam_search([model], [memory], min_length=least, max_length=most.tolist(), prefix=prefix, **options)
    for i in range(12):
        alone = {"min_length": int(least[i]), "max_length": int(most[i]), "prefix": prefix[i : i + 1]}
        assert_same(found[i], beam_search([model], [memory.select(torch.tensor([i]))], **alone, **options)[0])
        assert all(least[i] <= len(h.tokens) <= most[i] and h.tokens[: len(prefix[i])] == prefix[i] for h in found[i])


def test_finished_sentences_leave_in_groups(fakes, monkeypatch):
    def batches(share):
        monkeypatch.setattr(base, "MIN_DONE_SHARE", share)
        model = fakes.Hashed(9, end=1.0)
        found = beam_search([model], [model.encode(fakes.sources(40))], beam=3, max_length=30)
        return model, found

    (kept, expected), (left, found), (soon, _) = batches(1.0), batches(0.25), batches(0.0)
    assert set(kept.batches) == {40}
    assert sum(soon.rows) <= sum(left.rows) < sum(kept.rows)
    sizes = [*dict.fromkeys(left.batches)]
    assert len(sizes) > 2
    assert all(after <= 0.75 * before for before, after in itertools.pairwise(sizes))
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("every", [2, 3, 100])
@pytest.mark.parametrize("name", ["plain", "coverage", "short", "no word twice"])
def test_checking_rarely_for_finished_sentences_changes_nothing(fakes, monkeypatch, name, every):
    case = Case(fakes, name, 20)
    expected = case.search()
    monkeypatch.setattr(base, "CHECK_EVERY", every)
    monkeypatch.setattr(devices, "asynchronous", lambda x: True)
    for one, other in zip(case.search(), expected, strict=True):
        assert_same(one, other)


def test_attention_is_returned_only_if_asked_for(fakes):
    case = Case(fakes, "coverage", 5)
    for asked, plain, source in zip(case.search(), case.search(attention=False), case.source, strict=True):
        assert [h.tokens for h in asked] == [h.tokens for h in plain]
        assert all(h.attention is None for h in plain)
        assert all(h.attention.shape == (len(h.tokens) + h.finished, int((source != PAD).sum())) for h in asked)


def test_float32_and_half(fakes):
    for dtype in (torch.float32, torch.bfloat16):
        model = fakes.Hashed(9, dtype=dtype)
        found = beam_search([model], [model.encode(fakes.sources(5))], beam=3, max_length=6)
        assert len(found) == 5


def test_empty_batch(fakes):
    model = fakes.Hashed(9)
    assert beam_search([model], [model.encode(fakes.sources(1)[:0])], max_length=3) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"beam": 2, "n_best": 3}, "n_best=3 does not fit beam=2"),
        ({"min_length": [0, 9]}, "sentence 1 cannot have min_length=9 and max_length=5"),
        ({"max_length": -1}, "max_length=-1"),
        ({"prefix": [[], [EOS]]}, r"prefix=\[3\] of sentence 1 holds PAD, BOS or EOS"),
        ({"prefix": [[A] * 6, []]}, "of sentence 0 is longer than max_length=5"),
    ],
)
def test_options_that_cannot_work_are_refused(fakes, options, words):
    model = fakes.Hashed(9)
    with pytest.raises(ConfigError, match=words):
        beam_search([model], [model.encode(fakes.sources(2))], **({"max_length": 5} | options))


def test_parts_refuse_what_cannot_work(fakes):
    with pytest.raises(ConfigError, match="no_repeat=0"):
        NoRepeat(0)
    model = fakes.Hashed(9)
    model.max_target = 5
    with pytest.raises(ConfigError, match="max_length=5 is too long: with EOS the model can take 5 steps"):
        beam_search([model], [model.encode(fakes.sources(2))], max_length=5)


@pytest.mark.parametrize("options", [{"beam": 1000}, {"samples": 1000, "seeds": [1, 2]}])
def test_search_that_exceeds_the_memory_is_refused(fakes, options, monkeypatch):
    model = fakes.Hashed(9)
    search = sample if "samples" in options else beam_search
    monkeypatch.setattr(base, "SMALL", 0)
    monkeypatch.setattr(base.devices, "free_memory", lambda device: 10_000)
    with pytest.raises(ConfigError, match="1000 hypotheses for each of 2 sentences and a vocabulary of 9 takes"):
        search([model], [model.encode(fakes.sources(2))], max_length=5, **options)
    monkeypatch.setattr(base.devices, "free_memory", lambda device: 10_000_000)
    assert len(search([model], [model.encode(fakes.sources(2))], max_length=1, **options)) == 2
