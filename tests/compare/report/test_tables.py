"""Cells of the results table, significance marks, and the thinning of learning curves."""

from math import nan

import pytest

from seq2seq.compare.report.tables import MOST_POINTS, json_ready, results_cell, significance_mark, thinned_curves
from seq2seq.compare.result import Column, Figure, Point, VariantRow

FIGURE = Figure(1234.56, (1234.0, 1235.0), 0.71, (-1.0, 2000.04), {}, {"bootstrap": 0.0004, "randomisation": 0.25})


def test_cell_has_value_interval_and_the_largest_p() -> None:
    """With narrow spaces between thousands."""
    column = Column("bleu", "BLEU", "higher", 1)
    cell = results_cell(FIGURE, column)
    assert "<b>1\u202f234.6</b>" in cell
    assert "± 0.7<" in cell
    assert "[-1.0, 2\u202f000.0]" in cell
    assert "p 0.250<" in cell
    assert "p &lt;0.001<" in results_cell(FIGURE._replace(corrected={"bootstrap": 0.0004}), column)


@pytest.mark.parametrize(
    ("verdict", "mark"),
    [
        ("better", 'better">▲ better<'),
        ("worse here", 'worse">▼ worse here<'),
        ("differs", 'differs">≠ differs<'),
        ("seeds disagree", 'unsure">seeds disagree<'),
    ],
)
def test_verdict_is_shown_with_its_symbol(verdict: str, mark: str) -> None:
    assert mark in significance_mark(Figure(41.0, (41.0,), verdict=verdict))
    assert significance_mark(Figure(41.0, (41.0,))) == ""


def test_cell_without_tests_has_no_p() -> None:
    cell = results_cell(Figure(41.0, (41.0,)), Column("x", "X", "higher"))
    assert "p " not in cell
    assert "▲" not in cell


def logged(update: int) -> Point:
    """A point with a training loss."""
    return Point(update, update / 2, update / 3, 5.0, nan, nan)


def validated(update: int) -> Point:
    """A point with figures of the dev set."""
    return Point(update, update / 2, update / 3, nan, 4.0, 30.0)


def logged_updates(*seeds: list[Point]) -> list[set[int]]:
    """The updates with a training loss that are left of each seed's curve; no dev figure may be lost."""
    found = thinned_curves(VariantRow("v", "rnn", (1, 2), ("a", "b"), {}, {}, tuple(seeds)))
    for before, after in zip(seeds, found, strict=True):
        dev = [[point for point in curve if point.dev_score == 30.0] for curve in (before, after)]
        assert dev[0] == dev[1]
        assert set(after) <= set(before)
    return [{point.update for point in curve if point.loss == 5.0} for curve in found]


@pytest.mark.parametrize("rows", [0, 1, 3, MOST_POINTS, MOST_POINTS + 1, 4321])
def test_long_curve_is_thinned_between_its_first_and_last_point(rows: int) -> None:
    (left,) = logged_updates([logged(10 * i) for i in range(rows)])
    if rows <= MOST_POINTS:
        assert len(left) == rows
    else:
        assert MOST_POINTS / 2 < len(left) <= MOST_POINTS + 1
    assert not rows or {0, 10 * (rows - 1)} <= left


def test_seeds_keep_the_same_updates() -> None:
    """Although one was interrupted and validated in between, and another logs twice as often."""
    usual, extra = ([logged(100 * i) for i in range(1, 1001)] for _ in range(2))
    extra.insert(43, validated(4321))
    often = [logged(50 * i) for i in range(1, 2001)]
    left = logged_updates(usual, extra, often)
    assert left[0] == left[1] == left[2]
    assert len(left[0]) >= MOST_POINTS
    assert max(left[0]) == 100_000


def test_seed_without_a_loss_does_not_empty_the_others() -> None:
    assert logged_updates([logged(1), logged(2)], [validated(2)]) == [{1, 2}, set()]


def test_json_has_whole_numbers_and_no_infinities() -> None:
    assert json_ready([5_732_672.0, 0.12345678, float("inf"), True]) == [5_732_672, 0.123457, None, True]
