"""Sampling: the distribution of samples, a NumPy twin, and the same samples in any batch."""

from collections import Counter

import numpy as np
import pytest
import torch

from seq2seq.errors import ConfigError
from seq2seq.ids import BOS, EOS, PAD
from seq2seq.search.beam import beam_search
from seq2seq.search.constraints import NoRepeat
from seq2seq.search.forced import score_targets
from seq2seq.search.sampling import draw_tokens, sample, truncate_distribution, uniform_numbers
from tests.search import search_one as numpy_search

OPTIONS = {
    "plain": {},
    "hot": {"temperature": 2.5, "min_length": 3},
    "top k": {"top_k": 3},
    "top p": {"top_p": 0.6},
    "both": {"top_k": 4, "top_p": 0.8, "temperature": 1.5, "no_repeat": 2},
    "short": {"max_length": 2},
    "nothing": {"max_length": 0},
    "prefix": {"prefix": [5, 5, 6], "top_k": 2},
    "ties": {"top_k": 2, "top_p": 0.7, "levels": 2},
    "copies": {"copies": True, "top_p": 0.9},
}


class Case:
    """A model and the options of one entry of OPTIONS."""

    def __init__(self, fakes, name, batch, samples=4):
        options = {"max_length": 8, "levels": 10007, "copies": False, "no_repeat": 0, "prefix": []} | OPTIONS[name]
        self.model = fakes.Hashed(9, levels=options.pop("levels"), copies=options.pop("copies"), end=0.5)
        self.no_repeat, self.prefix = options.pop("no_repeat"), options.pop("prefix")
        self.fakes, self.options, self.source = fakes, options | {"samples": samples}, fakes.sources(batch)
        self.seeds = [(-7) ** (row % 23) + row for row in range(batch)]

    def sample(self, rows=slice(None), **more):
        source, seeds = self.source[rows], self.seeds[rows]
        constraints = [NoRepeat(self.no_repeat)] if self.no_repeat else []
        options = (
            self.options | {"constraints": constraints, "prefix": [self.prefix] * len(source), "attention": True} | more
        )
        return sample([self.model], [self.model.encode(source)], seeds=seeds, **options)

    def numpy_search(self, row):
        options = dict(self.options)
        limits = {key: options.pop(key) for key in ("max_length", "min_length") if key in options}
        step, state = self.fakes.step_function(self.model, self.model.encode(self.source[row : row + 1]))
        limits |= {"no_repeat": self.no_repeat, "prefix": self.prefix}
        constraints = numpy_search.Constraints(**limits)
        return numpy_search.sample([step], [state], constraints, seed=self.seeds[row], **options)


def assert_same(found, expected):
    assert [(h.tokens, h.finished) for h in found] == [(h.tokens, h.finished) for h in expected]
    for one, other in zip(found, expected, strict=True):
        assert (one.score, *one.token_log_probs) == pytest.approx((other.score, *other.token_log_probs))
        if one.attention is not None and other.attention is not None:
            torch.testing.assert_close(one.attention, torch.as_tensor(other.attention))


@pytest.mark.parametrize("name", OPTIONS)
def test_equals_numpy_search(fakes, name):
    case = Case(fakes, name, 6)
    for row, found in enumerate(case.sample()):
        assert_same(found, case.numpy_search(row))


@pytest.mark.parametrize("name", OPTIONS)
def test_any_batch_gives_the_same(fakes, name):
    case = Case(fakes, name, 30)
    together = case.sample()
    sevens = [samples for start in range(0, 30, 7) for samples in case.sample(slice(start, start + 7))]
    alone = [case.sample(slice(row, row + 1), samples=2)[0] for row in range(0, 30, 9)]
    for one, other in zip(sevens, together, strict=True):
        assert_same(one, other)
    for one, other in zip(alone, together[::9], strict=True):
        assert_same(one, other[:2])


@pytest.mark.parametrize("name", OPTIONS)
def test_score_equals_forced_decoding(fakes, name):
    case = Case(fakes, name, 4)
    for row, samples in enumerate(case.sample()):
        memory = case.model.encode(case.source[row : row + 1].expand(len(samples), -1))
        forced = score_targets([case.model], [memory], [h.tokens for h in samples])
        for found, expected in zip(samples, forced, strict=True):
            steps = len(found.tokens) + found.finished
            assert found.token_log_probs == pytest.approx(expected.token_log_probs[:steps])
            assert found.score == found.log_prob == pytest.approx(sum(expected.token_log_probs[:steps]))


@pytest.mark.parametrize("name", OPTIONS)
def test_samples_meet_the_constraints(fakes, name):
    case = Case(fakes, name, 10)
    for samples in case.sample():
        assert len(samples) == 4
        for h in samples:
            assert not {PAD, BOS, EOS} & set(h.tokens)
            assert h.tokens[: len(case.prefix)] == case.prefix
            assert case.options.get("min_length", 0) <= len(h.tokens) <= case.options["max_length"]


def test_samples_have_the_distribution_of_the_model(fakes):
    table = torch.zeros(7, 7)
    table[BOS, 4:] = torch.tensor([0.5, 0.3, 0.2])
    table[4, EOS] = table[5, EOS] = 1.0
    table[6, 4], table[6, 5], table[6, EOS] = 0.25, 0.25, 0.5
    model, count = fakes.Markov(table), 20000
    (drawn,) = sample([model], [model.encode(fakes.sources(1))], seeds=[0], samples=count, max_length=5)
    expected = {(4,): 0.5, (5,): 0.3, (6,): 0.1, (6, 4): 0.05, (6, 5): 0.05}
    seen = Counter(tuple(h.tokens) for h in drawn)
    assert set(seen) == set(expected)
    chi_square = sum((seen[k] - count * p) ** 2 / (count * p) for k, p in expected.items())
    assert chi_square < 18.5  # 4 degrees of freedom: one in a thousand is above


def test_numbers_are_uniform_and_independent():
    seeds = torch.arange(-50, 50)
    numbers = torch.stack([uniform_numbers(seeds, step, 20) for step in range(50)])  # (50, 100, 20)
    assert 0 <= numbers.min() < 1e-3
    assert 1 - 1e-3 < numbers.max() < 1
    counts = torch.histc(numbers.float(), 20, 0, 1)
    assert ((counts - 5000) ** 2 / 5000).sum() < 43.8  # 19 degrees of freedom, one in a thousand
    for axis in range(3):
        pairs = torch.stack([numbers.narrow(axis, at, numbers.shape[axis] - 1).flatten() for at in (0, 1)])
        assert torch.corrcoef(pairs)[0, 1].abs() < 0.015
    assert numbers[3, 7, 5].item() == numpy_search.uniform_number(-43, 3, 5)


def test_low_temperature_top_1_and_tiny_top_p_are_greedy(fakes):
    model, source = fakes.Hashed(9), fakes.sources(20)
    memory = model.encode(source)
    options = [{"temperature": 1e-6}, {"top_k": 1}, {"top_p": 1e-9}]
    greedy = beam_search([model], [memory], beam=1, max_length=8)
    for option in options:
        drawn = sample([model], [memory], seeds=range(20), max_length=8, **option)
        assert [[h.tokens for h in one] for one in drawn] == [[h.tokens for h in one] for one in greedy]


def test_truncation_on_paper():
    scores = torch.tensor([[0.1, 0.4, 0.2, 0.2, 0.1]], dtype=torch.float64).log()
    cases = {
        (2, 1.0): [1, 2],
        (3, 1.0): [1, 2, 3],
        (0, 1.0): [0, 1, 2, 3, 4],
        (0, 0.39): [1],
        (0, 0.41): [1, 2],
        (0, 0.75): [1, 2, 3],
    }
    for (top_k, top_p), kept in (cases | {(3, 0.6): [1, 2], (3, 0.8): [1, 2, 3], (9, 1.0): [0, 1, 2, 3, 4]}).items():
        found = truncate_distribution(scores, top_k, top_p)[0]
        assert (found > -torch.inf).nonzero().flatten().tolist() == kept
        np.testing.assert_array_equal(
            found.numpy(), numpy_search.truncate_distribution(scores[0].numpy(), top_k, top_p)
        )


def test_draw_on_paper():
    scores = torch.tensor([0.0, 0.5, 0.0, 0.25, 0.25, 0.0], dtype=torch.float64).log()
    for number, token in ((0.0, 1), (0.499, 1), (0.5, 3), (0.749, 3), (0.75, 4), (1 - 2.0**-48, 4)):
        assert draw_tokens(scores[None], torch.tensor([number], dtype=torch.float64)).item() == token
        assert numpy_search.draw_token(scores.numpy(), number) == token


def test_different_seeds_draw_different_samples(fakes):
    model = fakes.Hashed(30, scale=0.5, end=-9.0)
    memory = model.encode(fakes.sources(1).expand(8, -1))
    drawn = sample([model], [memory], seeds=range(8), samples=3, max_length=6)
    assert len({tuple(h.tokens) for samples in drawn for h in samples}) == 24


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seeds": [1]}, "1 seed for 2 sentences"),
        ({"temperature": 0.0}, "temperature=0 is too small: at least 1e-06"),
        ({"top_p": 0.0}, "top_p=0 is too small: above 0"),
        ({"samples": 0}, "samples=0"),
        ({"samples": True}, "samples='True' is not an integer"),
        ({"max_length": 2.5}, "max_length='2.5' is not an integer for each of 2 sentences"),
        ({"max_length": [4, 10**9]}, "max_length=1000000000 is too large"),
        ({"max_length": 10**5000}, "max_length='a very large integer' is not an integer"),
    ],
)
def test_options_that_cannot_work_are_refused(fakes, options, words):
    model = fakes.Hashed(9)
    with pytest.raises(ConfigError, match=words):
        sample([model], [model.encode(fakes.sources(2))], **({"max_length": 5, "seeds": [1, 2]} | options))
