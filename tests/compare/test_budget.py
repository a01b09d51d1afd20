"""Header sentences on what training took, by what the runs recorded."""

from collections.abc import Callable
from typing import Any

import pytest

from seq2seq.compare.budget import budget_notes
from seq2seq.compare.collect import EvaluatedRun

Make = Callable[..., EvaluatedRun]
EQUAL = "Equal budget: all runs had the same "
UNEQUAL = "No equal budget: a difference between variants may be one of cost."
UPDATES = "Updates differ by {}%: from {} (first) to {} (second)."
CPU_TIME = "CPU seconds differ by 103%: from 38 (first) to 77 (second)."
CASES: dict[str, tuple[float, dict[str, Any], dict[str, Any], list[str]]] = {  # max_minutes, two run.json, sentences
    "updates": (0, {}, {}, [f"{EQUAL}updates (600) and parameters (100)."]),
    "updates and tokens": (0, {"target_tokens": 9000}, {"target_tokens": 9000.0, "parameters": 101}, [
        f"{EQUAL}updates (600), target tokens (9,000) and parameters (100 to 101), within 3%."
    ]),
    "updates, but half of the tokens": (0, {"target_tokens": 4500}, {"target_tokens": 9000}, [
        UNEQUAL, "All runs had the same updates (600) and parameters (100).",
        "Target tokens differ by 100%: from 4,500 (first) to 9,000 (second)."]),
    "updates, but not the time that they took": (0, {"processor_seconds": 38}, {"processor_seconds": 77}, [
        f"{EQUAL}updates (600) and parameters (100).", CPU_TIME]),
    "a time limit, and the same CPU time": (
        1, {"seconds": 60, "processor_seconds": 59}, {"updates": 900, "seconds": 60.5, "processor_seconds": 60}, [
            f"{EQUAL}CPU seconds (59 to 60), parameters (100) and time (1 min), within 3%.",
            UPDATES.format(50, 600, 900)]),
    "a time limit, and half of the CPU time": (
        1, {"updates": 135, "seconds": 60, "processor_seconds": 38},
        {"updates": 386, "seconds": 60, "processor_seconds": 77},
        [UNEQUAL, "All runs had the same parameters (100).", UPDATES.format(186, 135, 386), CPU_TIME]),
    "a time limit that one did not reach": (2, {"seconds": 120}, {"updates": 500, "seconds": 119}, [
        UNEQUAL, "All runs had the same parameters (100).",
        "Updates differ by 20%: from 500 (second) to 600 (first)."]),
    "nothing": (0, {"updates": 0}, {"parameters": 110}, [
        UNEQUAL, "Updates differ: from 0 (first) to 600 (second).",
        "Parameters differ by 10%: from 100 (first) to 110 (second)."]),
    "unknown": (0, {"target_tokens": 5}, {"updates": None}, [
        UNEQUAL, "All runs had the same parameters (100).",
        "Unknown updates: second.", "Unknown target tokens: second."]),
}  # fmt: skip


def notes(make_run: Make, minutes: list[float], *infos: dict[str, Any]) -> list[str]:
    """The sentences for runs named first and second, with these time limits and entries of run.json."""
    return budget_notes(
        [
            make_run(["a"], f"training.max_minutes={limit}", name=name, info={"parameters": 100} | info)
            for name, limit, info in zip(("first", "second"), minutes, infos, strict=False)
        ]
    )


@pytest.mark.parametrize("case", CASES)
def test_budget_is_what_the_runs_recorded(case: str, make_run: Make) -> None:
    minutes, first, second, sentences = CASES[case]
    assert notes(make_run, [minutes, minutes], first, second) == sentences


def test_different_time_limits_are_no_equal_budget(make_run: Make) -> None:
    """Even though each run reached its own."""
    assert notes(make_run, [1, 2], {"updates": 1, "seconds": 999}, {"updates": 2, "seconds": 999})[0] == UNEQUAL


def test_single_run_has_no_budget(make_run: Make) -> None:
    assert notes(make_run, [0], {}) == []


def test_asking_for_a_size_is_not_having_it(make_run: Make) -> None:
    """`model.parameters` is a target that a model may miss."""
    runs = [make_run(["a"], "model.parameters=100", name=f"v{n}", info={"parameters": n}) for n in (90, 110)]
    assert "Parameters differ by 22%: from 90 (v90) to 110 (v110)." in budget_notes(runs)
