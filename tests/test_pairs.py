"""Combinations of choices: few, and every possible pair of choices is in one of them."""

from typing import Any

import pytest

from tests.pairs import allowed, cover, pairs, params, product

AXES = {"a": "12345", "b": "xyz", "c": (False, True), "d": range(4)}
RULES = {
    "all": allowed,
    "one pair excluded": lambda row: not (row.get("a") == "1" and row.get("b") == "x"),
    "three axes": lambda row: row.get("c", True) or row.get("d", 0) + "12345".index(row.get("a", "1")) < 4,
    "a pair that cannot be completed": lambda row: (
        not (row.get("a") == "1" and row.get("b") == "x" and row.get("c") in (False, True))
    ),
}


@pytest.mark.parametrize("valid", RULES.values(), ids=RULES)
def test_every_possible_pair_is_contained_and_nothing_else(valid: Any) -> None:
    rows, every = cover(AXES, valid), product(AXES, valid)
    assert all(row in every for row in rows)
    assert set().union(*map(pairs, rows)) == set().union(*map(pairs, every))


def test_combinations_are_few_and_always_the_same() -> None:
    rows = cover(AXES)
    assert 5 * 4 <= len(rows) < 5 * 4 * 1.5 < len(product(AXES)) == 5 * 3 * 2 * 4
    assert cover(AXES) == rows
    assert all(list(row) == list(AXES) for row in rows)


def test_two_axes_are_the_product() -> None:
    assert sorted(map(str, cover({"a": "12", "b": "34"}))) == sorted(map(str, product({"a": "12", "b": "34"})))


def test_parameters_are_the_product_and_those_outside_the_cover_are_slow() -> None:
    every = params(AXES)
    fast = [param.values for param in every if not param.marks]
    assert fast == [tuple(row.values()) for row in cover(AXES)] == [param.values for param in params(AXES, slow=False)]
    assert sorted(map(str, (param.values for param in every))) == sorted(str(tuple(r.values())) for r in product(AXES))


@pytest.mark.pairs(RULES["one pair excluded"], a="12", b="xy", c=(False, True))
def test_marker_gives_the_choices_by_name(a: str, b: str, c: bool) -> None:
    assert (a, b) != ("1", "x")
    assert a in "12"
    assert c in (False, True)
