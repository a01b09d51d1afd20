"""Are links, merged weights and error rates those worked out on paper?"""

import numpy as np
import pytest

from seq2seq.data.tokenizer import SPACE_MARK
from seq2seq.data.word_links import GoldAlignment, Link, format_links, parse_links, word_indices, words_from_pieces
from seq2seq.errors import DataError
from seq2seq.evaluation.alignment import alignment_scores, argmax_links, merge


def pieces(text: str) -> list[str]:
    return text.replace("_", SPACE_MARK).split()


@pytest.mark.parametrize(
    ("text", "numbers", "joined"),
    [
        ("_a _man _walk s", [0, 1, 2, 2], ["a", "man", "walks"]),
        ("_ Hemd _ en", [0, 0, 1, 1], ["Hemd", "en"]),
        ("un happy _new", [0, 0, 1], ["unhappy", "new"]),
        ("_ _a __ b", [0, 0, 1, 1], ["a", "b"]),
        ("_ c a t _", [0, 0, 0, 0, 1], ["cat", ""]),
        ("", [], []),
    ],
)
def test_a_mark_starts_a_word(text: str, numbers: list[int], joined: list[str]) -> None:
    assert word_indices(pieces(text)) == numbers
    assert words_from_pieces(pieces(text)) == joined


def test_merged_weights_on_paper() -> None:
    """Two source words of pieces 0+1 and 2, EOS behind; two target words of pieces 0 and 1+2, EOS behind."""
    weights = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.25, 0.25, 0.0], [0.0, 0.25, 0.5, 0.25], [0.0, 0.0, 0.0, 1.0]])
    np.testing.assert_allclose(merge(weights, [0, 0, 1], [0, 1, 1]), [[0.3, 0.3], [0.5, 0.375]])


def test_merging_words_of_one_piece_changes_nothing_and_totals_stay() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(5), 4)
    np.testing.assert_allclose(merge(weights, range(5), range(4)), weights)
    np.testing.assert_allclose(merge(weights, [0, 1, 1, 1, 2], [0, 0, 1, 2]).sum(1), 1)


def test_tensors_of_any_type_are_welcome() -> None:
    torch = pytest.importorskip("torch")
    weights = torch.tensor([[0.5, 0.5]], dtype=torch.bfloat16, requires_grad=True)
    np.testing.assert_array_equal(merge(weights, [0, 0], [0]), [[1.0]])


@pytest.mark.parametrize(("source", "target"), [([0, 1, 2], [0]), ([0], [0, 1])])
def test_more_pieces_than_weights_are_refused(source: list[int], target: list[int]) -> None:
    with pytest.raises(DataError, match=r"weights of shape \(1, 2\) do not fit"):
        merge(np.ones((1, 2)), source, target)


def test_links_on_paper() -> None:
    weights = np.array([[0.6, 0.4, 0.0], [0.9, 0.1, 0.0], [0.0, 0.0, 0.0]])
    assert argmax_links(weights) == {(0, 0), (0, 1)}


def test_a_clear_permutation_is_found_as_it_is() -> None:
    order = np.random.default_rng(1).permutation(7)
    weights = 0.9 * np.eye(7)[order] + 0.1 / 7
    wanted = {(int(s), t) for t, s in enumerate(order)}
    assert argmax_links(weights) == wanted


def test_pharaoh_text_comes_back() -> None:
    links = {(0, 0), (12, 3), (2, 10)}
    assert format_links(links) == "0-0 2-10 12-3"
    assert parse_links(format_links(links)) == GoldAlignment(frozenset(links), frozenset(links))
    assert parse_links(" 0-0 1p2\n") == GoldAlignment(frozenset({(0, 0)}), frozenset({(0, 0), (1, 2)}))
    assert parse_links("") == GoldAlignment(frozenset(), frozenset())
    assert format_links(set()) == ""


@pytest.mark.parametrize("link", ["1", "1-", "-1-2", "a-b", "1:2", "0-1-2", "²-1"])
def test_what_is_no_link_is_refused_with_its_place(link: str) -> None:
    with pytest.raises(DataError, match=rf"gold.txt:2: '{link}' is no link"):
        parse_links(f"1-1 {link}\n", "gold.txt:2")


def figures(links: list[set[Link]], gold: list[GoldAlignment]) -> dict[str, float]:
    return {made.name: made.value for made in alignment_scores(links, gold, bootstrap=0)}


def test_error_rate_on_paper() -> None:
    """A = {00, 11, 22, 23}, S = {00, 11, 33}, P = S + {22}: |A and S| = 2, |A and P| = 3, |A| = 4, |S| = 3."""
    made = figures([{(0, 0), (1, 1), (2, 2), (2, 3)}], [parse_links("0-0 1-1 3-3 2p2")])
    assert made == pytest.approx({"aer": 100 * (1 - 5 / 7), "precision": 75, "recall": 200 / 3})


def test_a_corpus_sums_before_it_divides() -> None:
    gold = [parse_links("0-0"), parse_links("0-0 1-1 2-2")]
    made = figures([{(0, 0)}, {(0, 1)}], gold)
    assert made == pytest.approx({"aer": 100 * (1 - 2 / 6), "precision": 50, "recall": 25})


def test_with_sure_links_only_the_error_is_one_minus_f1() -> None:
    rng = np.random.default_rng(0)
    links, gold = ([{(int(s), int(t)) for s, t in rng.integers(0, 4, (6, 2))} for _ in range(20)] for _ in range(2))
    made = figures(links, [GoldAlignment(frozenset(g), frozenset(g)) for g in gold])
    f1 = 2 * made["precision"] * made["recall"] / (made["precision"] + made["recall"])
    assert made["aer"] == pytest.approx(100 - f1)


def test_the_gold_itself_has_no_error_and_possible_links_do_no_harm() -> None:
    gold = [parse_links("0-0 1p1"), parse_links("0-1 1-0"), parse_links("")]
    for links in ([set(g.sure) for g in gold], [set(g.possible) for g in gold]):
        assert figures(links, gold) == {"aer": 0, "precision": 100, "recall": 100}


def test_where_nothing_is_claimed_nothing_is_wrong() -> None:
    assert figures([set()], [parse_links("")]) == {"aer": 0, "precision": 100, "recall": 100}
    assert figures([set()], [parse_links("0-0")]) == {"aer": 100, "precision": 100, "recall": 0}


def test_the_error_rate_has_an_interval() -> None:
    rng = np.random.default_rng(0)
    links = [{(int(s), t) for t, s in enumerate(rng.integers(0, 3, 5))} for _ in range(40)]
    for made in alignment_scores(links, [parse_links("0-0 1-1 2-2 0-3 1p4")] * 40, bootstrap=200):
        assert made.interval
        assert made.interval[0] < made.value < made.interval[1]
        assert made.signature.startswith("bs:200|seed:12345|")


@pytest.mark.parametrize("links", [[], [{(0, 0)}] * 2])
def test_sentences_that_cannot_be_paired_are_refused(links: list[set[Link]]) -> None:
    with pytest.raises(
        DataError, match=f"alignments of {len(links)} sentences cannot be compared with gold alignments of 1"
    ):
        alignment_scores(links, [parse_links("0-0")])
