"""A small model with random weights for the searches of seq2seq.runtime, batched and of one sentence."""

from types import SimpleNamespace

import numpy as np
import pytest

from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.runtime.interface import Step
from seq2seq.runtime.shortlist import TranslationTable

SIZE = 5  # of states


class TinyModel:
    """A recurrent network with attention over the source, in NumPy; its output is a pure function of all tokens so far.

    levels: logits are multiples of 1 / levels, so that a small number makes many ties; end: added to the logit of
    EOS; dtype: of the log-probabilities"""

    max_source, max_target, source_end = None, None, True

    def __init__(self, vocabulary=9, seed=0, copies=False, levels=0, end=0.5, dtype=np.float64):
        self.vocabulary, self.copies, self.levels, self.end, self.dtype = vocabulary, copies, levels, end, dtype
        chance = np.random.default_rng(seed)
        self.embedding = chance.normal(size=(60, SIZE))
        self.recurrent, self.query = chance.normal(size=(2, SIZE, SIZE))
        self.output = chance.normal(size=(2 * SIZE, vocabulary)) * 2
        self.decodings = []

    def encode(self, source, copy=None, candidates=None, logit_mask=None):
        assert (copy is not None) == self.copies
        assert (candidates is None) == (logit_mask is None)
        self.decodings.append(TinyDecoding(self, source, copy, candidates, logit_mask))
        return self.decodings[-1]

    def memory(self, source):
        """(B, S, SIZE)"""
        return self.embedding[source] + np.sin(np.arange(source.shape[1]))[:, None]

    def advance(self, tokens, states, source, copy, candidates=None, logit_mask=None):
        """Tokens (B, W) and states (B, W, SIZE) -> log-probabilities (B, W, size of the output), weights, states."""
        tokens = np.where(tokens < self.vocabulary, tokens, UNK)
        states = np.tanh(np.einsum("bwi,ij->bwj", states, self.recurrent) + self.embedding[tokens])
        memory = self.memory(source)
        scores = np.einsum("bwi,ij,bsj->bws", states, self.query, memory)
        weights = np.exp(np.where(source == PAD, -np.inf, 0)[:, None] + scores.clip(-9, 9))
        weights = weights / weights.sum(2, keepdims=True)
        features = np.concatenate((states, np.einsum("bws,bsi->bwi", weights, memory)), 2)
        logits = np.einsum("bwi,iv->bwv", features, self.output)
        logits[..., EOS] += self.end
        if self.levels:
            logits = np.round(logits * self.levels / 4) / self.levels
        if candidates is not None:
            logits = logits[..., candidates]
        if logit_mask is not None:
            logits = logits + logit_mask[:, None]
        shares = np.exp(logits)
        shares = shares / shares.sum(2, keepdims=True)
        if self.copies:
            shares = self.mix(shares, weights, states, copy)
        with np.errstate(divide="ignore"):
            return np.log(shares).astype(self.dtype), weights.astype(self.dtype), states

    def mix(self, shares, weights, states, copy):
        """Copy source tokens with a probability that depends on the state."""
        gate = 1 / (1 + np.exp(-states[..., :1]))
        mixed = np.concatenate((shares * gate, np.zeros_like(weights)), 2)
        rows, columns = np.ogrid[: mixed.shape[0], : mixed.shape[1]]
        for s in range(copy.shape[1]):
            mixed[rows, columns, copy[:, None, s]] += (1 - gate[..., 0]) * weights[..., s]
        return np.where(mixed == 0, 1e-30, mixed) if self.levels == 0 else mixed


class TinyDecoding:
    """The states of the hypotheses. The arrays that it returns are overwritten at the next step."""

    def __init__(self, model, *inputs):
        self.model, self.inputs = model, inputs
        self.states = np.zeros((len(inputs[0]), 1, SIZE))
        self.returned, self.calls = [], []

    def step(self, tokens, parents, forbidden, count, log_probs=False, attention=False):
        self.check(tokens, parents, forbidden, count)
        self.calls.append((*tokens.shape, count, log_probs, attention))
        for array in self.returned:
            array[:] = 0 if array.dtype == np.int64 else np.nan
        states = np.take_along_axis(self.states, parents[..., None], 1)
        source, copy, candidates, mask = self.inputs
        every, weights, self.states = self.model.advance(tokens, states, source, copy, candidates, mask)
        np.put_along_axis(every, forbidden, -np.inf, 2)
        ids = np.argsort(-every, axis=2, kind="stable")[..., :count]
        scores = np.take_along_axis(every, ids, 2)
        ids = np.where(scores == -np.inf, UNK, ids)  # any id
        self.returned = [scores, ids, every, weights]
        return Step(scores, ids, every if log_probs else None, weights if attention else None)

    def check(self, tokens, parents, forbidden, count):
        assert tokens.shape == parents.shape == forbidden.shape[:2]
        assert len(tokens) == len(self.inputs[0]) == len(self.states)
        assert parents.min() >= 0
        assert parents.max() < self.states.shape[1]
        assert {part.dtype for part in (tokens, parents, forbidden)} == {np.dtype(np.int64)}
        assert (forbidden == PAD).any(2).all()
        assert type(count) is int
        assert count > 0

    def select(self, sentences):
        assert (np.diff(sentences) > 0).all()
        self.inputs = tuple(part if part is None or i == 2 else part[sentences] for i, part in enumerate(self.inputs))
        self.states = self.states[sentences]
        self.returned = []


class TableModel:
    """Its next token depends on the last one alone, with log-probabilities `table` (V, V); it has no attention."""

    copies, max_source, max_target, source_end = False, None, None, True

    def __init__(self, table):
        self.table, self.vocabulary = np.array(table), len(table)

    def encode(self, source, copy=None, candidates=None, logit_mask=None):
        return self

    def step(self, tokens, parents, forbidden, count, log_probs=False, attention=False):
        every = self.table[tokens]
        np.put_along_axis(every, forbidden, -np.inf, 2)
        ids = np.argsort(-every, axis=2, kind="stable")[..., :count]
        return Step(np.take_along_axis(every, ids, 2), ids, every)

    def select(self, sentences):
        pass


def sources(count, seed=0, longest=7):
    """Padded sources (count, S) of 1 to `longest` tokens and EOS."""
    chance = np.random.default_rng(seed)
    rows = [[*chance.integers(4, 50, chance.integers(1, longest + 1)).tolist(), EOS] for _ in range(count)]
    width = max(map(len, rows), default=0)
    return np.array([[*row, *[PAD] * (width - len(row))] for row in rows], np.int64).reshape(count, width)


def copied(source, vocabulary):
    """(B, S) the target ids of the source tokens, about a third of which are unknown words."""
    ids = np.where(source % 3 == 1, vocabulary + np.arange(source.shape[1]), source % vocabulary)
    return np.where((ids == PAD) & (source != PAD), UNK, ids)  # only padding yields PAD


def step_function(model, source, copy, mask=None):
    """A model as a step function of search_one for one sentence (1, S), and its first state.

    mask (1, V): added to the logits."""
    size = int((source != PAD).sum())
    source, copy = source[:, :size], copy[:, :size]

    def step(tokens, state):
        # one row at a time, with a batch of as many sentences
        rows = len(tokens)
        inputs = [np.repeat(part, rows, 0) for part in (source, copy)]
        bias = None if mask is None else np.repeat(mask, rows, 0)
        found = model.advance(tokens[:, None], state["states"][:, None], *inputs, None, bias)
        log_probs, weights, states = (part[:, 0] for part in found)
        return log_probs, weights, {"states": states}

    return step, {"states": np.zeros((1, SIZE))}


class TinyCase:
    """What both searches are given: models, sources, constraints of sentence b as constrain(b), and a shortlist.

    choices: members, copies, levels, and restricted, whether there is a shortlist"""

    def __init__(self, choices, constrain, seed=0, batch=5, end=0.5, dtype=np.float64):
        size = 50 if choices["restricted"] else 9
        options = {"copies": choices["copies"], "levels": choices["levels"], "end": end, "dtype": dtype}
        self.models = [TinyModel(size, seed + i, **options) for i in range(choices["members"])]
        self.source = sources(batch, seed)
        self.copy = copied(self.source, size)
        self.constraints = [constrain(b) for b in range(batch)]
        self.table = np.random.default_rng(seed).integers(4, size, (60, 2)) if choices["restricted"] else None

    def search(self, search, rows=slice(None), **options):
        """What a batched search finds for the sentences `rows`."""
        shortlist = None if self.table is None else TranslationTable(self.table, self.models[0].vocabulary)
        inputs = self.models, self.source[rows], self.constraints[rows]
        return search(*inputs, copy=self.copy[rows], shortlist=shortlist, **options)

    def search_one(self, search, b, **options):
        """What a search for one sentence finds for sentence b."""
        inputs = self.source[b : b + 1], self.copy[b : b + 1], self.mask(b)
        parts = [step_function(model, *inputs) for model in self.models]
        return search(*zip(*parts, strict=True), self.constraints[b], **options)

    def mask(self, b):
        """(1, V): 0 at the ids that a sentence may use, -inf at all others; None without a shortlist."""
        if self.table is None:
            return None
        known = {PAD, UNK, BOS, EOS, *self.copy[b], *self.constraints[b].prefix}
        for i in self.source[b][self.source[b] != PAD]:
            known |= set(self.table[i])
        mask = np.full((1, self.models[0].vocabulary), -np.inf)
        mask[0, [i for i in known if i < mask.shape[1]]] = 0
        return mask


def assert_same(found, expected, tolerance=1e-9):
    """That two lists of hypotheses are the same."""
    assert [(h.tokens, h.finished) for h in found] == [(h.tokens, h.finished) for h in expected]
    for one, other in zip(found, expected, strict=True):
        assert (one.score, one.log_prob) == pytest.approx((other.score, other.log_prob), abs=tolerance)
        assert one.token_log_probs == pytest.approx(other.token_log_probs, abs=tolerance)
        if other.attention is not None:  # of a hypothesis without any step the search for one sentence returns none
            np.testing.assert_allclose(one.attention, other.attention, atol=tolerance, rtol=0)


@pytest.fixture
def tiny():
    return SimpleNamespace(Model=TinyModel, Table=TableModel, Case=TinyCase, sources=sources, assert_same=assert_same)
