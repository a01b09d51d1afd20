"""Few combinations of choices that together contain every possible pair of them: a pairwise covering array.

`@pytest.mark.pairs(valid, scorer=SCORERS, window=WINDOWS)` runs a test with these combinations; the others of the full
product are slow tests. `valid`, which may be left out, says of a dict of choices whether they can be combined. It is
also given incomplete ones: a choice that is not made yet can be combined with all.
"""

import itertools
import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest

Row = dict[str, Any]
Axes = dict[str, Iterable[Any]]


def allowed(row: Row) -> bool:
    """The default of `valid`: all choices can be combined."""
    return True


def product(axes: Axes, valid: Callable[[Row], bool] = allowed) -> list[Row]:
    """Every valid combination of one choice for each axis."""
    rows = (dict(zip(axes, choices, strict=True)) for choices in itertools.product(*axes.values()))
    return [row for row in rows if valid(row)]


def pairs(row: Row) -> set[frozenset[tuple[str, Any]]]:
    """The pairs of choices in a combination."""
    return {frozenset(pair) for pair in itertools.combinations(row.items(), 2)}


def cover(axes: Axes, valid: Callable[[Row], bool] = allowed) -> list[Row]:
    """Few combinations that contain every pair of choices which any valid combination contains.

    Greedy and deterministic: each combination starts with a missing pair and gets the choices, axis by axis in random
    order, that add the most missing pairs; the first combinations add the most. At least two axes are needed.
    """
    choices, draw, rows = {name: list(values) for name, values in axes.items()}, random.Random(1), []
    missing: set[frozenset[tuple[str, Any]]] = set()
    for one, other in itertools.combinations(choices, 2):
        missing |= {pair for row in product({a: choices[a] for a in (one, other)}, valid) for pair in pairs(row)}

    def complete(row: Row, names: list[str]) -> Row | None:
        """The combination with choices for the axes `names` too, or None if none is valid."""
        if not names:
            return row
        name, *others = names
        items = row.items()
        for value in sorted(choices[name], key=lambda v: -sum(frozenset(((name, v), i)) in missing for i in items)):
            longer = {**row, name: value}
            if valid(longer) and (found := complete(longer, others)):
                return found
        return None

    for pair in sorted(missing, key=lambda pair: sorted(map(str, pair))):
        names = [name for name in draw.sample([*choices], len(choices)) if name not in dict(pair)]
        if pair in missing and (row := complete(dict(pair), names)):
            missing -= pairs(row)
            rows.append({name: row[name] for name in choices})
    return rows


def row_id(row: Row) -> str:
    """The id of a test of these choices."""
    return "-".join(map(str, row.values()))


def params(axes: Axes, valid: Callable[[Row], bool] = allowed, slow: bool = True) -> list[Any]:
    """The covering combinations as parameters of a test and, with `slow`, the rest of the product, marked as slow."""
    axes = {name: list(values) for name, values in axes.items()}
    fast = cover(axes, valid)
    rest = [row for row in product(axes, valid) if row not in fast] if slow else []
    marked = [*((row, ()) for row in fast), *((row, pytest.mark.slow) for row in rest)]
    return [pytest.param(*row.values(), id=row_id(row), marks=marks) for row, marks in marked]
