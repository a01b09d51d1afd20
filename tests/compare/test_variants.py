"""Grouping of runs into variants, and the names of variants."""

from collections.abc import Callable

import pytest

from seq2seq.compare.collect import EvaluatedRun
from seq2seq.compare.variants import group_runs

Make = Callable[..., EvaluatedRun]
SAME_VARIANT = {
    "seed": ("seed=1", "seed=2"),
    "batch of the search": ("search.batch=5", "search.batch=7"),
    "window of the search": ("search.window=5", "search.window=7"),
    "threads": ("trainer.threads=1", "trainer.threads=2"),
    "negative zero": ("training.label_smoothing=0.0", "training.label_smoothing=-0.0"),
}
NAMES = {  # settings of two runs, names of their variants
    "one setting": (("search.beam=2",), ("search.beam=3",), ["rnn-general beam=2", "rnn-general beam=3"]),
    "two settings with the same last part": (
        ("model.hidden=8", "model.attention.scorer=additive", "model.attention.hidden=16"),
        ("model.hidden=16", "model.attention.scorer=additive", "model.attention.hidden=8"),
        [
            "rnn-additive model.attention.hidden=16 model.hidden=8",
            "rnn-additive model.attention.hidden=8 model.hidden=16",
        ],
    ),
    "names of their own": (("variant=a",), ("variant=b", "search.beam=3"), ["a", "b"]),
}


@pytest.mark.parametrize("case", SAME_VARIANT)
def test_runs_of_one_variant_may_differ_in(case: str, make_run: Make) -> None:
    one, other = SAME_VARIANT[case]
    variants, notes = group_runs([make_run(["a"], "seed=1", one), make_run(["a"], "seed=2", other)])
    assert [variant.seeds for variant in variants] == [(1, 2)]
    assert not notes


@pytest.mark.parametrize("case", NAMES)
def test_names_show_the_settings_that_differ(case: str, make_run: Make) -> None:
    one, other, names = NAMES[case]
    variants, _ = group_runs([make_run(["a"], *words) for words in (one, other)])
    assert [variant.name for variant in variants] == names


def test_second_run_of_a_seed_is_left_out(make_run: Make) -> None:
    first, second, third = (
        make_run(["a"], f"seed={seed}", name=name) for seed, name in ((2, "first"), (2, "second"), (1, "third"))
    )
    (variant,), (note,) = group_runs([first, second, third])
    assert variant.runs == (third, first)
    assert note == f"{second.folder} is left out: it has the settings and the seed of {first.folder}."
