"""Constraints of a batch as arrays, step by step against those of each hypothesis."""

import numpy as np
import pytest

from seq2seq.ids import BOS, EOS, PAD
from seq2seq.runtime.constraints import FREE, BatchConstraints, Constraints

SIZE = 9
SETS = {
    "none": [Constraints(9)] * 3,
    "minimum": [Constraints(9, 3), Constraints(9), Constraints(9, 5)],
    "repeats": [Constraints(9, 2, n, forbidden=(6,)) for n in (1, 2, 3)],
    "same repeats": [Constraints(9, no_repeat=2)] * 3,
    "prefix": [Constraints(9, no_repeat=1, prefix=(4, 4)), Constraints(9), Constraints(9, prefix=(5,), forbidden=(5,))],
}


def same(ids):
    return ids


@pytest.mark.parametrize("constraints", SETS.values(), ids=SETS)
def test_forbidden_and_forced_ids_are_those_of_each_hypothesis(constraints):
    chance = np.random.default_rng(1)
    batch, hypotheses = BatchConstraints(constraints, same), [[[]] for _ in constraints]
    for step in range(8):
        if step == 5:  # the second sentence leaves
            batch.select(np.array([0, 2]))
            constraints, hypotheses = constraints[::2], hypotheses[::2]
        width = len(hypotheses[0])
        forced, forbidden = batch.forced(), batch.forbidden(width)
        assert forbidden.shape[:2] == (len(constraints), width)
        assert (forbidden == PAD).any(2).all()
        for b, w in np.ndindex(len(constraints), width):
            allowed = constraints[b].mask(np.zeros(SIZE), hypotheses[b][w]) == 0
            if forced is not None and forced[b] != FREE:
                assert np.flatnonzero(allowed).tolist() == [forced[b]]
                assert set(forbidden[b, w]) == {PAD}
            else:
                assert {*np.flatnonzero(~allowed)} == {*forbidden[b, w]}
        tokens, parents = chance.integers(4, 7, (len(constraints), 4)), chance.integers(0, width, (len(constraints), 4))
        batch.extend(tokens, parents)
        hypotheses = [
            [[*hypotheses[b][p], t] for t, p in zip(tokens[b].tolist(), parents[b].tolist(), strict=True)]
            for b in range(len(constraints))
        ]


def test_forbidden_ids_are_made_again_only_when_they_change():
    batch = BatchConstraints([Constraints(9, 1), Constraints(9)], same)
    assert batch.forbidden(1).tolist() == [[[PAD, BOS, EOS]], [[PAD, BOS, PAD]]]
    batch.extend(np.array([[4, 5]] * 2), np.zeros((2, 2), np.int64))
    first = batch.forbidden(2)
    assert first.tolist() == [[[PAD, BOS]] * 2] * 2
    batch.extend(np.array([[4, 5]] * 2), np.zeros((2, 2), np.int64))
    assert batch.forbidden(2) is first
    assert batch.forbidden(3).shape == (2, 3, 2)
    batch.select(np.array([1]))
    assert batch.forbidden(3).shape == (1, 3, 2)


def test_ids_are_renumbered():
    numbers = np.array([0, 1, 2, 3, 0, 4, 0, 5, 6])  # 4 and 6 are missing
    batch = BatchConstraints([Constraints(9, prefix=(5, 8), forbidden=(7, 4))] * 2, lambda ids: numbers[ids])
    assert batch.forced().tolist() == [4, 4]
    for _ in range(2):
        batch.extend(np.array([[4]] * 2), np.zeros((2, 1), np.int64))
    assert batch.forced() is None
    assert batch.forbidden(1).tolist() == [[[PAD, BOS, 5, PAD]]] * 2


def test_few_columns_hold_the_repeats():
    batch = BatchConstraints([Constraints(99, no_repeat=2)], same)
    for token in (4, 5, 6, 4, 7, 8, 9, 4):
        batch.extend(np.array([[token]]), np.zeros((1, 1), np.int64))
    assert sorted(batch.forbidden(1)[0, 0].tolist()) == [PAD, BOS, 5, 7]
