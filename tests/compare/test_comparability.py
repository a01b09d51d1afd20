"""Does the header say what a reader must know before he believes a difference?"""

from collections.abc import Callable
from typing import Any

import pytest

from seq2seq.compare.collect import EvaluatedRun
from seq2seq.compare.comparability import budget
from seq2seq.compare.variants import group

Make = Callable[..., EvaluatedRun]
NONE = "No equal budget: the runs had neither the same updates nor a time limit that all of them reached."
PARAMETERS = "All runs had the same parameters (100 to 102)."
LIMITED = {"updates": 600, "seconds": 120.5}
BUDGETS: dict[str, tuple[float, dict[str, Any], dict[str, Any], list[str]]] = {  # minutes; run.json of two runs; what is said
    "updates and parameters": (0, {}, {}, ["Equal budget: all runs had the same updates (600) and parameters (100 to 102)."]),
    "the very same": (0, {}, {"parameters": 100}, ["Equal budget: all runs had the same updates (600) and parameters (100)."]),
    "updates alone": (0, {}, {"parameters": 103}, ["Equal budget: all runs had the same updates (600)."]),
    "time": (2, LIMITED, {"updates": 60_000, "seconds": 120, "parameters": 200}, [
        "Equal budget: all runs had the same time limit (2 minutes).", "The runs had 600 to 60,000 updates."]),
    "both": (2, LIMITED, LIMITED, [
        "Equal budget: all runs had the same updates (600), time limit (2 minutes) and parameters (100 to 102)."]),
    "a time limit that one did not reach": (2, LIMITED, {"updates": 500, "seconds": 119}, [
        NONE, PARAMETERS, "The runs had 500 to 600 updates."]),
    "parameters alone": (0, {}, {"updates": 60_000}, [NONE, PARAMETERS, "The runs had 600 to 60,000 updates."]),
    "nothing": (0, {}, {"updates": 601, "parameters": 103}, [NONE, "The runs had 600 to 601 updates."]),
    "who knows": (0, {}, {"updates": None}, [NONE, PARAMETERS, "Not known how many updates these runs had: second."]),
}  # fmt: skip


@pytest.mark.parametrize("case", BUDGETS)
def test_a_budget_is_equal_in_updates_or_in_time(case: str, make_cell: Make) -> None:
    minutes, first, second, said = BUDGETS[case]
    limit = f"training.max_minutes={minutes}"
    cells = [make_cell(["a"], limit, name="first", info={"parameters": 100} | first)]
    cells += [make_cell(["a"], limit, "variant=b", name="second", info={"parameters": 102} | second)]
    assert budget(group(cells)[0]) == said


def test_parameters_are_the_same_where_all_were_asked_for_the_same(make_cell: Make) -> None:
    """Each is within 2 % of what was asked for, and so up to 4 % from another."""
    cells = [
        make_cell(["a"], "model.parameters=100", f"variant={n}", name=f"v{n}", info={"parameters": n})
        for n in (98, 102)
    ]
    assert budget(group(cells)[0])[0].endswith("updates (600) and parameters (98 to 102).")
    other = make_cell(["a"], "variant=c", info={"parameters": 102})
    assert budget(group([cells[0], other])[0])[0].endswith("updates (600).")


def test_one_run_has_no_budget_to_compare(make_cell: Make) -> None:
    assert budget(group([make_cell(["a"])])[0]) == []


def test_different_limits_are_none(make_cell: Make) -> None:
    """Though each was reached."""
    cells = [make_cell(["a"], f"training.max_minutes={n}", info={"updates": n, "seconds": 1000}) for n in (1, 2)]
    assert budget(group(cells)[0])[0] == NONE
