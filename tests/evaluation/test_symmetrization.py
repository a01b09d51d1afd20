"""Are links found, joined and read as on paper?"""

from pathlib import Path

import numpy as np
import pytest

from seq2seq.data.word_links import parse_links
from seq2seq.errors import DataError
from seq2seq.evaluation.alignment import (
    LINKS,
    alignment_scores,
    one_to_one_links,
    read_gold,
    recall_by_distance,
)
from seq2seq.evaluation.symmetrization import SYMMETRIZATIONS

Links = set[tuple[int, int]]


def test_one_to_one_takes_the_largest_first() -> None:
    """0.9 of target 0 to source 1; then 0.5 is taken, since 0.8 wants source 1; 0.3 is what is left of target 2."""
    weights = np.array([[0.1, 0.9, 0.0], [0.5, 0.8, 0.2], [0.6, 0.0, 0.3]])
    assert one_to_one_links(weights) == {(1, 0), (0, 2), (2, 1)}
    assert one_to_one_links(np.array([[0.5, 0.5], [0.5, 0.5]])) == {(0, 0), (1, 1)}
    assert one_to_one_links(np.array([[0.7, 0.0], [0.6, 0.0]])) == {(0, 0)}
    assert one_to_one_links(np.zeros((0, 3))) == set()


@pytest.mark.parametrize("kind", LINKS)
def test_no_target_word_has_two_links(kind: str) -> None:
    for seed in range(20):
        weights = np.random.default_rng(seed).random((6, 4))
        links = LINKS[kind](weights)
        assert len({t for _, t in links}) == len(links) == (4 if kind == "one-to-one" else 6)
        assert kind == "argmax" or len({s for s, _ in links}) == len(links)


def test_recall_by_distance_on_paper() -> None:
    """Gold links that moved by 0, 1, 3 and, in the second sentence, by 0 and 3; those that moved by 1 and one of the two by 3 are found."""
    gold = [{(0, 0), (1, 2), (4, 1)}, {(0, 0), (0, 3)}]
    links = [{(1, 2), (4, 1), (5, 5)}, {(3, 0)}]
    found = [recall_by_distance(links, gold, distances) for distances in ([0], [1], [2], [3], range(9))]
    assert found == [0, 100, 100, 50, 40]
    assert recall_by_distance(gold, gold, range(9)) == 100
    with pytest.raises(ValueError, match="longer"):
        recall_by_distance(links[:1], gold, [0])


FORWARD, BACKWARD = {(0, 0), (1, 1), (2, 1), (4, 4), (5, 0)}, {(0, 0), (1, 1), (1, 2), (3, 3), (4, 0), (6, 6)}
ON_PAPER: dict[str, Links] = {
    "intersection": {(0, 0), (1, 1)},
    "union": FORWARD | BACKWARD,
    # (2, 1) touches (1, 1), and source 2 is free; (1, 2) likewise, target 2; (3, 3) touches none of them
    "grow-diag": {(0, 0), (1, 1), (2, 1), (1, 2)},
    # every link with a word that is free: (4, 4); (5, 0) by source 5; then (3, 3) and (6, 6); source 4 and target 0 have links by then
    "grow-diag-final": {(0, 0), (1, 1), (2, 1), (1, 2), (4, 4), (5, 0), (3, 3), (6, 6)},
    # both words free: not (5, 0) and (4, 0), whose target has a link
    "grow-diag-final-and": {(0, 0), (1, 1), (2, 1), (1, 2), (4, 4), (3, 3), (6, 6)},
}


@pytest.mark.parametrize("how", SYMMETRIZATIONS)
def test_joining_both_directions_on_paper(how: str) -> None:
    assert SYMMETRIZATIONS[how](FORWARD, BACKWARD) == ON_PAPER[how]


@pytest.mark.parametrize("how", SYMMETRIZATIONS)
def test_joining_is_between_intersection_and_union(how: str) -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        one, other = ({(int(s), int(t)) for s, t in rng.integers(6, size=(8, 2))} for _ in range(2))
        given = set(one), set(other)
        joined = SYMMETRIZATIONS[how](one, other)
        assert one & other <= joined <= one | other
        assert (one, other) == given
        assert SYMMETRIZATIONS[how](one, one) == one
        assert SYMMETRIZATIONS[how](set(), set()) == set()


def published(how: str, e2f: Links, f2e: Links) -> Links:
    """The pseudo-code of Koehn et al. 2005, word for word over matrices (target, source); e2f is read first."""
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
    for matrix in (one, other) if "final" in how else ():
        for e, f in np.ndindex(size, size):
            aligned = points[e].any(), points[:, f].any()
            if matrix[e, f] and not (any(aligned) if how.endswith("and") else all(aligned)):
                points[e, f] = True
    return {(int(f), int(e)) for e, f in np.argwhere(points)}


@pytest.mark.parametrize("how", ["grow-diag", "grow-diag-final", "grow-diag-final-and"])
def test_growing_is_that_of_the_published_pseudo_code(how: str) -> None:
    """Straight neighbours first, what is added counts at once, target words outermost: each matters on some of these."""
    assert published(how, FORWARD, BACKWARD) == ON_PAPER[how]
    for seed in range(400):
        rng = np.random.default_rng(seed)
        one, other = (
            {(i, i) for i in range(9) if rng.random() < 0.7}
            | {(int(s), int(t)) for s, t in rng.integers(9, size=(5, 2))}
            for _ in "12"
        )
        assert SYMMETRIZATIONS[how](one, other) == published(how, one, other), seed


def test_straight_neighbours_come_before_diagonal_ones() -> None:
    """(0, 1), beside (0, 0), comes while target 1 is without a link; after (1, 1), which touches it at a corner, it would not."""
    assert SYMMETRIZATIONS["grow-diag"]({(0, 0), (1, 1)}, {(0, 1), (0, 0)}) == {(0, 0), (0, 1), (1, 1)}


def test_growing_goes_on_from_what_has_grown() -> None:
    """A chain along the diagonal, of which only the first link is in both."""
    chain = {(i, i) for i in range(5)}
    assert SYMMETRIZATIONS["grow-diag"]({(0, 0)}, chain) == chain
    assert SYMMETRIZATIONS["grow-diag"]({(4, 4)}, chain) == chain


SIZES = [(2, 3), (0, 0), (3, 2)]  # words of the pairs
NOTATIONS = {
    "a.align": ["0-0 1p2", "", "2-1"],
    "a.talp": ["1-1 2p3", "", "3-2"],
    "a.naacl": ["0001 1 1 S", "1 2 3 P 0.7", "3 3 2", "3 0 1 P", ""],
}


@pytest.mark.parametrize("name", NOTATIONS)
def test_every_notation_is_read_alike(name: str) -> None:
    first, second, third = read_gold(NOTATIONS[name], SIZES, name)
    assert (first.sure, first.possible) == ({(0, 0)}, {(0, 0), (1, 2)})
    assert second == (set(), set())
    assert third == ({(2, 1)}, {(2, 1)})


WRONG = {
    "too few lines": ("a.align", ["0-0"], "a.align has 1 lines for 3 pairs"),
    "no link": ("a.align", ["0-0", "0:1", ""], "a.align, line 2: '0:1' is no link"),
    "counted from 0": ("a.talp", ["1-1", "", "0-1"], "a.talp, line 3: a link has word 0"),
    "no column": ("a.naacl", ["1 1 1", "1 1"], "a.naacl, line 2: '1 1' is no link"),
    "another pair": ("a.naacl", ["1 1 1", "4 1 1"], "a.naacl, line 2: pair 4 of 3"),
    "beyond the source": (
        "a.align",
        ["0-0", "", "2-1 3-1"],
        "a.align, line 3: link 3-1 is beyond the 3 source words, which are counted from 0",
    ),
    "beyond the target": (
        "a.align",
        ["0p3", "", ""],
        "a.align, line 1: link 0-3 is beyond the 3 target words, which are counted from 0",
    ),
    "talp beyond": (
        "a.talp",
        ["1-1", "", "3-3"],
        "a.talp, line 3: link 3-3 is beyond the 2 target words, which are counted from 1",
    ),
    "naacl beyond": (
        "a.naacl",
        ["1 2 3", "3 4 1 P"],
        "a.naacl, line 2: link 4-1 is beyond the 3 source words, which are counted from 1",
    ),
    "pair 0": ("a.naacl", ["1 1 1", "0 1 1"], "a.naacl, line 2: '0 1 1' is no link"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_in_a_gold_file_is_named(case: str) -> None:
    name, lines, message = WRONG[case]
    with pytest.raises(DataError) as error:
        read_gold(lines, SIZES, name)
    assert message in str(error.value)


def test_error_rate_of_a_naacl_file_on_paper() -> None:
    """Claimed 3 links, 1 of them sure, 2 possible; 2 are sure in all: 1 - (1 + 2) / (3 + 2) = 40 %, 2 / 3, 1 / 2."""
    gold = read_gold(["1 1 1 S", "1 2 3 P", "2 1 2"], [(2, 3), (1, 2)], "x.wa")
    links = [set(parse_links("0-0 1-2").sure), set(parse_links("1-1").sure)]
    values = {made.name: made.value for made in alignment_scores(links, gold, bootstrap=0)}
    assert values == pytest.approx({"aer": 40, "precision": 200 / 3, "recall": 50})


def test_a_gold_file_belongs_to_its_text(tmp_path: Path) -> None:
    from seq2seq.evaluation.testset import TestSet

    (tmp_path / "a.talp").write_text("1-2\n")
    test = TestSet("x", ["a b"], [["c d"]])
    gold = test.with_gold_file(tmp_path / "a.talp").gold
    assert gold is not None
    assert gold[0].sure == {(0, 1)}
    (tmp_path / "a.align").write_text("1-2\n")  # counted from 1 in a file that counts from 0
    with pytest.raises(DataError, match=r"a\.align, line 1: link 1-2 is beyond the 2 target words"):
        test.with_gold_file(tmp_path / "a.align")
    assert test.with_gold_file(tmp_path / "a.talp").sha256 == test.sha256 != test.reversed().sha256
