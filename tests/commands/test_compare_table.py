"""`seq2seq compare`: output formats, columns, and options that are refused."""

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

Call = Callable[..., tuple[int, str, str]]


def test_every_format_has_the_scores(call: Call, fast_options: tuple[object, ...], runs: Path, tmp_path: Path) -> None:
    few = [runs / name for name in ("rnn-uniform-last-1", "rnn-general-1", "rnn-general-2")]
    outputs = {
        kind: call("compare", *few, *fast_options, "--format", kind)[1]
        for kind in ("terminal", "markdown", "csv", "latex", "json")
    }
    found = json.loads(outputs["json"])
    for r in found["rows"]:
        for kind in ("terminal", "markdown", "latex"):
            assert f"{r['figures']['chrf']['value']:,.2f}" in outputs[kind], kind
    rows = list(csv.DictReader(io.StringIO(outputs["csv"])))
    for one, other in zip(rows, found["rows"], strict=True):
        assert (one["variant"], one["seeds"].split()) == (other["variant"], [str(seed) for seed in other["seeds"]])
        for key, figure in other["figures"].items():
            assert float(one[key]) == figure["value"]
            assert one.get(f"{key}.corrected.bootstrap", "") == str(figure["corrected"].get("bootstrap", ""))
    lines = [line for line in outputs["markdown"].splitlines() if line.startswith("|")]
    assert len({line.count("|") - line.count("\\|") for line in lines[:5]}) == 1
    assert outputs["latex"].count("\\begin{tabular}") == outputs["latex"].count("\\end{tabular}") == 2
    assert not re.search(
        r"(?<!\\)_", "".join(line for line in outputs["latex"].splitlines(True) if not line.startswith("%"))
    )
    assert call("compare", *few, *fast_options, "--format", "csv", "--output", tmp_path / "a.csv")[:2] == (0, "")
    assert (tmp_path / "a.csv").read_text() == outputs["csv"]


def test_columns_can_be_chosen(call: Call, fast_options: tuple[object, ...], runs: Path) -> None:
    code, out, _ = call("compare", runs, *fast_options, "--columns", "diagonality,chrf", "--format", "markdown")
    assert code == 0
    assert "| variant (seeds) | diagonality | chrF2 ↑ |" in out


def test_column_that_no_variant_has_is_refused(call: Call, fast_options: tuple[object, ...], runs_copy: Path) -> None:
    """Known only after all runs are evaluated; a column that some variants have is shown."""
    (runs_copy / "rnn-general-2/run.json").write_text(
        (runs_copy / "rnn-general-2/run.json").read_text().replace('"seconds"', '"ages"')
    )
    words = (*fast_options, "--columns", "chrf,training_seconds")
    assert call("compare", runs_copy / "rnn-general-2", runs_copy / "rnn-uniform-last-1", *words)[0] == 0
    code, out, err = call("compare", runs_copy / "rnn-general-2", *words)
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert "--columns=training_seconds would be ignored: no variant has it in all of its runs" in err


WRONG = {
    "no such baseline": (
        ["--baseline", "rnn-genral"],
        "--baseline='rnn-genral' is unknown (did you mean 'rnn-general'?); choose one of: rnn-general,",
    ),
    "no such test": (["--test", "tset"], "--test='tset' is unknown (did you mean 'test'?); choose one of: test, dev"),
    "no such metric": (["--metrics", "blue"], "--metrics='blue' is unknown (did you mean 'bleu'?)"),
    "no such column": (["--columns", "blue"], "--columns='blue' is unknown (did you mean 'bleu'?)"),
    "a metric that is left out": (
        ["--metrics", "bleu", "--columns", "bleu,ter"],
        "--columns=ter would be ignored: the metrics are bleu; --metrics chooses them",
    ),
    "no gold links": (
        ["--columns", "aer"],
        "--columns=aer would be ignored: no gold links of this test set are known; --gold FILE",
    ),
    "links joined with nothing": (
        ["--symmetrize", "union"],
        "--symmetrize=union would be ignored: it joins the links of --reverse RUN",
    ),
    "one file for two": (["--output", "t.html", "--report", "./t.html"], "--output and --report are both t.html"),
    "no such format": (["--format", "html"], "--format='html' is unknown"),
    "too few trials": (["--trials", "-1"], "--trials=-1 is too small: at least 0"),
    "too few sentences": (["--sentences", "-1", "--report", "x.html"], "--sentences=-1 is too small: at least 0"),
    "sentences without a report": (["--sentences", "5"], "--sentences=5 would be ignored"),
    "too few resamples": (["--bootstrap", "39"], "--bootstrap=39 is too small: at least 40 (or 0 for no intervals)"),
    "two kinds of test": (
        ["--test", "test", "--source", "x", "--reference", "y"],
        "give either --test NAME, or --source FILE",
    ),
    "no reference": (["--source", "x"], "--source FILE and --reference FILE ... must be given together"),
    "n-best": (["--n-best", "2"], "search.n_best=2 would be ignored"),
    "a folder for a file": (["--output", "."], "--output . cannot be written: it is a folder; name a file in it"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options_are_reported_in_one_line(case: str, call: Call, runs: Path) -> None:
    words, message = WRONG[case]
    code, out, err = call("compare", runs, *words)
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert message in err


def test_wrong_baseline_is_refused_before_translation(call: Call, runs_copy: Path) -> None:
    for kept in runs_copy.glob("*/evaluation"):
        shutil.rmtree(kept)
    code, _, err = call("compare", runs_copy, "--test", "test", "--baseline", "rnn-generl")
    assert (code, len(err.splitlines())) == (2, 1)
    assert not list(runs_copy.glob("*/evaluation"))
