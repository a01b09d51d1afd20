"""Grouping of runs into variants, and the names of variants."""

from collections.abc import Callable

import pytest

from seq2seq.compare.collect import EvaluatedRun
from seq2seq.compare.variants import choose_baseline, group_runs

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


SETTINGS = {
    "none": ["model.attention.scorer=uniform", "model.attention.window=last"],
    "dot": ["model.attention.scorer=dot"],
    "general": [],
    "coverage": ["model.attention.coverage=true"],
    "local": ["model.attention.window=local_m"],
}


@pytest.mark.parametrize(
    ("names", "baseline", "reason"),
    [
        (["dot", "none", "general"], "none", "has no attention"),
        (["dot", "coverage", "general", "local"], "general", "differ in the fewest settings"),
        (["local", "coverage", "general"], "general", "differ in the fewest settings"),
        (["dot", "general"], "dot", "the first"),
    ],
)
def test_default_baseline_is_the_base_of_an_ablation(
    names: list[str], baseline: str, reason: str, make_run: Make
) -> None:
    """And the header says why, and names the others."""
    variants, _ = group_runs([make_run(["a"], f"variant='{name}'", *SETTINGS[name]) for name in names])
    found, sentence = choose_baseline(variants, None)
    assert found.name == baseline
    assert sentence.startswith(f"The baseline is {baseline}, ")
    assert reason in sentence
    assert all(name in sentence for name in names)
    assert choose_baseline(variants, names[-1]) == (variants[-1], "")
    assert choose_baseline(variants[:1], None) == (variants[0], "")
