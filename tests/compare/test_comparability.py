"""Header sentences on the budget and the batches of the compared runs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from seq2seq.compare.collect import EvaluatedRun
from seq2seq.compare.comparability import batch_order, budget
from seq2seq.compare.variants import group_runs

Make = Callable[..., EvaluatedRun]
UNEQUAL = "No equal budget: the runs share neither a number of updates nor a time limit that all of them reached."
SAME_SIZE = "All runs had the same number of parameters (100 to 102)."
LIMITED = {"updates": 600, "seconds": 120.5}
BUDGETS: dict[str, tuple[float, dict[str, Any], dict[str, Any], list[str]]] = {  # max_minutes, two run.json, sentences
    "updates and parameters": (0, {}, {}, [
        "Equal budget: all runs had the same number of updates (600) and number of parameters (100 to 102)."]),
    "exactly the same parameters": (0, {}, {"parameters": 100}, [
        "Equal budget: all runs had the same number of updates (600) and number of parameters (100)."]),
    "updates alone": (0, {}, {"parameters": 103}, ["Equal budget: all runs had the same number of updates (600)."]),
    "time": (2, LIMITED, {"updates": 60_000, "seconds": 120, "parameters": 200}, [
        "Equal budget: all runs had the same time limit (2 minutes).", "The runs had 600 to 60,000 updates."]),
    "updates, time and parameters": (2, LIMITED, LIMITED, [
        "Equal budget: all runs had the same number of updates (600), time limit (2 minutes) and number of parameters "
        "(100 to 102)."]),
    "a time limit that one did not reach": (2, LIMITED, {"updates": 500, "seconds": 119}, [
        UNEQUAL, SAME_SIZE, "The runs had 500 to 600 updates."]),
    "parameters alone": (0, {}, {"updates": 60_000}, [UNEQUAL, SAME_SIZE, "The runs had 600 to 60,000 updates."]),
    "nothing": (0, {}, {"updates": 601, "parameters": 103}, [UNEQUAL, "The runs had 600 to 601 updates."]),
    "unknown updates": (0, {}, {"updates": None}, [UNEQUAL, SAME_SIZE, "Unknown number of updates: second."]),
}  # fmt: skip


@pytest.mark.parametrize("case", BUDGETS)
def test_budget_sentences(case: str, make_run: Make) -> None:
    minutes, first, second, sentences = BUDGETS[case]
    limit = f"training.max_minutes={minutes}"
    runs = [make_run(["a"], limit, name="first", info={"parameters": 100} | first)]
    runs += [make_run(["a"], limit, "variant=b", name="second", info={"parameters": 102} | second)]
    assert budget(group_runs(runs)[0]) == sentences


def test_runs_sized_by_the_same_setting_have_the_same_parameters(make_run: Make) -> None:
    """Each is within 2% of `model.parameters`, and so up to 4% from another."""
    runs = [
        make_run(["a"], "model.parameters=100", f"variant={n}", name=f"v{n}", info={"parameters": n}) for n in (98, 102)
    ]
    assert budget(group_runs(runs)[0])[0].endswith("updates (600) and number of parameters (98 to 102).")
    other = make_run(["a"], "variant=c", info={"parameters": 102})
    assert budget(group_runs([runs[0], other])[0])[0].endswith("updates (600).")


def test_single_run_has_no_budget_sentence(make_run: Make) -> None:
    assert budget(group_runs([make_run(["a"])])[0]) == []


def test_different_time_limits_are_no_equal_budget(make_run: Make) -> None:
    """Even though each run reached its own."""
    runs = [make_run(["a"], f"training.max_minutes={n}", info={"updates": n, "seconds": 1000}) for n in (1, 2)]
    assert budget(group_runs(runs)[0])[0] == UNEQUAL


SAME_BATCHES = "Runs with the same seed were trained on the same batches in the same order."
BATCHES: dict[str, tuple[dict[int, str], dict[int, str], list[str]]] = {  # update -> checksum of two runs, sentences
    "same": ({100: "a", 200: "b"}, {100: "a", 200: "b"}, [SAME_BATCHES]),
    "same as far as both were trained": ({100: "a", 200: "b"}, {100: "a"}, [SAME_BATCHES]),
    "different from the second row on": ({100: "a", 200: "b", 300: "c"}, {100: "a", 200: "x"}, [
        "Different batches by update 200 in spite of the same seed: first and second."]),
    "no common update": ({100: "a"}, {150: "b"}, [
        "Unknown whether the batches were the same: first and second logged no common update."]),
    "no checksums": ({100: "a"}, {}, ["Unknown whether the batches were the same: no checksums in second."]),
}  # fmt: skip


@pytest.mark.parametrize("case", BATCHES)
def test_batch_sentences(case: str, make_run: Make) -> None:
    *checksums, sentences = BATCHES[case]
    runs = []
    for name, logged in zip(("first", "second"), checksums, strict=True):
        metrics = [{"update": str(update), "batches": checksum} for update, checksum in logged.items()]
        runs.append(replace(make_run(["a"], f"variant={name}", name=name), metrics=metrics))
    assert batch_order(group_runs(runs)[0]) == sentences


def test_batches_of_different_seeds_are_not_compared(make_run: Make) -> None:
    runs = [
        replace(make_run(["a"], f"seed={seed}"), metrics=[{"update": "1", "batches": str(seed)}]) for seed in (1, 2)
    ]
    assert batch_order(group_runs(runs)[0]) == []
