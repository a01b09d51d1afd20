"""Bounds of numbers: what they admit, and the sentences for all other values."""

import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from seq2seq.errors import ConfigError
from seq2seq.runtime.bounds import SEARCH_BOUNDS, Bounds
from seq2seq.runtime.constraints import Constraints
from seq2seq.runtime.options import check_beam, check_options, check_sampling
from seq2seq.runtime.penalties import Penalties
from tests.each import each

COUNT, SHARE = Bounds(1, 9, "nine lives"), Bounds(0.0, 1.0, below=True, above=True)
WRONG = [
    (COUNT, 0, "x=0 is too small: at least 1"),
    (COUNT, 10, "x=10 is too large: at most 9 (nine lives)"),
    (COUNT, 10**5000, "x=1.000e+5000 is too large"),
    (COUNT, -(10**5000), "x=-1.000e+5000 is too small"),
    (COUNT, 3.0, "x='3.0' is not an integer"),
    (COUNT, True, "x='True' is not an integer"),
    (COUNT, "3", "x='3' is not an integer"),
    (COUNT, None, "x='None' is not an integer"),
    (SHARE, 0.0, "x=0 is too small: above 0"),
    (SHARE, -0.0, "x=-0 is too small: above 0"),
    (SHARE, 1, "x=1 is too large: below 1"),
    (SHARE, math.nan, "x=nan is not a finite number"),
    (SHARE, math.inf, "x=inf is not a finite number"),
    (SHARE, -math.inf, "x=-inf is not a finite number"),
    (SHARE, False, "x='False' is not a number"),
    (SHARE, 10**5000, "x=1.000e+5000 is too large"),
    (SHARE, "0.5", "x='0.5' is not a number"),
    (SHARE, 0.1 + 0.9, "x=1 is too large"),
    (Bounds(0.0, 0.3), 0.1 + 0.2, "x=0.30000000000000004 is too large: at most 0.3"),
]


@each(("bounds", "value", "sentence"), WRONG)
def test_numbers_out_of_bounds_are_refused_in_a_sentence(bounds: Bounds, value: Any, sentence: str) -> None:
    assert value not in bounds
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        bounds.check("x", value)


def test_the_ends_are_allowed_unless_they_are_excluded() -> None:
    assert all(value in COUNT for value in (1, 9))
    assert all(value in Bounds(0.0, 1.0) for value in (0, 1, 0.0, 1.0, -0.0))
    assert all(value in SHARE for value in (5e-324, 1 - 2**-53))
    assert [str(bounds) for bounds in (COUNT, SHARE)] == ["1..9", ">0..<1"]


WRONG_OPTIONS = [-1, 10**30, 10**5000, math.nan, math.inf, True, "1", 1e308, None]


@each("number", range(len(WRONG_OPTIONS)))
@each("name", SEARCH_BOUNDS)
def test_search_refuses_impossible_options(name: str, number: int) -> None:
    """The functions of the library and those without torch alike: they share these checks."""
    value: Any = WRONG_OPTIONS[number]
    sampling = {"samples": 1, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
    checks: dict[str, Callable[[], object]] = {
        "beam": lambda: check_beam(value, 1),
        "alpha": lambda: Penalties("average", alpha=value),
        "coverage_penalty": lambda: Penalties("average", coverage=value),
        **{option: lambda: check_sampling(**sampling | {name: value}) for option in sampling},
    }
    with pytest.raises(ConfigError, match=f"^{name}"):
        checks.get(name, lambda: check_options(**{name: value}))()


@pytest.mark.parametrize("name", ["max_length", "min_length", "no_repeat"])
@pytest.mark.parametrize("value", [-1, 2.5, True, 10**9])
def test_constraints_without_torch_refuse_impossible_numbers(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{name}="):
        Constraints(**{"max_length": 5} | {name: value})
