"""Symmetrization against results worked out by hand and the published pseudo-code."""

import numpy as np
import pytest

from seq2seq.evaluation.symmetrization import SYMMETRIZATIONS

Links = set[tuple[int, int]]

FORWARD, BACKWARD = {(0, 0), (1, 1), (2, 1), (4, 4), (5, 0)}, {(0, 0), (1, 1), (1, 2), (3, 3), (4, 0), (6, 6)}
BY_HAND: dict[str, Links] = {
    "intersection": {(0, 0), (1, 1)},
    "union": FORWARD | BACKWARD,
    # (2, 1) touches (1, 1), and source 2 has no link; (1, 2) likewise, target 2; (3, 3) touches neither
    "grow-diag": {(0, 0), (1, 1), (2, 1), (1, 2)},
    # every link with a word that has none: (4, 4); (5, 0) by source 5; then (3, 3) and (6, 6).
    # (4, 0) is left out: source 4 and target 0 have links by then
    "grow-diag-final": {(0, 0), (1, 1), (2, 1), (1, 2), (4, 4), (5, 0), (3, 3), (6, 6)},
    # both words without a link: neither (5, 0) nor (4, 0), whose target has one
    "grow-diag-final-and": {(0, 0), (1, 1), (2, 1), (1, 2), (4, 4), (3, 3), (6, 6)},
}


@pytest.mark.parametrize("name", SYMMETRIZATIONS)
def test_symmetrization_by_hand(name: str) -> None:
    assert SYMMETRIZATIONS[name](FORWARD, BACKWARD) == BY_HAND[name]


@pytest.mark.parametrize("name", SYMMETRIZATIONS)
def test_result_is_between_intersection_and_union(name: str) -> None:
    """Neither input is changed, and the result of equal inputs is that input."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        forward, backward = ({(int(s), int(t)) for s, t in rng.integers(6, size=(8, 2))} for _ in range(2))
        before = set(forward), set(backward)
        joined = SYMMETRIZATIONS[name](forward, backward)
        assert forward & backward <= joined <= forward | backward
        assert (forward, backward) == before
        assert SYMMETRIZATIONS[name](forward, forward) == forward
        assert SYMMETRIZATIONS[name](set(), set()) == set()


def published(name: str, e2f: Links, f2e: Links) -> Links:
    """The pseudo-code of Koehn et al. 2005, literally, over matrices (target, source); e2f comes first."""
    size = 1 + max((max(link) for link in e2f | f2e), default=0)
    one, other = np.zeros((size, size), bool), np.zeros((size, size), bool)
    for matrix, links in ((one, e2f), (other, f2e)):
        for s, t in links:
            matrix[t, s] = True
    points, both = one & other, one | other
    straight, diagonal = [(-1, 0), (0, -1), (1, 0), (0, 1)], [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    grown = True
    while grown:
        grown = False
        for e, f in np.ndindex(size, size):
            if not points[e, f]:
                continue
            for down, right in straight + diagonal:
                new = e + down, f + right
                if not (0 <= new[0] < size and 0 <= new[1] < size) or points[new]:
                    continue
                if both[new] and not (points[new[0]].any() and points[:, new[1]].any()):
                    points[new] = grown = True
    for matrix in (one, other) if "final" in name else ():
        for e, f in np.ndindex(size, size):
            aligned = points[e].any(), points[:, f].any()
            if matrix[e, f] and not (any(aligned) if name.endswith("and") else all(aligned)):
                points[e, f] = True
    return {(int(f), int(e)) for e, f in np.argwhere(points)}


@pytest.mark.parametrize("name", ["grow-diag", "grow-diag-final", "grow-diag-final-and"])
def test_growing_equals_the_published_pseudo_code(name: str) -> None:
    """Each detail matters on some of these inputs: neighbours in order, new links count immediately, targets
    outermost."""
    assert published(name, FORWARD, BACKWARD) == BY_HAND[name]
    for seed in range(200):
        rng = np.random.default_rng(seed)
        forward, backward = (
            {(i, i) for i in range(9) if rng.random() < 0.7}
            | {(int(s), int(t)) for s, t in rng.integers(9, size=(5, 2))}
            for _ in range(2)
        )
        assert SYMMETRIZATIONS[name](forward, backward) == published(name, forward, backward), seed


def test_straight_neighbours_come_before_diagonal_ones() -> None:
    """(0, 1), next to (0, 0), is added while target 1 has no link; after (1, 1), a diagonal neighbour, it would not
    be."""
    assert SYMMETRIZATIONS["grow-diag"]({(0, 0), (1, 1)}, {(0, 1), (0, 0)}) == {(0, 0), (0, 1), (1, 1)}


def test_growing_continues_from_added_links() -> None:
    """A chain along the diagonal, of which only one end is in the intersection."""
    chain = {(i, i) for i in range(5)}
    assert SYMMETRIZATIONS["grow-diag"]({(0, 0)}, chain) == chain
    assert SYMMETRIZATIONS["grow-diag"]({(4, 4)}, chain) == chain
