"""What of learning curves reaches the page? As many points as can be seen, at updates that all seeds have, to the end."""

from math import nan

import pytest

from seq2seq.compare.report.tables import MOST_POINTS, curves, plain
from seq2seq.compare.result import Point, VariantRow


def logged(update: int) -> Point:
    return Point(update, update / 2, update / 3, 5.0, nan, nan)


def validated(update: int) -> Point:
    return Point(update, update / 2, update / 3, nan, 4.0, 30.0)


def of(*seeds: list[Point]) -> list[set[int]]:
    """The updates with a training loss that are left of each seed."""
    found = curves(VariantRow("v", "rnn", (1, 2), ("a", "b"), {}, {}, tuple(seeds)))
    for before, after in zip(seeds, found, strict=True):
        dev = [[point for point in curve if point.dev_score == 30.0] for curve in (before, after)]
        assert dev[0] == dev[1]
        assert set(after) <= set(before)
    return [{point.update for point in curve if point.loss == 5.0} for curve in found]


@pytest.mark.parametrize("rows", [0, 1, 3, MOST_POINTS, MOST_POINTS + 1, 4321])
def test_a_long_curve_is_thinned_from_its_first_point_to_its_last(rows: int) -> None:
    (left,) = of([logged(10 * i) for i in range(rows)])
    assert len(left) == rows if rows <= MOST_POINTS else MOST_POINTS / 2 < len(left) <= MOST_POINTS + 1
    assert not rows or {0, 10 * (rows - 1)} <= left


def test_seeds_keep_the_same_updates_whatever_else_they_have() -> None:
    """One was cut off and validated in between; one logs twice as often."""
    usual, extra = ([logged(100 * i) for i in range(1, 1001)] for _ in range(2))
    extra.insert(43, validated(4321))
    often = [logged(50 * i) for i in range(1, 2001)]
    left = of(usual, extra, often)
    assert left[0] == left[1] == left[2]
    assert len(left[0]) >= MOST_POINTS
    assert max(left[0]) == 100_000


def test_a_seed_without_a_loss_is_no_reason_for_no_curve() -> None:
    assert of([logged(1), logged(2)], [validated(2)]) == [{1, 2}, set()]


def test_whole_numbers_stay_whole() -> None:
    assert plain([5_732_672.0, 0.12345678, float("inf"), True]) == [5_732_672, 0.123457, None, True]
