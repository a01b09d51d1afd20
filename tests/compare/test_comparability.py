"""Header sentences on the compared runs: batches, seeds, and where they come from. The budget: test_budget.py."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from seq2seq.compare.collect import EvaluatedRun
from seq2seq.compare.comparability import (
    batch_order,
    copied_runs,
    different_origins,
    single_runs,
    timing_conditions,
)
from seq2seq.compare.variants import Variant, group_runs

Make = Callable[..., EvaluatedRun]


def run_pair(make_run: Make, first: dict[str, Any], second: dict[str, Any], *settings: str) -> list[Variant]:
    """Two variants with these entries in run.json; the runs are named first and second."""
    runs = [make_run(["a"], *settings, name="first", info=first)]
    runs += [make_run(["b"], *settings, "variant=b", name="second", info=second)]
    return group_runs(runs)[0]


SAME_BATCHES = "Runs with the same seed were trained on the same batches in the same order."
BATCHES: dict[str, tuple[dict[int, str], dict[int, str], list[str]]] = {  # update -> checksum of two runs, sentences
    "same": ({100: "a", 200: "b"}, {100: "a", 200: "b"}, [SAME_BATCHES]),
    "same as far as both were trained": ({100: "a", 200: "b"}, {100: "a"}, [
        SAME_BATCHES.replace(".", " up to update 100, as far as recorded.")]),
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


@pytest.mark.parametrize(
    ("seeds", "start"),
    [
        ([1, 1], "One seed of each variant: the table speaks of these runs and not of the variants"),
        ([2, 1], "One seed of b: what the table says of it speaks of these runs and not of the variants"),
        ([1, 1, 2], "One seed of a and b: what the table says of them speaks"),
        ([2, 3], ""),
        ([1], ""),
    ],
)
def test_variants_with_one_seed_are_named(seeds: list[int], start: str, make_run: Make) -> None:
    """What is said of them is of the runs."""
    runs = [make_run(["a"], f"variant={v}", f"seed={s}") for v, n in zip("abc", seeds, strict=False) for s in range(n)]
    notes = single_runs(group_runs(runs)[0])
    assert len(notes) == bool(start)
    assert all(note.startswith(start) for note in notes)


def test_runs_that_wrote_the_same_are_named(make_run: Make) -> None:
    """As a copy of a run does, whatever seed its settings name."""
    runs = [make_run([text], f"seed={seed}", name=f"s{seed}") for seed, text in ((1, "a"), (2, "b"), (3, "a"))]
    assert copied_runs(group_runs(runs)[0]) == [
        "s1 and s3 wrote the same translations: they count as one seed in the tests."
    ]


def test_seed_of_the_settings_is_checked_against_the_recorded_one(make_run: Make) -> None:
    runs = [make_run([f"{s}"], f"seed={s}", name=f"s{s}", info={"seed": 1}) for s in (1, 2)]
    assert copied_runs(group_runs(runs)[0]) == ["s2 has seed=2 in its settings, but was trained with 1."]


def test_recorded_origins_that_differ_are_named(make_run: Make) -> None:
    first = {"tokenizer": "a" * 64, "links": "b" * 64, "versions": {"torch": "2.6.0", "seq2seq": "1"}}
    assert different_origins(run_pair(make_run, first, first)) == []
    assert different_origins(run_pair(make_run, first, {"versions": "damaged"})) == []
    second = {"tokenizer": "c" * 64, "links": "d" * 64, "versions": {"torch": "2.13.0", "seq2seq": "1"}}
    assert different_origins(run_pair(make_run, first, second)) == [
        "Different tokenizers: first and second.",
        "Trained on different word links: first and second.",
        "Trained with different versions of torch: 2.13.0 and 2.6.0.",
    ]


def test_different_threads_of_training_are_named(make_run: Make) -> None:
    runs = [make_run(["a"], f"trainer.threads={n}", f"variant=v{n}") for n in (1, 2)]
    assert timing_conditions(group_runs(runs)[0]) == [
        "Training speed was measured with different trainer.threads (1, 2)."
    ]
    other = {**runs[0].evaluation.decoding, "threads": 2}
    runs[1] = replace(runs[0], evaluation=runs[0].evaluation._replace(decoding=other))
    variants = [Variant("a", (runs[0],), {}), Variant("b", (runs[1],), {})]
    assert timing_conditions(variants) == ["Decoding speed was measured with different threads (1, 2)."]
