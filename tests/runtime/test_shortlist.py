"""Candidates of a batch: which they are, and their numbers."""

import numpy as np
import pytest

from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.runtime import shortlist
from seq2seq.runtime.shortlist import TranslationTable

SIZE = 40


@pytest.mark.parametrize("multiple", [1, 8, 64])
def test_candidates_of_each_sentence(monkeypatch, multiple):
    monkeypatch.setattr(shortlist, "MULTIPLE", multiple)
    table = np.zeros((50, 3), np.int32)
    table[5], table[7], table[PAD] = (9, 30, 31), (9, 12, PAD), (20, 21, 22)
    source, copy = np.array([[5, EOS, PAD], [7, 7, EOS]]), np.array([[SIZE, EOS, PAD], [33, SIZE + 1, EOS]])
    candidates = TranslationTable(table, SIZE).candidates(source, copy, [(25,), (SIZE + 1,)])
    special = [PAD, UNK, BOS, EOS]
    used = {*special, 9, 12, 25, 30, 31, 33}
    assert used <= set(candidates.ids.tolist())
    assert len(candidates.ids) == min(SIZE, -(-len(used) // multiple) * multiple)
    assert (np.diff(candidates.ids) > 0).all()
    assert candidates.ids[:4].tolist() == special
    own = [candidates.ids[row == 0].tolist() for row in candidates.logit_mask]
    assert own == [[*special, 9, 25, 30, 31], [*special, 9, 12, 33]]
    assert {*candidates.logit_mask.ravel().tolist()} <= {0.0, -np.inf}
    assert candidates.logit_mask.dtype == np.float32
    whole = np.array([[9, 33], [SIZE, SIZE + 2]])
    np.testing.assert_array_equal(candidates.restored[candidates.renumber(whole)], whole)
    if multiple == 1:
        assert candidates.renumber(np.array([20, 34, SIZE - 1])).tolist() == [PAD] * 3  # no candidates
