"""The batched searches in NumPy find what those with torch find on the same model, bit for bit where they can."""

from itertools import chain

import numpy as np
import pytest
import torch

from seq2seq.nn.interface import LOGIT_MASK, Memory, Output
from seq2seq.runtime import beam, constrained, sampling, shortlist
from seq2seq.runtime.constraints import Constraints
from seq2seq.runtime.penalties import Penalties
from seq2seq.runtime.terms import place_terms
from seq2seq.search import beam as torch_beam
from seq2seq.search import constrained as torch_constrained
from seq2seq.search import sampling as torch_sampling
from seq2seq.search import shortlist as torch_shortlist
from seq2seq.search.constraints import ForbiddenTokens, NoRepeat

BATCH = 12
MODEL = {"copies": False, "levels": 0, "members": 1, "restricted": False}
BEAM = {
    "greedy": {"beam": 1},
    "plain": {"beam": 4, "n_best": 4},
    "ties": {"beam": 5, "n_best": 5, "levels": 3},
    "coverage": {"beam": 4, "n_best": 3, "penalties": Penalties("gnmt", alpha=0.6, coverage=0.4)},
    "average": {"beam": 4, "n_best": 3, "penalties": Penalties("average")},
    "wide": {"beam": 12, "n_best": 12, "levels": 4},
    "no repeat": {"beam": 4, "n_best": 4, "no_repeat": 2, "min_length": 5},
    "prefix": {"beam": 3, "n_best": 2, "prefix": [5, 6, 5], "no_repeat": 1, "forbidden": [6]},
    "nothing": {"beam": 3, "n_best": 3, "max_length": 0},
    "copies": {"beam": 4, "n_best": 4, "copies": True, "no_repeat": 2},
    "ensemble": {"beam": 4, "n_best": 4, "members": 3},
    "shortlist": {"beam": 4, "n_best": 4, "restricted": True},
    "shortlist, copies": {"beam": 4, "n_best": 4, "restricted": True, "copies": True, "prefix": [9], "no_repeat": 1},
}
CONSTRAINED = {  # terms are at ids up to `words`
    "greedy": {"beam": 1},
    "plain": {"beam": 4, "n_best": 4},
    "ties": {"beam": 5, "n_best": 5, "levels": 3},
    "no room": {"beam": 5, "n_best": 5, "max_length": 9},
    "coverage": {"beam": 4, "n_best": 3, "penalties": Penalties("gnmt", alpha=0.6, coverage=0.4)},
    "no repeat": {"beam": 4, "n_best": 4, "no_repeat": 1, "min_length": 5},
    "prefix": {"beam": 3, "n_best": 2, "prefix": [5, 6, 5], "no_repeat": 1, "forbidden": [6, 7]},
    "copies": {"beam": 4, "n_best": 4, "copies": True, "no_repeat": 2, "words": 11},
    "ensemble": {"beam": 4, "n_best": 4, "members": 3},
    "shortlist": {"beam": 4, "n_best": 4, "restricted": True, "words": 49},
    "shortlist, copies": {"beam": 4, "n_best": 4, "restricted": True, "copies": True, "prefix": [9], "words": 51},
}
SAMPLING = {
    "plain": {"samples": 4},
    "hot": {"samples": 4, "temperature": 2.5, "min_length": 3},
    "top k": {"samples": 4, "top_k": 3, "no_repeat": 2},
    "top p": {"samples": 4, "top_p": 0.6},
    "both": {"samples": 2, "top_k": 4, "top_p": 0.8, "temperature": 0.7, "prefix": [5, 6]},
    "copies": {"samples": 4, "copies": True, "top_p": 0.9},
    "shortlist": {"samples": 4, "restricted": True, "top_k": 5},
}


class TorchModel:
    """A TinyModel as a model of seq2seq.search."""

    max_source = max_target = None

    def __init__(self, model, ids=None):
        self.model, self.ids, self.head = model, ids, self

    def encode(self, source, copy):
        mask = torch.from_numpy(source > 0)
        return Memory(torch.from_numpy(copy), torch.from_numpy(source)[..., None], mask, mask, {})

    def restrict_vocabulary(self, ids):
        return TorchModel(self.model, ids.numpy())

    def start(self, memory, capacity=None):
        return {"states": torch.zeros(len(memory.tokens), 5, dtype=torch.float64)}

    def step(self, token, state, memory, attention=False):
        batch = len(memory.tokens)
        tokens, states = (part.numpy().reshape(batch, -1, *part.shape[1:]) for part in (token, state["states"]))
        source, copy = memory.states[..., 0].numpy(), memory.tokens.numpy()
        mask = None
        if self.ids is not None:
            mask = memory.cached[LOGIT_MASK].numpy()
            whole = np.concatenate((self.ids, self.model.vocabulary + np.arange(source.shape[1])))
            tokens = whole[tokens]
        found = self.model.advance(tokens, states, source, copy, self.ids, mask)
        log_probs, weights, states = (torch.from_numpy(part).flatten(0, 1) for part in found)
        return Output(log_probs, weights), {"states": states}

    def select(self, rows, state):
        return {"states": state["states"][rows.flatten()]}

    def log_probs(self, output, memory):
        return output.features.clone()


def both(tiny, options, dtype, searches, **more):
    """What the searches of both packages find."""
    options = {"max_length": 8} | options
    choices = {name: options.pop(name, default) for name, default in MODEL.items()}
    names = ("max_length", "min_length", "no_repeat", "prefix", "forbidden")
    limits = {name: options.pop(name) for name in names if name in options}
    case = tiny.Case(choices, lambda b: Constraints(**limits), batch=BATCH, dtype=dtype)
    options |= more | {"attention": True}
    prefix = [limits.pop("prefix", [])] * BATCH
    given = [[*start, *chain(*each)] for start, each in zip(prefix, options.get("terms", [()] * BATCH), strict=True)]
    found = case.search(searches[0], **options)
    constraints = [ForbiddenTokens(*limits.pop("forbidden"))] if "forbidden" in limits else []
    if "no_repeat" in limits:
        constraints.append(NoRepeat(limits.pop("no_repeat")))
    models = [TorchModel(model) for model in case.models]
    memories = [model.encode(case.source, case.copy) for model in models]

    required = {name: options.pop(name) for name in ("terms", "continuing") if name in options}
    if required:
        required["continuing"] = torch.from_numpy(required["continuing"])

    def run(models, memories, prefix, **required):
        return searches[1](models, memories, prefix=prefix, constraints=constraints, **limits, **options, **required)

    if case.table is None:
        return found, run(models, memories, prefix, **required)
    table = torch_shortlist.Shortlist(torch.from_numpy(case.table), case.models[0].vocabulary)
    candidates = table.candidates(torch.from_numpy(case.source), torch.from_numpy(case.copy), given)
    return found, candidates.search(run, models, memories, prefix, **required)


def assert_equal(found, expected, tolerance):
    for some, rest in zip(found, expected, strict=True):
        for one, other in zip(some, rest, strict=True):
            assert (one.tokens, one.finished) == (other.tokens, other.finished)
            numbers = [one.score, one.log_prob, *one.token_log_probs]
            others = [other.score, other.log_prob, *other.token_log_probs]
            assert numbers == pytest.approx(others, rel=tolerance, abs=tolerance)
            attention = other.attention.numpy()
            np.testing.assert_allclose(one.attention, attention, rtol=1e-6)
            assert one.attention.dtype == attention.dtype


def tolerance_of(options, dtype):
    """0, unless the packages compute logarithms, exponentials or sums of their own."""
    rounded = "members" in options or "restricted" in options or "penalties" in options
    return 100 * float(np.finfo(dtype).eps) if rounded else 0


@pytest.fixture(autouse=True)
def _same_candidates(monkeypatch):
    for module, multiple in ((shortlist, "MULTIPLE"), (torch_shortlist, "SIZE_MULTIPLE")):
        monkeypatch.setattr(module, multiple, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", BEAM.values(), ids=BEAM)
def test_beam_search(tiny, options, dtype):
    found = both(tiny, options, dtype, (beam.beam_search, torch_beam.beam_search))
    assert_equal(*found, tolerance_of(options, dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("options", CONSTRAINED.values(), ids=CONSTRAINED)
def test_constrained_beam_search(tiny, options, seed, dtype):
    """The same hypotheses, each with its terms; and for sentences without terms those of the search without any."""
    chance, options = np.random.default_rng(seed), {"max_length": 14} | options
    words = options.pop("words", 8)
    terms = [
        [chance.integers(4, words + 1, chance.integers(1, 4)).tolist() for _ in range(b % 3)] for b in range(BATCH)
    ]
    marks = np.arange(50 if "restricted" in options else 9) % 5 == 1
    searches = constrained.constrained_beam_search, torch_constrained.constrained_beam_search
    found = both(tiny, options, dtype, searches, terms=terms, continuing=marks)
    assert_equal(*found, tolerance_of(options, dtype))
    for each, hypotheses in zip(terms, found[0], strict=True):
        assert all(None not in place_terms(h.tokens, each, np.flatnonzero(marks)) for h in hypotheses)
    plain, _ = both(tiny, options, dtype, (beam.beam_search, torch_beam.beam_search))
    for one, other in zip(found[0][::3], plain[::3], strict=True):
        tiny.assert_same(one, other, tolerance_of(options, dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", SAMPLING.values(), ids=SAMPLING)
def test_sampling(tiny, options, dtype):
    seeds = [(-7) ** b for b in range(BATCH)]
    found = both(tiny, options, dtype, (sampling.sample, torch_sampling.sample), seeds=seeds)
    assert_equal(*found, tolerance_of(options, dtype))
