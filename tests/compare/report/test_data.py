"""The data of the charts: thinned learning curves, numbers as JSON."""

from math import nan

import pytest

from seq2seq.compare.report.data import MOST_POINTS, json_ready, thinned_curves
from seq2seq.compare.result import Point, VariantRow


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
