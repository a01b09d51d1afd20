"""Stored evaluations: files round-trip, and an evaluation is only read back for what it was made from."""

import json
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
    read_hypotheses,
    read_sums,
    write_sums,
)
from seq2seq.evaluation.testset import TestSet
from seq2seq.runs.directory import WEIGHTS, Run
from seq2seq.utils.files import write_text


def test_sums_round_trip(tmp_path: Path) -> None:
    sums = np.random.default_rng(0).random((5, 2 * len(SUMS)))
    write_sums(tmp_path / "sentences.csv", sums)
    np.testing.assert_allclose(read_sums(tmp_path / "sentences.csv", len(sums)), sums, rtol=1e-8)


@pytest.mark.parametrize("value", ["nan", "inf", "1e15", "x"])
def test_sums_that_are_no_finite_numbers_are_refused(value: str, tmp_path: Path) -> None:
    write_sums(tmp_path / "sentences.csv", np.zeros((2, 2 * len(SUMS))))
    text = (tmp_path / "sentences.csv").read_text()
    write_text(tmp_path / "sentences.csv", text.replace("0", value, 1))
    with pytest.raises(ValueError):  # noqa: PT011  NumPy words some of them
        read_sums(tmp_path / "sentences.csv", 2)


def test_hypotheses_may_hold_any_character_but_the_newline(tmp_path: Path) -> None:
    lines = ["a\u2028b", "", "c\rd", "\x85"]
    write_text(tmp_path / "hypotheses.txt", "".join(f"{line}\n" for line in lines))
    assert read_hypotheses(tmp_path / "hypotheses.txt") == lines


@pytest.fixture
def run(random_run: Callable[..., Path], tmp_path: Path) -> Run:
    return Run.open(shutil.copytree(random_run(), tmp_path / "run", ignore=shutil.ignore_patterns("evaluation")))


@pytest.fixture
def sample(lines: list[str]) -> TestSet:
    text = [line for line in lines if line.strip()]
    return TestSet("lines", text, [text])


def test_a_stored_evaluation_is_read_without_a_model(run: Run, sample: TestSet) -> None:
    assert read_evaluation(EvaluationSpec((run,)), sample) is None
    computed = load_or_translate(EvaluationSpec((run,)), sample)
    links = load_or_align(EvaluationSpec((run,)), sample)
    spec = EvaluationSpec((run,))
    stored = load_or_translate(spec, sample)
    assert stored.hypotheses == computed.hypotheses
    assert load_or_align(spec, sample) == links
    assert "translator" not in vars(spec)


def test_an_evaluation_of_an_earlier_version_is_read(run: Run, sample: TestSet) -> None:
    """Search settings that came later had the effect of their defaults."""
    spec = EvaluationSpec((run,))
    load_or_translate(spec, sample)
    path = spec.folder(sample.name) / "scores.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    del report["search"]["max_source"]
    path.write_text(json.dumps(report), encoding="utf-8")
    assert read_evaluation(spec, sample)
    assert read_evaluation(EvaluationSpec((run,), options={"max_source": 9}), sample) is None


def test_a_stored_evaluation_of_other_text_settings_or_weights_is_not_read(run: Run, sample: TestSet) -> None:
    spec = EvaluationSpec((run,))
    load_or_translate(spec, sample)
    assert read_evaluation(spec, sample)
    assert read_evaluation(spec, sample._replace(references=[sample.sources[::-1]])) is None
    folder = spec.folder(sample.name)
    greedy = EvaluationSpec((run,), options={"beam": 1})
    shutil.copytree(folder, greedy.folder(sample.name))
    assert read_evaluation(greedy, sample) is None
    with (run.folder / WEIGHTS).open("ab") as file:
        file.write(b"\0")
    assert read_evaluation(spec, sample) is None
