"""Is a search that looks at few ids the search over the whole vocabulary with the others barred?"""

from types import SimpleNamespace

import pytest
import torch

from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.nn.interface import SHORTLIST
from seq2seq.search.beam import beam_search
from seq2seq.search.rules import NoRepeat
from seq2seq.search.sample import sample
from seq2seq.search.shortlist import Shortlist

SIZE, SOURCE = 40, 50
SEARCHES = {
    "beam": lambda models, memories, **o: beam_search(models, memories, max_length=7, beam=3, n_best=2, **o),
    "trigrams": lambda models, memories, **o: beam_search(models, memories, max_length=7, beam=3, rules=[NoRepeat(2)], **o),
    "sample": lambda models, memories, **o: sample(models, memories, max_length=7, seeds=range(len(memories[0].mask)), samples=2, **o),
}


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
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_search_with_the_others_barred(fakes, search, seed, copies):
    source = fakes.sources(6, seed)
    prefix = [[5, 6], [], [39], [], [7], []]
    shortlist, find = Shortlist(table(seed), SIZE), SEARCHES[search]
    candidates = shortlist(source, source, prefix)
    model = fakes.Reducible(SIZE, seed=seed, copies=copies)
    found = candidates.run(find, [model, model], [model.encode(source)] * 2, prefix)
    rows = allowed(shortlist, source, source, prefix)
    barred = torch.zeros(rows.shape, dtype=torch.float64).masked_fill_(~rows, -torch.inf)
    whole = fakes.Barred(SIZE, seed=seed, copies=copies)
    memory = whole.encode(source)
    expected = find([whole], [memory._replace(cached={SHORTLIST: barred})], prefix=prefix)
    assert [[h.tokens for h in some] for some in found] == [[h.tokens for h in some] for some in expected]
    torch.testing.assert_close([h.score for some in found for h in some], [h.score for some in expected for h in some])
    assert all(tokens[: len(start)] == start for start, some in zip(prefix, found, strict=True) for tokens in [some[0].tokens])


def test_a_sentence_is_kept_to_its_own_ids(fakes):
    source, shortlist = fakes.sources(8, 4), Shortlist(table(), SIZE)
    model = fakes.Reducible(SIZE)
    nothing = [[]] * 8
    found = shortlist(source, source, nothing).run(SEARCHES["beam"], [model], [model.encode(source)], nothing)
    rows = allowed(shortlist, source, source, nothing)
    assert all(rows[b, h.tokens].all() for b, some in enumerate(found) for h in some)
    assert not all(rows[0, h.tokens].all() for some in found[1:] for h in some)  # others use what it may not


def test_ids_and_copies_have_numbers():
    candidates = Shortlist(torch.full((SOURCE, 1), 9), SIZE)(torch.tensor([[5, EOS]]), torch.tensor([[SIZE + 1, EOS]]), [[20]])
    assert candidates.ids.tolist() == [PAD, UNK, BOS, EOS, 9, 20]
    assert candidates.numbers(torch.tensor([EOS, 9, 20, SIZE, SIZE + 1])).tolist() == [EOS, 4, 5, 6, 7]
    whole = candidates.whole(SimpleNamespace(tokens=[4, 5, 7, UNK], _replace=dict), candidates.ids.tolist())
    assert whole == {"tokens": [9, 20, SIZE + 1, UNK]}
