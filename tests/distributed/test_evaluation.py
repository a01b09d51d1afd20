"""Evaluation and translation on several devices: each sentence once, in order, and the same bytes as on one."""

import json
import shutil
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seq2seq import cli
from seq2seq.commands.devices import start_on_devices
from seq2seq.distributed.launch import start_processes
from seq2seq.errors import ConfigError
from seq2seq.evaluation.attention_maps import maps_share
from seq2seq.evaluation.evaluate import EvaluationSpec, translate_test_set
from seq2seq.evaluation.testset import TestSet
from seq2seq.runs.directory import Run
from seq2seq.translator import TASKS, Translator
from tests.distributed.conftest import Together

ALL_TASKS = {**TASKS, "maps": maps_share}


@pytest.mark.parametrize("family", ["rnn", "transformer"])
@pytest.mark.parametrize("lines", [1, 4, 6, 11])
@pytest.mark.fast("4-rnn", "11-transformer")
def test_translations_and_attention_are_those_of_one_device(
    family: str, lines: int, family_run: Callable[[str], Path], corpus: Path, together: Together
) -> None:
    """Of 2, 3 and 5 ranks, for fewer sentences than ranks too, an empty line among them."""
    run = Run.open(family_run(family))
    sources = (corpus / "test.en").read_text().splitlines()[:lines]
    sources[-1] = "" if lines > 4 else sources[-1]
    test = TestSet("test", sources, [sources], None)

    def translate() -> tuple[Any, ...]:
        spec = EvaluationSpec((run,), options={"batch": 2, "window": 8, "beam": 2})
        found = translate_test_set(spec, test)
        found.records.seek(0)
        forced = [one.log_prob for one in spec.translator.forced_decode(zip(sources, sources, strict=True))]
        return found.hypotheses, found.links, found.sums.tolist(), found.records.read(), forced

    alone = translate()
    assert len(alone[0]) == lines
    for ranks in (2, 3, 5):
        assert together(ranks, translate, ALL_TASKS) == alone, ranks


def test_every_sentence_is_translated_once_and_counted_once(
    family_run: Callable[[str], Path], corpus: Path, together: Together, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, counted, searched, search = Run.open(family_run("rnn")), list[int](), list[int](), Translator._search

    def noted(self: Translator, sources: Any, *rest: Any) -> Any:
        searched.append(len(sources))
        return search(self, sources, *rest)

    monkeypatch.setattr(Translator, "_search", noted)
    sources = (corpus / "test.en").read_text().splitlines()[:7]

    def translate() -> None:
        spec = EvaluationSpec((run,), options={"batch": 2})
        translate_test_set(spec, TestSet("test", sources, [sources], None), progress=counted.append)

    together(3, translate, ALL_TASKS)
    assert sum(counted) == sum(searched) == 7


@pytest.mark.parametrize(
    ("device", "devices", "part"),
    [("cpu", 3, "--devices=3 is more than there are here: 2 CPU cores"), ("cuda:1", 2, "--device cuda:1 is one")],
)
def test_devices_that_are_not_there_are_refused(
    device: str, devices: int, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq.commands.devices.available_cores", lambda: 2)
    with pytest.raises(ConfigError, match=part):
        start_on_devices("evaluate", [], Namespace(device=device, devices=devices))


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_evaluation_by_processes_writes_the_same_files(
    ranks: int, family_run: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    runs = [shutil.copytree(family_run("rnn"), tmp_path / str(i) / "run") for i in range(2)]
    options = ["--test", "test", "--metrics", "bleu,chrf,ter,rougeL", "--bootstrap", "40", "--batch", "2"]
    assert cli.main(["evaluate", str(runs[0]), *options]) == 0
    start_processes("seq2seq.worker", ["evaluate", str(runs[1]), *options], ranks)
    one, two = (next((run / "evaluation").glob("test*")) for run in runs)
    for name in ("hypotheses.txt", "alignments.txt", "explained.zip", "sentences.csv"):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    first, second = (json.loads((folder / "scores.json").read_text()) for folder in (one, two))
    assert first["scores"] == second["scores"]


@pytest.mark.slow
def test_an_error_of_the_first_process_is_one_sentence(tiny_run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", str(tiny_run), "--test", "tset", "--devices", "2"]) == 2
    out, err = capfd.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert "did you mean 'test'" in err
