"""Are runs of one variant found to be one, and others called what tells them apart?"""

from collections.abc import Callable

import pytest

from seq2seq.compare.collect import EvaluatedRun
from seq2seq.compare.variants import group

Make = Callable[..., EvaluatedRun]
ALIKE = {
    "seed": ("seed=1", "seed=2"),
    "batch of the search": ("search.batch=5", "search.batch=7"),
    "window of the search": ("search.window=5", "search.window=7"),
    "threads": ("trainer.threads=1", "trainer.threads=2"),
    "zeros": ("training.label_smoothing=0.0", "training.label_smoothing=-0.0"),
}
NAMED = {  # what differs -> names
    "one setting": (("search.beam=2",), ("search.beam=3",), ["rnn-general beam=2", "rnn-general beam=3"]),
    "two of one last part": (
        ("model.hidden=8", "model.attention.scorer=additive", "model.attention.hidden=16"),
        ("model.hidden=16", "model.attention.scorer=additive", "model.attention.hidden=8"),
        [
            "rnn-additive model.attention.hidden=16 model.hidden=8",
            "rnn-additive model.attention.hidden=8 model.hidden=16",
        ],
    ),
    "names of their own": (("variant=a",), ("variant=b", "search.beam=3"), ["a", "b"]),
}


@pytest.mark.parametrize("case", ALIKE)
def test_what_makes_no_other_variant(case: str, make_cell: Make) -> None:
    one, other = ALIKE[case]
    variants, notes = group([make_cell(["a"], "seed=1", one), make_cell(["a"], "seed=2", other)])
    assert [variant.seeds for variant in variants] == [(1, 2)]
    assert not notes


@pytest.mark.parametrize("case", NAMED)
def test_variants_are_called_what_tells_them_apart(case: str, make_cell: Make) -> None:
    one, other, named = NAMED[case]
    variants, _ = group([make_cell(["a"], *words) for words in (one, other)])
    assert [variant.name for variant in variants] == named


def test_the_second_run_of_a_seed_is_left_out(make_cell: Make) -> None:
    first, second, third = (
        make_cell(["a"], f"seed={seed}", name=name) for seed, name in ((2, "first"), (2, "second"), (1, "third"))
    )
    (variant,), (note,) = group([first, second, third])
    assert variant.cells == (third, first)
    assert note == f"{second.run.folder} is left out: it has the settings and the seed of {first.run.folder}."
