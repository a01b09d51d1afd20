"""`seq2seq metrics`: scores of given text, and their agreement with `evaluate`."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.conftest import resaved

RandomRun = Callable[..., Path]
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    for name, lines in (("hypotheses", "a b c d\ne f\n"), ("one", "a b x d\ne f\n"), ("two", "a b c d\ne g\n")):
        (tmp_path / name).write_text(lines)
    return tmp_path / "hypotheses", tmp_path / "one", tmp_path / "two"


def figures(printed: str) -> dict[str, float]:
    return {score["name"]: round(score["value"], 2) for score in json.loads(printed)["scores"]}


def test_scores_solved_on_paper(call: Call, files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    text, one, two = files
    code, out, _ = call("metrics", text, "--reference", one, "--metrics", "rouge", "--json")
    assert (code, figures(out)) == (0, {"rouge1": 87.5, "rouge2": 66.67, "rougeL": 87.5, "rougeLsum": 87.5})
    assert json.loads(out)["sentences"] == 2
    code, out, _ = call("metrics", text, "--reference", one, two, "--metrics", "rougeL", "--bootstrap", 0)
    assert [line.split()[:3] for line in out.splitlines()] == [["rougeL", "=", "100.00"], ["rougeLsum", "=", "100.00"]]
    assert "|nrefs:2|" in out
    with gzip.open(tmp_path / "packed.gz", "wt") as packed:
        packed.write(one.read_text())
    code, again, _ = call(
        "metrics", text, "--reference", tmp_path / "packed.gz", two, "--metrics", "rougeL", "--bootstrap", 0
    )
    assert again == out
    assert [line.split()[0] for line in call("metrics", text, "--reference", one)[1].splitlines()] == [
        "bleu",
        "chrf",
        "ter",
    ]


def test_misuse_is_reported_in_one_line(call: Call, files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    text, one, _ = files
    (tmp_path / "short").write_text("a\n")
    (tmp_path / "empty").touch()
    for words, message in (
        ((text, "--reference", tmp_path / "short"), "has 2 lines, but"),
        ((text, "--reference", tmp_path / "none"), "none: cannot be read"),
        ((tmp_path / "empty", "--reference", tmp_path / "empty"), "there is nothing to score"),
        ((text, "--reference", one, "--metrics", "rogue"), "--metrics='rogue' is unknown (did you mean 'rouge'?)"),
        ((text, "--reference", one, "--metrics=--"), "--metrics='--' is unknown"),
        ((text, "--reference=--"), "--: cannot be read"),
        ((text, "--reference", one, "--bootstrap=--"), "--bootstrap='--' is not an integer"),
        ((text, "--reference", one, "--metrics", "rouge", "--lowercase"), "--lowercase would be ignored"),
        ((text, "--reference", one, "--stemming"), "--stemming would be ignored"),
        ((text, "--reference", one, "--bootstrap", -1), "--bootstrap=-1 is too small"),
        ((text,), "--reference"),
    ):
        code, out, err = call("metrics", *words)
        assert (code, out, len(err.splitlines())) == (2, "", 1), err
        assert message in err


def test_task_chooses_the_metrics_and_scores_of_run_and_text_agree(
    call: Call, random_run: RandomRun, corpus: Path, tmp_path: Path
) -> None:
    for task, usual in (
        ("translation", ["bleu", "chrf", "ter"]),
        ("summarization", ["rouge1", "rouge2", "rougeL", "rougeLsum"]),
    ):
        run = resaved(random_run(), tmp_path / task, task=task)
        code, out, _ = call("evaluate", run, "--test", "test", "--bootstrap", 40, "--json")
        assert code == 0
        scores = json.loads(out)["scores"]
        assert [score["name"] for score in scores] == usual
        hypotheses = run / "evaluation" / "test" / "hypotheses.txt"
        words = ("--metrics", ",".join(usual), "--bootstrap", 40, "--language", "de", "--json")
        assert json.loads(call("metrics", hypotheses, "--reference", corpus / "test.de", *words)[1])["scores"] == scores


def test_truncated_sources_are_counted(
    call: Call, random_run: RandomRun, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    run = resaved(random_run(), tmp_path / "run", data={"truncate_source": 3})
    code, out, _ = call("evaluate", run, "--test", "test", "--metrics", "bleu", "--bootstrap", 0, "--json")
    cut = json.loads(out)["cut_sources"]
    assert (code, 0 < cut <= 12) == (0, True)
    assert cut == json.loads((run / "evaluation" / "test" / "scores.json").read_text())["cut_sources"]
    assert call("translate", run, stdin="one two three four\none two\n")[0] == 0
    assert call("score", run, stdin="one two three four\teins\none two\teins\n")[0] == 0
    warnings = [message for message in caplog.messages if "were cut" in message]
    ways = [f"{cut} of 12", "1 of 2", "1 of 2"]
    assert warnings == [f"{way} sources were cut to 3 words (data.truncate_source)" for way in ways]
