"""Where the terms of a hypothesis are: on paper, and against all ways to place them."""

import itertools
import random
from collections.abc import Sequence

from seq2seq.runtime.terms import place_terms
from tests.each import each

A, B, C, D = 4, 5, 6, 7

CASES = {  # tokens, terms, ids that continue a word, places
    "none": ([A, B], [], (), []),
    "one": ([A, B, C], [[B]], (), [1]),
    "contiguous": ([A, C, B, A, B], [[A, B]], (), [3]),
    "begun again": ([A, A, B], [[A, B]], (), [1]),
    "begun again within itself": ([A, B, A, B, A, C], [[A, B, A, C]], (), [2]),
    "missing": ([A, B], [[B, A], [B]], (), [None, 1]),
    "twice": ([A, B, A], [[A], [A]], (), [0, 2]),
    "twice, and there once": ([A, B], [[A], [A]], (), [0, None]),
    "no token belongs to two": ([A, B, C], [[A, B], [B, C]], (), [0, None]),
    "nor to the same twice": ([A, A, A], [[A, A], [A, A]], (), [0, None]),
    "the longest from one place": ([A, B, A], [[A], [A, B]], (), [2, 0]),
    "and the shorter if the longer is not there": ([A, B, D, A, B, C], [[A], [A, B, C]], (), [0, 3]),
    "what the shorter leaves counts": ([A, B, D], [[A], [A, B, C], [B, D]], (), [0, None, 1]),
    "the end of another": ([A, B, B], [[B], [A, B]], (), [2, 0]),
    "a word that goes on": ([A, D, A], [[A]], (D,), [2]),
    "a word that goes on at the end": ([A, D], [[A]], (D,), [None]),
    "terms may follow each other": ([A, D], [[A], [D]], (D,), [0, 1]),
    "a longer term goes on": ([A, D], [[A, D], [A]], (D,), [0, None]),
}


@each("name", CASES)
def test_places_on_paper(name: str) -> None:
    tokens, terms, continuing, places = CASES[name]
    assert place_terms(tokens, terms, continuing) == places


def all_places(tokens: Sequence[int], terms: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Every way to place the terms without a token that belongs to two."""
    found = []
    each = [[i for i in range(len(tokens)) if [*tokens[i : i + len(ids)]] == [*ids]] for ids in terms]
    for places in itertools.product(*each):
        used = [i for place, ids in zip(places, terms, strict=True) for i in range(place, place + len(ids))]
        if len({*used}) == len(used):
            found.append(places)
    return found


def overlap(terms: Sequence[Sequence[int]]) -> bool:
    """Whether two different terms can share a token: one has the other in it, or ends as the other begins."""
    for one, other in itertools.permutations({tuple(ids) for ids in terms}, 2):
        inside = any(one[i : i + len(other)] == other for i in range(len(one)))
        if inside or any(one[-n:] == other[:n] for n in range(1, min(len(one), len(other)))):
            return True
    return False


def test_places_are_disjoint_and_found_where_there_are_any() -> None:
    chance, found = random.Random(1), 0
    for _ in range(3000):
        tokens = chance.choices([A, B, C], k=chance.randint(0, 7))
        terms = [chance.choices([A, B, C], k=chance.randint(1, 3)) for _ in range(chance.randint(1, 3))]
        places, possible = place_terms(tokens, terms), all_places(tokens, terms)
        if None not in places:
            found += 1
            assert tuple(places) in possible
        elif not overlap(terms):
            assert not possible
    assert found > 300
