"""`seq2seq compare`: which runs are compared, and where their scores come from."""

import json
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from safetensors.torch import load_file

from seq2seq.evaluation.bleu import sacrebleu_p_values
from seq2seq.evaluation.metrics import score
from seq2seq.evaluation.scores import MetricOptions
from seq2seq.evaluation.significance import holm
from seq2seq.runs.weights import save_weights
from seq2seq.translator import Translator

Call = Callable[..., tuple[int, str, str]]


def test_scores_are_means_over_the_seeds(compared: Callable[..., Any], runs: Path, corpus: Path) -> None:
    """Scores are of the stored hypotheses; the baseline, the variant without attention, comes first."""
    found = compared(runs)
    assert found["baseline"] == found["rows"][0]["variant"] == "rnn-uniform-last"
    assert [(r["variant"], r["seeds"]) for r in found["rows"][1:]] == [
        ("rnn-general", [1, 2]),
        ("transformer-dot", [1]),
    ]
    references = [(corpus / "test.de").read_text().splitlines()]
    for r in found["rows"]:
        kept = [(Path(run) / "evaluation/test/hypotheses.txt").read_text().split("\n")[:-1] for run in r["runs"]]
        assert kept == [
            Translator.open(run).translate((corpus / "test.en").read_text().splitlines()) for run in r["runs"]
        ]
        for name in ("chrf", "rougeL"):
            values = [score(lines, references, [name], language="de", bootstrap=0)[0].value for lines in kept]
            assert r["figures"][name]["values"] == pytest.approx(values)
            assert r["figures"][name]["value"] == pytest.approx(mean(values))
            assert r["figures"][name]["deviation"] == (pytest.approx(stdev(values)) if len(values) > 1 else None)
            low, high = r["figures"][name]["interval"]
            assert low <= r["figures"][name]["value"] <= high
            assert len(r["buckets"][name]) == len(found["buckets"])
    assert not found["rows"][0]["figures"]["chrf"]["p"]
    for name in ("chrf", "rougeL"):
        for test in ("bootstrap", "randomisation"):
            figures = [r["figures"][name] for r in found["rows"][1:]]
            assert [f["corrected"][test] for f in figures] == pytest.approx(holm([f["p"][test] for f in figures]))
    assert any("scores are averaged over seeds within each resample" in note for note in found["footnotes"])


def test_single_seeds_are_tested_as_by_sacrebleu(compared: Callable[..., Any], runs: Path, corpus: Path) -> None:
    names = ("rnn-uniform-last-1", "rnn-general-1")
    found = compared(*(runs / name for name in names))
    lines = [(runs / name / "evaluation/test/hypotheses.txt").read_text().split("\n")[:-1] for name in names]
    references = [(corpus / "test.de").read_text().splitlines()]
    for test in ("bootstrap", "randomisation"):
        theirs = sacrebleu_p_values(
            test,
            ["chrf"],
            lines,
            references,
            options=MetricOptions("de"),
            samples={"bootstrap": 40, "randomisation": 20}[test],
        )["chrf"]
        assert [r["figures"]["chrf"]["p"][test] for r in found["rows"][1:]] == theirs
    assert any("tested by sacreBLEU and by this package" in note for note in found["footnotes"])


def test_stored_evaluations_are_reused_for_the_same_text_only(
    compared: Callable[..., Any], runs_copy: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, opened = runs_copy / "rnn-general-1", []
    original = Translator.open_runs.__func__  # type: ignore[attr-defined]

    def counted(cls: type, *runs: Path, **options: Any) -> Translator:
        opened.append(runs)
        return original(cls, *runs, **options)

    monkeypatch.setattr(Translator, "open_runs", classmethod(counted))
    first = compared(run)
    before = len(opened)
    assert compared(run) == first
    assert len(opened) == before <= 1
    config = run / "config.yaml"  # the test set under the same name is another text now
    root = Path(shutil.copytree(corpus, tmp_path / "other"))
    config.write_text(config.read_text().replace(f"root: {corpus}", f"root: {root}"))
    (root / "test.en").write_text("".join(f"{line} indeed\n" for line in (corpus / "test.en").read_text().splitlines()))
    assert compared(run)["rows"][0]["figures"]["chrf"] != first["rows"][0]["figures"]["chrf"]
    assert len(opened) == before + 1
    save_weights(load_file(runs_copy / "rnn-general-2/weights.safetensors"), run)  # training resumed
    compared(run)
    assert len(opened) == before + 2
    (run / "evaluation/test/hypotheses.txt").write_text("other\n" * 12)
    compared(run)
    (run / "evaluation/test/sentences.csv").write_text("other\n" * 12)
    compared(run)
    (run / "evaluation/test/explained.zip").write_text("")
    compared(run)
    (run / "evaluation/test/scores.json").write_text("[]")
    compared(run)
    assert len(opened) == before + 6


@pytest.mark.slow
def test_runs_without_weights_are_compared_by_their_stored_evaluations(
    compared: Callable[..., Any], call: Call, runs_copy: Path, gold: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Weights may be deleted, or on another machine; attention records may be missing as well."""
    for name in ("rnn-uniform-last-2", "transformer-dot-1"):
        shutil.rmtree(runs_copy / name)
    before = compared(runs_copy, "--gold", gold)
    for run in runs_copy.iterdir():
        for name in ("weights.safetensors", "joint.spm", "evaluation/test/alignments.txt"):
            (run / name).unlink()
    (runs_copy / "rnn-general-1/evaluation/test/explained.zip").unlink()
    after = compared(runs_copy, "--gold", gold, "--report", runs_copy / "report.html")
    assert after["rows"] == before["rows"]
    (added,) = [line for line in after["header"] if line not in before["header"]]
    assert added.startswith("Without weights, the stored evaluation is used unverified: rnn-uniform-last-1, ")
    assert [line for line in after["header"] if line != added] == before["header"]
    assert "<html" in (runs_copy / "report.html").read_text()
    (runs_copy / "rnn-general-1/evaluation/test/hypotheses.txt").write_text("other\n" * 12)
    info = runs_copy / "rnn-general-2/run.json"
    info.write_text(info.read_text().replace('"parameters"', '"numbers"'))
    broken = {Path(one["run"]).name: one["why"] for one in compared(runs_copy, "--gold", gold)["broken"]}
    assert "weights.safetensors is missing, though training is finished" in broken["rnn-general-1"]
    assert "has neither weights.safetensors nor a number of parameters" in broken["rnn-general-2"]
    caplog.clear()
    with caplog.at_level(logging.INFO, "seq2seq"):
        code, _, err = call("compare", runs_copy, "--beam", 5)
    assert code == 2
    assert "no run is left to compare" in err
    assert not [message for message in caplog.messages if message.endswith(": translating")]


def test_broken_run_is_named_and_the_others_are_compared(
    compared: Callable[..., Any], call: Call, runs_copy: Path
) -> None:
    (runs_copy / "rnn-general-2/weights.safetensors").write_bytes(b"nothing")
    (runs_copy / "transformer-dot-1/run.json").write_text("{")
    found = compared(runs_copy)
    assert [Path(broken["run"]).name for broken in found["broken"]] == ["transformer-dot-1", "rnn-general-2"]
    assert "is damaged" in found["broken"][0]["why"]
    assert [(r["variant"], r["seeds"]) for r in found["rows"]] == [("rnn-uniform-last", [1, 2]), ("rnn-general", [1])]
    code, out, err = call("compare", runs_copy / "transformer-dot-1")
    assert (code, out) == (2, "")
    assert "no run is left to compare" in err


def test_mistyped_run_is_an_error(call: Call, runs_copy: Path, tmp_path: Path, gold: Path) -> None:
    """Otherwise a script would not notice a missing row, or a missing seed."""
    good, typed = runs_copy / "rnn-general-1", runs_copy / "rnn-general-l"
    (tmp_path / "empty").mkdir()
    for words, why in (
        ([good, typed], f"{typed} is not a run directory: it does not exist (did you mean "),
        ([good, tmp_path / "empty"], f"{tmp_path / 'empty'} is not a run directory and contains none"),
        (
            [good, "--gold", gold, "--reverse", typed],
            f"{typed} is not a run directory: it does not exist (did you mean ",
        ),
    ):
        code, out, err = call("compare", *words)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert why in err


def test_runs_trained_on_different_text_are_refused(call: Call, runs_copy: Path, tmp_path: Path) -> None:
    info = runs_copy / "rnn-general-2/run.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"data": "0" * 64}))
    code, out, err = call("compare", runs_copy / "rnn-general-1", runs_copy / "rnn-general-2")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.endswith("were trained on different text: their figures cannot be compared\n")
    config = runs_copy / "rnn-general-2/config.yaml"
    config.write_text(re.sub("(?m)^  name: mine$", "  name: other", config.read_text()))
    assert (
        f"; name the runs of one text, such as {runs_copy}/mine-*"
        in call("compare", runs_copy / "rnn-general-1", runs_copy / "rnn-general-2")[2]
    )
    config.write_text(config.read_text().replace("source: en", "source: xx"))
    assert "rnn-general-2 xx-de: their figures cannot be compared" in call("compare", runs_copy)[2]
