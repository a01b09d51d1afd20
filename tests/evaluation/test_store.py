"""Stored evaluations: files round-trip, and an evaluation is only read back for what it was made from."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seq2seq.evaluation.evaluate import SUMS, EvaluationSpec
from seq2seq.evaluation.store import (
    load_or_align,
    load_or_translate,
    read_evaluation,
    read_lines,
    read_sums,
    write_sums,
)
from seq2seq.evaluation.testset import TestSet
from seq2seq.runs.directory import Run
from seq2seq.utils.files import write_text


def test_sums_round_trip(tmp_path: Path) -> None:
    sums = np.random.default_rng(0).random((5, 2 * len(SUMS)))
    write_sums(tmp_path / "sentences.csv", sums)
    np.testing.assert_allclose(read_sums(tmp_path / "sentences.csv"), sums, rtol=1e-8)


@pytest.mark.parametrize("value", ["nan", "inf", "1e15", "x"])
def test_sums_that_are_no_finite_numbers_are_refused(value: str, tmp_path: Path) -> None:
    write_sums(tmp_path / "sentences.csv", np.zeros((2, 2 * len(SUMS))))
    text = (tmp_path / "sentences.csv").read_text()
    write_text(tmp_path / "sentences.csv", text.replace("0", value, 1))
    with pytest.raises(ValueError):  # noqa: PT011  NumPy words some of them
        read_sums(tmp_path / "sentences.csv")


def test_hypotheses_may_hold_any_character_but_the_newline(tmp_path: Path) -> None:
    lines = ["a\u2028b", "", "c\rd", "\x85"]
    write_text(tmp_path / "hypotheses.txt", "".join(f"{line}\n" for line in lines))
    assert read_lines(tmp_path / "hypotheses.txt") == lines


def test_a_stored_evaluation_is_read_without_a_model(
    lively: Callable[..., Path], lines: list[str], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(lively(), tmp_path / "run", ignore=shutil.ignore_patterns("evaluation")))
    lines = [line for line in lines if line.strip()]
    test = TestSet("lines", lines, [lines])
    assert read_evaluation(EvaluationSpec((Run.open(run),)), test) is None
    made = load_or_translate(EvaluationSpec((Run.open(run),)), test)
    links = load_or_align(EvaluationSpec((Run.open(run),)), test)
    spec = EvaluationSpec((Run.open(run),))
    stored = load_or_translate(spec, test)
    assert load_or_align(spec, test) == links
    assert "translator" not in vars(spec)
    assert stored.hypotheses == made.hypotheses
    assert len(stored.attention_records or ()) == len(lines)
    for other in (TestSet("lines", [*lines[:-1], "other"], [lines]), TestSet("lines", lines, [lines[::-1]])):
        assert read_evaluation(spec, other) is None
    assert read_evaluation(EvaluationSpec((Run.open(run),), options={"beam": 2}), test) is None
