"""A search over a shortlist equals the search over the whole vocabulary with all other ids barred."""

from types import SimpleNamespace

import pytest
import torch

from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.nn.interface import LOGIT_MASK
from seq2seq.search import shortlist as module
from seq2seq.search.beam import beam_search
from seq2seq.search.constraints import NoRepeat
from seq2seq.search.sampling import sample
from seq2seq.search.shortlist import Shortlist

SIZE, SOURCE = 40, 50
SEARCHES = {
    "beam": lambda models, memories, **o: beam_search(models, memories, max_length=7, beam=3, n_best=2, **o),
    "trigrams": lambda models, memories, **o: beam_search(
        models, memories, max_length=7, beam=3, constraints=[NoRepeat(2)], **o
    ),
    "sample": lambda models, memories, **o: sample(
        models, memories, max_length=7, seeds=range(len(memories[0].mask)), samples=2, **o
    ),
}


@pytest.fixture(params=[1, 8, 128], autouse=True)
def size_multiple(request, monkeypatch):
    """What the number of candidates is a multiple of; with 128 all ids are candidates, most of them barred."""
    monkeypatch.setattr(module, "SIZE_MULTIPLE", request.param)
    return request.param


def table(seed=0):
    return torch.randint(4, SIZE, (SOURCE, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.int32)


def allowed(shortlist, source, copy, prefix):
    """(B, V) bool, by loops."""
    rows = torch.zeros(len(source), SIZE, dtype=torch.bool)
    for b, ids in enumerate(source.tolist()):
        known = {PAD, UNK, BOS, EOS, *(i for i in copy[b].tolist() if i < SIZE), *(i for i in prefix[b] if i < SIZE)}
        rows[b, list(known | {t for i in ids for t in shortlist.table[i].tolist()})] = True
    return rows


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("seed", range(2))
def test_equals_the_search_with_other_ids_barred(fakes, search, seed, copies):
    source = fakes.sources(6, seed)
    prefix = [[5, 6], [], [39], [], [7], []]
    shortlist, find = Shortlist(table(seed), SIZE), SEARCHES[search]
    candidates = shortlist.candidates(source, source, prefix)
    model = fakes.Reducible(SIZE, seed=seed, copies=copies)
    found = candidates.search(find, [model, model], [model.encode(source)] * 2, prefix)
    rows = allowed(shortlist, source, source, prefix)
    barred = torch.zeros(rows.shape, dtype=torch.float64).masked_fill_(~rows, -torch.inf)
    whole = fakes.Barred(SIZE, seed=seed, copies=copies)
    memory = whole.encode(source)
    expected = find([whole], [memory._replace(cached={LOGIT_MASK: barred})], prefix=prefix)
    assert [[h.tokens for h in some] for some in found] == [[h.tokens for h in some] for some in expected]
    torch.testing.assert_close([h.score for some in found for h in some], [h.score for some in expected for h in some])
    assert all(
        tokens[: len(start)] == start for start, some in zip(prefix, found, strict=True) for tokens in [some[0].tokens]
    )


def test_each_sentence_is_restricted_to_its_own_candidates(fakes):
    source, shortlist = fakes.sources(8, 4), Shortlist(table(), SIZE)
    model = fakes.Reducible(SIZE)
    nothing = [[]] * 8
    candidates = shortlist.candidates(source, source, nothing)
    found = candidates.search(SEARCHES["beam"], [model], [model.encode(source)], nothing)
    rows = allowed(shortlist, source, source, nothing)
    assert all(rows[b, h.tokens].all() for b, some in enumerate(found) for h in some)
    assert not all(rows[0, h.tokens].all() for some in found[1:] for h in some)  # others use what it may not


def test_ids_and_copies_are_renumbered_and_restored(size_multiple):
    candidates = Shortlist(torch.full((SOURCE, 1), 9), SIZE).candidates(
        torch.tensor([[5, EOS]]), torch.tensor([[SIZE + 1, EOS]]), [[20]]
    )
    ids = candidates.ids.tolist()
    assert ids == {1: [PAD, UNK, BOS, EOS, 9, 20], 8: [*range(6), 9, 20], 128: list(range(SIZE))}[size_multiple]
    assert [ids[i] for i in (candidates.logit_mask[0] == 0).nonzero()] == [PAD, UNK, BOS, EOS, 9, 20]
    wanted = [EOS, 9, 20, SIZE, SIZE + 1]
    numbers = candidates.renumber(torch.tensor(wanted)).tolist()
    assert numbers[-2:] == [len(ids), len(ids) + 1]
    assert candidates.restore(SimpleNamespace(tokens=numbers, _replace=dict), ids) == {"tokens": wanted}
