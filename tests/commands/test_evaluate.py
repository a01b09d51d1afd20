"""`seq2seq evaluate`: scores, and the evaluations that it saves in the run."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seq2seq import cli
from tests.commands.conftest import resaved

RandomRun = Callable[..., Path]
Call = Callable[..., tuple[int, str, str]]


def test_evaluate_a_test_set(call: Call, random_run: RandomRun, corpus: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(random_run(), tmp_path / "run", ignore=shutil.ignore_patterns("evaluation")))
    code, out, _ = call("evaluate", run, "--test", "test", "--metrics", "bleu,chrf,rougeL", "--bootstrap", 40)
    assert code == 0
    folder = run / "evaluation" / "test"
    assert out.splitlines()[-1] == f"saved in {folder}"
    files = {"hypotheses.txt", "alignments.txt", "scores.json", "sentences.csv", "explained.zip"}
    assert {path.name for path in folder.iterdir()} == files
    report = json.loads((folder / "scores.json").read_text())
    assert len((folder / "hypotheses.txt").read_text().splitlines()) == report["sentences"] == 12
    code, out, _ = call("evaluate", run, "--test", "test", "--metrics", "bleu,chrf,rougeL", "--bootstrap", 40, "--json")
    again = json.loads(out)
    timed = {"seconds": 0, "processor_seconds": 0}
    assert again.pop("decoding") | timed == report.pop("decoding") | timed
    assert again == report
    files = (
        "--source",
        corpus / "test.en",
        "--reference",
        corpus / "test.de",
        "--metrics",
        "bleu,chrf,rougeL",
        "--bootstrap",
        40,
    )
    code, out, _ = call("evaluate", run, *files, "--json")
    assert json.loads(out)["scores"] == report["scores"]
    (kept,) = (run / "evaluation").glob("test-en-*")
    assert (kept / "scores.json").is_file()


def test_test_set_must_be_named_if_there_are_several(call: Call, random_run: RandomRun, tmp_path: Path) -> None:
    run = Path(shutil.copytree(random_run(), tmp_path / "run", ignore=shutil.ignore_patterns("evaluation")))
    code, out, _ = call("evaluate", run, "--metrics", "bleu", "--bootstrap", 0)
    assert code == 0
    assert f"saved in {run / 'evaluation' / 'test'}" in out
    settings = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(settings.replace("    test:\n", "    other:\n    - test\n    test:\n"))
    code, out, err = call("evaluate", run)
    assert (code, out, err) == (2, "", "seq2seq: --test is missing; choose one of: other, test, dev\n")


def test_evaluations_do_not_overwrite_each_other(
    call: Call, random_run: RandomRun, corpus: Path, tmp_path: Path
) -> None:
    """Other metrics of the same translations are added; other searches, runs and texts get their own folders."""
    fresh = shutil.ignore_patterns("evaluation")
    run, friend = (Path(shutil.copytree(random_run(), tmp_path / name, ignore=fresh)) for name in ("run", "friend"))
    test = ("--test", "test", "--metrics")
    for words in (
        (*test, "bleu", "--batch", 3),
        (*test, "chrf"),
        (*test, "bleu", "--lowercase"),
        (*test, "chrf", "--bootstrap", 1000),
    ):
        assert call("evaluate", run, *words)[0] == 0
    report = json.loads((run / "evaluation" / "test" / "scores.json").read_text())
    assert [(score["name"], "case:lc" in score["signature"]) for score in report["scores"]] == [
        ("chrf", False),
        ("bleu", True),
        ("bleu", False),
    ]
    assert call("evaluate", run, *test, "bleu", "--beam", 1, "--length-penalty", "none")[0] == 0
    assert call("evaluate", run, *test, "bleu", "--precision", "int8")[0] == 0
    assert json.loads((run / "evaluation" / "test-precision=int8" / "scores.json").read_text())["precision"] == "int8"
    assert call("evaluate", run, friend, *test, "bleu")[0] == 0
    for name in ("test", "train"):
        shutil.copy(corpus / f"{name}.en", tmp_path / "x.en")
        files = ("--source", tmp_path / "x.en", "--reference", corpus / f"{name}.de")
        assert call("evaluate", run, *files, "--metrics", "bleu", "--bootstrap", 0, "--max-length", 2)[0] == 0
    names = sorted(re.sub("-[0-9a-f]{8}", "-TEXT", path.name) for path in (run / "evaluation").iterdir())
    assert names == [
        "test",
        "test-beam=1-length_penalty=none",
        "test-precision=int8",
        "test-with=friend",
        *["x-en-TEXT-max_length=2"] * 2,
    ]
    (run / "evaluation" / "test" / "hypotheses.txt").write_text("other\n")  # as if by other weights
    assert call("evaluate", run, *test, "ter")[0] == 0
    scores = json.loads((run / "evaluation" / "test" / "scores.json").read_text())["scores"]
    assert [score["name"] for score in scores] == ["ter"]


def test_files_of_different_lengths_are_refused(call: Call, random_run: RandomRun, corpus: Path) -> None:
    code, _, err = call("evaluate", random_run(), "--source", corpus / "test.en", "--reference", corpus / "train.de")
    assert code == 2
    assert f"{corpus / 'test.en'} has 12 lines, but {corpus / 'train.de'} has 120" in err


def test_dev_score_of_training_equals_that_of_evaluate(
    call: Call, random_run: RandomRun, trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same weights, search and lines give the same hypotheses and score. ROUGE, since BLEU would be 0."""
    from seq2seq.training import fit as training

    words = ("tokenizer=word", "search.beam=4", "search.no_repeat=1", "search.min_length=6", "model.dropout=0.4")
    original, seen = training.score, []

    def overheard(hypotheses: list[str], *rest: Any, **more: Any) -> Any:
        seen.append(hypotheses)
        return original(hypotheses, *rest, **more)

    monkeypatch.setattr(training, "score", overheard)
    start = ("training.learning_rate=0", "training.max_updates=1", "training.monitor=rouge", "training.keep=1")
    run = trained(*words, *start, f"init_from={random_run(*words)}")
    info = json.loads((run / "run.json").read_text())
    code, out, _ = call("evaluate", run, "--test", "dev", "--metrics", "rougeL", "--bootstrap", 0, "--json")
    assert code == 0
    assert (run / "evaluation" / "dev" / "hypotheses.txt").read_text().splitlines() == seen[-1]
    assert len(set(seen[-1])) > 6
    assert info["dev_score"] > 0
    assert json.loads(out)["scores"][0]["value"] == pytest.approx(info["dev_score"], abs=1e-9)


def test_alignment_error_is_reported_for_known_gold_links(
    call: Call, tiny_run: Path, tmp_path: Path, corpus: Path
) -> None:
    root = Path(shutil.copytree(corpus, tmp_path / "other"))
    (root / "test.align").write_text("0-0\n" * 12)
    run = resaved(tiny_run, tmp_path / "run", data={"root": str(root)})
    code, out, _ = call("evaluate", run, "--test", "test", "--metrics", "bleu", "--bootstrap", 40)
    assert code == 0
    assert "\naer = " in out
    assert len((run / "evaluation" / "test" / "alignments.txt").read_text().splitlines()) == 12


def test_gold_links_are_checked_before_translation(call: Call, run_copy: Path, corpus: Path, tmp_path: Path) -> None:
    root = shutil.copytree(corpus, tmp_path / "other")
    config = run_copy / "config.yaml"
    config.write_text(config.read_text().replace(f"root: {corpus}", f"root: {root}"))
    for lines, message in (
        ("0-0\n" * 11, "has 11 lines for 12 pairs"),
        ("0-0\n" * 11 + "0:0\n", "gold alignment of test, line 12: '0:0' is no link"),
    ):
        (root / "test.align").write_text(lines)
        code, out, err = call("evaluate", run_copy, "--test", "test")
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert message in err
    assert not (run_copy / "evaluation").exists()


def test_translations_are_saved_if_a_metric_fails(call: Call, run_copy: Path, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "ref").write_text("да\n" * 12, encoding="utf-8")
    words = (
        "--source",
        corpus / "test.en",
        "--reference",
        tmp_path / "ref",
        "--metrics",
        "chrf,rouge1",
        "--bootstrap",
        0,
    )
    code, out, err = call("evaluate", run_copy, *words)
    assert (code, out) == (2, "")
    assert "rouge1 finds no letter or other token in any reference" in err
    (kept,) = (run_copy / "evaluation").iterdir()
    assert len((kept / "hypotheses.txt").read_text().split("\n")) == 13
    assert json.loads((kept / "scores.json").read_text())["scores"] == []


def test_other_scores_are_reported_without_an_alignment_error(
    call: Call, random_run: RandomRun, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The text has a no-break space inside a word, at which NFKC splits it."""
    root = Path(shutil.copytree(corpus, tmp_path / "text"))
    lines = (root / "test.en").read_text().splitlines()
    (root / "test.en").write_text("\n".join([lines[0].replace(" ", "\u00a0", 1), *lines[1:]]) + "\n", encoding="utf-8")
    (root / "test.align").write_text("0-0\n" * 12)
    run = resaved(random_run("tokenizer.normalizer=nmt_nfkc"), tmp_path / "run", data={"root": str(root)})
    code, out, _ = call("evaluate", run, "--test", "test", "--metrics", "bleu", "--bootstrap", 0)
    assert (code, out.splitlines()[0][:7], "aer" in out) == (0, "bleu = ", False)
    (warning,) = [message for message in caplog.messages if "no alignment error" in message]
    assert warning.endswith("or change that text")


def test_printed_scores_reach_a_file_even_if_they_cannot_be_saved(
    run_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_copy / "evaluation" / "test" / "scores.json").mkdir(parents=True)  # in the way
    with (tmp_path / "scores").open("w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        words = ["evaluate", str(run_copy), "--test", "test", "--metrics", "bleu", "--bootstrap", "0"]
        assert cli.main(words) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    (line,) = (tmp_path / "scores").read_text().splitlines()
    assert line.startswith("bleu = ")


def test_target_language_chooses_the_tokenizer_of_bleu(call: Call, tiny_run: Path, tmp_path: Path) -> None:
    for name, text in (("test.en", "the cat 1\n"), ("test.zh", "这只猫1\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    run = resaved(tiny_run, tmp_path / "run", data={"root": str(tmp_path), "target": "zh"})
    code, out, _ = call("evaluate", run, "--test", "test", "--metrics", "bleu", "--bootstrap", 0)
    assert code == 0
    assert "|tok:zh|" in out
