"""`seq2seq compare`: grouping runs into variants, and the header of the table."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

Call = Callable[..., tuple[int, str, str]]


def test_copies_of_a_run_count_once(compared: Callable[..., Any], runs_copy: Path) -> None:
    copy = shutil.copytree(runs_copy / "rnn-general-1", runs_copy / "z-copy")
    found = compared(runs_copy / "rnn-general-1", runs_copy / "rnn-general-2", runs_copy / "rnn-general-1/", copy)
    assert [r["seeds"] for r in found["rows"]] == [[1, 2]]
    assert any("was given twice and is counted once" in line for line in found["header"])
    assert any(f"{copy} is left out: it has the settings and the seed of" in line for line in found["header"])
    assert not found["rows"][0]["figures"]["chrf"]["p"]


def test_run_does_not_differ_from_its_copy(
    compared: Callable[..., Any], row: Callable[[Any, str], Any], runs_copy: Path
) -> None:
    """The same translations under another name: p is 1, not the smallest possible."""
    copy = Path(shutil.copytree(runs_copy / "rnn-general-1", runs_copy / "twin"))
    (copy / "config.yaml").write_text((copy / "config.yaml").read_text().replace("variant: ''", "variant: twin"))
    found = compared(runs_copy / "rnn-general-1", copy)
    assert row(found, "twin")["figures"]["chrf"]["corrected"] == {"bootstrap": 1, "randomisation": 1}
    assert row(found, "twin")["figures"]["chrf"]["verdict"] == ""


def test_variants_of_one_name_are_distinguished_by_their_settings(
    compared: Callable[..., Any], runs_copy: Path
) -> None:
    config = runs_copy / "rnn-general-2/config.yaml"
    config.write_text(config.read_text().replace("label_smoothing: 0.1", "label_smoothing: 0.2"))
    found = compared(
        runs_copy / "rnn-general-1", runs_copy / "rnn-general-2", "--baseline", "rnn-general label_smoothing=0.2"
    )
    assert [r["variant"] for r in found["rows"]] == [
        "rnn-general label_smoothing=0.2",
        "rnn-general label_smoothing=0.1",
    ]
    assert [r["settings"] for r in found["rows"]] == [
        {"training.label_smoothing": "0.2"},
        {"training.label_smoothing": "0.1"},
    ]


def test_header_lists_what_the_runs_share(compared: Callable[..., Any], runs_copy: Path) -> None:
    one, other = runs_copy / "rnn-general-1", runs_copy / "rnn-uniform-last-1"
    for run, seconds in ((one, 1.0), (other, 2.0)):  # which would be equal if both rounded to 0
        info = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps(info | {"processor_seconds": seconds}))
    first, second, *_ = compared(one, other)["header"]
    assert first.startswith("One seed of each variant: the table speaks of these runs and not of the variants")
    assert re.fullmatch(  # how many tokens depends on the version of the tokenizer
        r"Equal budget: all runs had the same updates \(2\), target tokens \([\d,]+\) and parameters "
        r"\(6,448 to 6,512\), within 3%\.",
        second,
    )

    def say_batches(run: Path, *sums: str) -> None:
        rows = [f"{2 * i},{checksum}" for i, checksum in enumerate(sums, 1)]
        (run / "metrics.csv").write_text("\n".join(["update,batches", *rows]) + "\n")

    for run in (one, other):
        say_batches(run, "")
    assert (
        "Runs with the same seed were trained on the same batches in the same order." in compared(one, other)["header"]
    )  # by run.json
    for run in (one, other):
        info = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({name: value for name, value in info.items() if name != "batches"}))
    assert any(
        line.startswith("Unknown whether the batches were the same: no checksums in ")
        for line in compared(one, other)["header"]
    )
    say_batches(one, "aaaaaaaa", "bbbbbbbb", "cccccccc")
    say_batches(other, "aaaaaaaa", "bbbbbbbb")
    assert (
        "Runs with the same seed were trained on the same batches in the same order up to update 4, as far as recorded."
        in compared(one, other)["header"]
    )
    say_batches(other, "aaaaaaaa", "dddddddd")
    assert any(
        line.startswith("Different batches by update 4 in spite of the same seed: ")
        for line in compared(one, other)["header"]
    )
    assert any(
        "were decoded with different settings: search.beam (2, 3)" in line
        for line in compared(one, changed(other, "beam: 3", "beam: 2"))["header"]
    )
    info = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps(info | {"updates": 5, "finished": False}))
    header = compared(one, other)["header"]
    assert "Training is not finished: rnn-uniform-last-1." in header
    assert not any("updates" in line for line in header if line.startswith("Equal"))


def changed(run: Path, before: str, after: str) -> Path:
    config = run / "config.yaml"
    config.write_text(config.read_text().replace(before, after))
    return run
