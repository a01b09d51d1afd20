"""Word links from attention, alignment scores and gold alignments against values worked out by hand."""

import numpy as np
import pytest

from seq2seq.data.word_links import GoldAlignment, Link, parse_links, word_indices
from seq2seq.errors import DataError
from seq2seq.evaluation.alignment import (
    LINKS,
    alignment_scores,
    argmax_links,
    merge,
    one_to_one_links,
    read_gold,
    recall_by_distance,
    word_links,
    word_weights,
)
from seq2seq.translator import Translation

# Attention between words


def test_merge_by_hand() -> None:
    """Two source words of pieces 0 + 1 and 2, then EOS; two target words of pieces 0 and 1 + 2, then EOS."""
    weights = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.25, 0.25, 0.0], [0.0, 0.25, 0.5, 0.25], [0.0, 0.0, 0.0, 1.0]])
    np.testing.assert_allclose(merge(weights, [0, 0, 1], [0, 1, 1]), [[0.3, 0.3], [0.5, 0.375]])


def test_merge_of_words_of_one_piece_changes_nothing() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(5), 4)
    np.testing.assert_allclose(merge(weights, range(5), range(4)), weights)


def test_merge_keeps_row_sums() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(5), 4)
    np.testing.assert_allclose(merge(weights, [0, 1, 1, 1, 2], [0, 0, 1, 2]).sum(1), 1)


def test_merge_takes_tensors_of_any_dtype() -> None:
    torch = pytest.importorskip("torch")
    weights = torch.tensor([[0.5, 0.5]], dtype=torch.bfloat16, requires_grad=True)
    np.testing.assert_array_equal(merge(weights, [0, 0], [0]), [[1.0]])


@pytest.mark.parametrize(("source", "target"), [([0, 1, 2], [0]), ([0], [0, 1])])
def test_merge_refuses_more_pieces_than_weights(source: list[int], target: list[int]) -> None:
    with pytest.raises(DataError, match=r"weights of shape \(1, 2\) do not fit"):
        merge(np.ones((1, 2)), source, target)


# Links from attention


def test_argmax_links_by_hand() -> None:
    weights = np.array([[0.6, 0.4, 0.0], [0.9, 0.1, 0.0], [0.0, 0.0, 0.0]])
    assert argmax_links(weights) == {(0, 0), (0, 1)}


def test_argmax_links_of_a_noisy_permutation() -> None:
    order = np.random.default_rng(1).permutation(7)
    weights = 0.9 * np.eye(7)[order] + 0.1 / 7
    assert argmax_links(weights) == {(int(s), t) for t, s in enumerate(order)}


def test_one_to_one_links_by_hand() -> None:
    """0.9 links target 0 to source 1; then 0.5 is the largest, since 0.8 needs source 1; target 2 is left with 0.3."""
    weights = np.array([[0.1, 0.9, 0.0], [0.5, 0.8, 0.2], [0.6, 0.0, 0.3]])
    assert one_to_one_links(weights) == {(1, 0), (0, 2), (2, 1)}
    assert one_to_one_links(np.array([[0.5, 0.5], [0.5, 0.5]])) == {(0, 0), (1, 1)}
    assert one_to_one_links(np.array([[0.7, 0.0], [0.6, 0.0]])) == {(0, 0)}
    assert one_to_one_links(np.zeros((0, 3))) == set()


@pytest.mark.parametrize("kind", LINKS)
def test_spaces_alone_have_no_links(kind: str) -> None:
    """The last piece of the source is a space; it gets most of the weight of the second target word."""
    weights = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.0, 0.0, 1.0]], dtype=np.float32)
    assert word_links(Translation("x y", 0.0, 0.0, ["▁a", "▁", ""], ["▁x", "▁y", ""], weights), kind) == "0-0"
    assert word_links(Translation("x y", 0.0, 0.0, ["▁", "▁", ""], ["▁x", "▁y", ""], weights), kind) == ""


@pytest.mark.parametrize("kind", LINKS)
def test_subwords_are_words_of_text_without_spaces(kind: str) -> None:
    """The first piece is a space, which belongs to the first word; gold links count what is between spaces."""
    weights = np.array([[0.2, 0.7, 0.1, 0.0], [0.0, 0.1, 0.8, 0.1], [0.0, 0.0, 0.0, 1.0]], dtype=np.float32)
    found = Translation("我 走", 0.0, 0.0, ["▁", "我们", "今天走", ""], ["▁ich", "▁gehe", ""], weights)
    assert word_links(found, kind) == "0-0 1-1"
    assert word_weights(found)[0] == ["我们", "今天走"]
    assert word_links(found, kind, word_indices) == ("0-0 0-1" if kind == "argmax" else "0-0")


@pytest.mark.parametrize("kind", LINKS)
def test_no_target_word_has_two_links(kind: str) -> None:
    for seed in range(20):
        weights = np.random.default_rng(seed).random((6, 4))
        links = LINKS[kind](weights)
        assert len({t for _, t in links}) == len(links) == (4 if kind == "one-to-one" else 6)
        assert kind == "argmax" or len({s for s, _ in links}) == len(links)


# Alignment scores


def values(links: list[set[Link]], gold: list[GoldAlignment]) -> dict[str, float]:
    return {score.name: score.value for score in alignment_scores(links, gold, bootstrap=0)}


def test_alignment_scores_by_hand() -> None:
    """A = {00, 11, 22, 23}, S = {00, 11, 33}, P = S + {22}: |A and S| = 2, |A and P| = 3, |A| = 4, |S| = 3."""
    found = values([{(0, 0), (1, 1), (2, 2), (2, 3)}], [parse_links("0-0 1-1 3-3 2p2")])
    assert found == pytest.approx({"aer": 100 * (1 - 5 / 7), "precision": 75, "recall": 200 / 3})


def test_alignment_scores_divide_corpus_sums() -> None:
    gold = [parse_links("0-0"), parse_links("0-0 1-1 2-2")]
    found = values([{(0, 0)}, {(0, 1)}], gold)
    assert found == pytest.approx({"aer": 100 * (1 - 2 / 6), "precision": 50, "recall": 25})


def test_aer_is_one_minus_f1_if_all_links_are_sure() -> None:
    rng = np.random.default_rng(0)
    links, gold = ([{(int(s), int(t)) for s, t in rng.integers(0, 4, (6, 2))} for _ in range(20)] for _ in range(2))
    found = values(links, [GoldAlignment(frozenset(g), frozenset(g)) for g in gold])
    f1 = 2 * found["precision"] * found["recall"] / (found["precision"] + found["recall"])
    assert found["aer"] == pytest.approx(100 - f1)


def test_gold_links_have_no_error_with_or_without_possible_ones() -> None:
    gold = [parse_links("0-0 1p1"), parse_links("0-1 1-0"), parse_links("")]
    for links in ([set(g.sure) for g in gold], [set(g.possible) for g in gold]):
        assert values(links, gold) == {"aer": 0, "precision": 100, "recall": 100}


def test_nothing_out_of_nothing_is_no_error() -> None:
    assert values([set()], [parse_links("")]) == {"aer": 0, "precision": 100, "recall": 100}
    assert values([set()], [parse_links("0-0")]) == {"aer": 100, "precision": 100, "recall": 0}


def test_alignment_scores_have_intervals() -> None:
    rng = np.random.default_rng(0)
    links = [{(int(s), t) for t, s in enumerate(rng.integers(0, 3, 5))} for _ in range(40)]
    for score in alignment_scores(links, [parse_links("0-0 1-1 2-2 0-3 1p4")] * 40, bootstrap=200):
        assert score.interval
        assert score.interval[0] < score.value < score.interval[1]
        assert score.signature.startswith("bs:200|seed:12345|")


@pytest.mark.parametrize("links", [[], [{(0, 0)}] * 2])
def test_different_numbers_of_sentences_are_refused(links: list[set[Link]]) -> None:
    with pytest.raises(
        DataError, match=f"alignments of {len(links)} sentences cannot be compared with gold alignments of 1"
    ):
        alignment_scores(links, [parse_links("0-0")])


def test_recall_by_distance_by_hand() -> None:
    """Gold links at distances 0, 1, 3 and, in the second sentence, 0 and 3; found are that at 1 and one of the two at
    3."""
    gold = [{(0, 0), (1, 2), (4, 1)}, {(0, 0), (0, 3)}]
    links = [{(1, 2), (4, 1), (5, 5)}, {(3, 0)}]
    found = [recall_by_distance(links, gold, distances) for distances in ([0], [1], [2], [3], range(9))]
    assert found == [0, 100, 100, 50, 40]
    assert recall_by_distance(gold, gold, range(9)) == 100
    with pytest.raises(ValueError, match="longer"):
        recall_by_distance(links[:1], gold, [0])


# Gold alignments

SIZES = [(2, 3), (0, 0), (3, 2)]  # source and target words of the pairs
NOTATIONS = {
    "a.align": ["0-0 1p2", "", "2-1"],
    "a.talp": ["1-1 2p3", "", "3-2"],
    "a.naacl": ["0001 1 1 S", "1 2 3 P 0.7", "3 3 2", "3 0 1 P", ""],
}


@pytest.mark.parametrize("name", NOTATIONS)
def test_gold_alignments_are_the_same_in_every_notation(name: str) -> None:
    first, second, third = read_gold(NOTATIONS[name], SIZES, name)
    assert (first.sure, first.possible) == ({(0, 0)}, {(0, 0), (1, 2)})
    assert second == (set(), set())
    assert third == ({(2, 1)}, {(2, 1)})


WRONG = {
    "too few lines": ("a.align", ["0-0"], "a.align has 1 line for 3 pairs"),
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
def test_errors_in_a_gold_file_name_the_line(case: str) -> None:
    name, lines, message = WRONG[case]
    with pytest.raises(DataError) as error:
        read_gold(lines, SIZES, name)
    assert message in str(error.value)


def test_alignment_scores_of_a_naacl_file_by_hand() -> None:
    """3 links, 1 of them sure, 2 possible; 2 gold links are sure: 1 - (1 + 2) / (3 + 2) = 40 %, 2 / 3, 1 / 2."""
    gold = read_gold(["1 1 1 S", "1 2 3 P", "2 1 2"], [(2, 3), (1, 2)], "x.wa")
    links = [set(parse_links("0-0 1-2").sure), set(parse_links("1-1").sure)]
    assert values(links, gold) == pytest.approx({"aer": 40, "precision": 200 / 3, "recall": 50})
