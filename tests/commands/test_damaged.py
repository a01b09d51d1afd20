"""`seq2seq compare` with damaged runs: they are named and left out, and the others are compared."""

import json
import os
import re
import shutil
import struct
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from seq2seq import cli

Call = Callable[..., tuple[int, str, str]]
FAST_OPTIONS = ("--bootstrap", "40", "--trials", "20", "--metrics", "chrf")
GOOD, SPOILED = "rnn-uniform-last-1", "rnn-general-1"
DEEP = "[" * 200_000
HUGE = 10**400


@pytest.fixture(scope="session")
def links(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gold file that links the first words of both sides."""
    path = tmp_path_factory.mktemp("gold") / "links.align"
    path.write_text("0-0\n" * 12)
    return path


@pytest.fixture(scope="session")
def strange(runs: Path, links: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs without weights, which are compared by their stored evaluations, and that comparison."""
    folder = tmp_path_factory.mktemp("strange")
    for name in (GOOD, SPOILED):
        shutil.copytree(runs / name, folder / name)
    assert (
        cli.main(
            [
                "compare",
                str(folder),
                *FAST_OPTIONS,
                "--gold",
                str(links),
                "--format",
                "json",
                "--output",
                str(folder / "table.json"),
            ]
        )
        == 0
    )
    for name in (GOOD, SPOILED):
        (folder / name / "weights.safetensors").unlink()
    return folder


def says(**values: Any) -> Callable[[Path], object]:
    """Changes values in run.json."""

    def spoil(run: Path) -> None:
        info = run / "run.json"
        info.write_text(json.dumps(json.loads(info.read_text()) | values))

    return spoil


def scores(**values: Any) -> Callable[[Path], object]:
    """Changes values of `decoding` in scores.json."""

    def spoil(run: Path) -> None:
        path = run / "evaluation/test/scores.json"
        report = json.loads(path.read_text())
        path.write_text(json.dumps(report | {"decoding": report["decoding"] | values}))

    return spoil


def writes(name: str, content: str | bytes) -> Callable[[Path], object]:
    """Replaces a file."""
    return lambda run: (run / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def sums(value: str) -> Callable[[Path], object]:
    """Changes a number in sentences.csv."""

    def spoil(run: Path) -> None:
        path = run / "evaluation/test/sentences.csv"
        head, row, *rows = path.read_text().splitlines(True)
        path.write_text("".join([head, ",".join([value, *row.split(",")[1:]]), *rows]))

    return spoil


def looked(
    change: Callable[[dict[str, Any], bytes], bytes], compression: int = zipfile.ZIP_DEFLATED
) -> Callable[[Path], object]:
    """Changes the attention record of the fourth sentence; `change` gets its header and body."""

    def spoil(run: Path) -> None:
        path = run / "evaluation/test/explained.zip"
        with zipfile.ZipFile(path) as file:
            entries = {name: file.read(name) for name in file.namelist()}
        head, _, body = entries["3"].partition(b"\n")
        entries["3"] = change(json.loads(head), body)
        with zipfile.ZipFile(path, "w", compression) as file:
            for name, entry in entries.items():
                file.writestr(name, entry)

    return spoil


def entry(body: bytes, **head: Any) -> bytes:
    return json.dumps(head).replace("Infinity", "1e400").encode() + b"\n" + body


def overfull(path: Path) -> None:
    """Claims that the directory of the zip file is larger than that of its entries, which would all be read."""
    content = bytearray(path.read_bytes())
    content[-10:-6] = struct.pack("<L", 2**31)
    path.write_bytes(content)


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "junk in an entry": (looked(lambda head, body: b"junk"), "explained.zip: sentence 4 cannot be read"),
    "a deep entry": (looked(lambda head, body: DEEP.encode()), "explained.zip: sentence 4 cannot be read"),
    "endless maps": (
        looked(lambda head, body: entry(body, **head | {"maps": [float("inf"), 1]})),
        "explained.zip: sentence 4 cannot be",
    ),
    "a score that is none": (
        looked(lambda head, body: entry(body, **head | {"alternatives": [["a", float("nan")]]})),
        "sentence 4 cannot be read: scores and centres must be finite",
    ),
    "a centre that is none": (
        looked(
            lambda head, body: entry(
                body + struct.pack("<f", float("nan")) * len(head["target"]), **head | {"centers": True}
            )
        ),
        "sentence 4 cannot be read: scores and centres must be finite",
    ),
    "compressed in another way": (
        looked(lambda head, body: entry(body, **head), zipfile.ZIP_LZMA),
        "compression 14 is not supported",
    ),
    "metrics not UTF-8": (
        writes("metrics.csv", b"update,batches\n\xff,a\n"),
        "metrics.csv is damaged: not UTF-8 at byte 15",
    ),
    "empty metrics": (
        writes("metrics.csv", ""),
        "metrics.csv is damaged: training is finished, but nothing was logged",
    ),
    "metrics of a short line": (
        writes("metrics.csv", "update,batches\n1,a\n2\n3,c\n"),
        "metrics.csv is damaged: it has lines with more or fewer cells than the first",
    ),
    "metrics of a long line": (
        writes("metrics.csv", "update,batches\n1,a,b\n2,c\n"),
        "metrics.csv is damaged: it has lines with more",
    ),
    "metrics of no update": (
        writes("metrics.csv", "update,batches\n²,a\n"),
        "metrics.csv is damaged: update='²' is not the number of an update",
    ),
    "metrics of a long update": (
        writes("metrics.csv", f"update,batches\n{'1' * 5000},a\n"),
        "is not the number of an update",
    ),
    "metrics of a long cell": (
        writes("metrics.csv", f"update,batches\n1,{'1' * 200_000}\n"),
        "metrics.csv is damaged: it is not CSV",
    ),
    "no data": (says(data=None), "run.json is damaged: it does not say what data the run was trained on"),
    "updates in a list": (says(updates=[1]), "run.json is damaged: updates is not a non-negative integer"),
    "updates in words": (
        says(updates="many", batches="abc"),
        "run.json is damaged: updates is not a non-negative integer",
    ),
    "updates that are true": (says(updates=True), "run.json is damaged: updates is not a non-negative integer"),
    "fewer than no parameters": (says(parameters=-1), "run.json is damaged: parameters is not a non-negative integer"),
    "no parameters": (says(parameters=None), "has neither weights.safetensors nor a number of parameters in run.json"),
    "batches in a list": (says(batches=[1]), "run.json is damaged: batches is not text"),
    "huge seconds": (says(seconds=HUGE), "run.json is damaged: seconds is not a number"),
    "seconds that are none": (
        says(processor_seconds=float("nan")),
        "run.json is damaged: processor_seconds is not a number",
    ),
    "memory in words": (says(peak_memory="much"), "run.json is damaged: peak_memory is not a number"),
    "scores in a folder": (
        lambda run: (
            (run / "evaluation/test/scores.json").unlink(),
            (run / "evaluation/test/scores.json").mkdir(),
        ),
        "weights.safetensors is missing",
    ),
    "link that is none": (
        lambda run: (run / "evaluation/test/forced.json").write_text(
            (run / "evaluation/test/forced.json").read_text().replace("-", "~")
        ),
        "weights.safetensors is missing",
    ),
    "records in a pipe": (
        lambda run: (
            (run / "evaluation/test/explained.zip").unlink(),
            os.mkfifo(run / "evaluation/test/explained.zip"),
        ),
        "weights.safetensors is missing",
    ),
    "records of millions of sentences": (
        lambda run: overfull(run / "evaluation/test/explained.zip"),
        "weights.safetensors is missing",
    ),
    "metrics in a pipe": (
        lambda run: ((run / "metrics.csv").unlink(), os.mkfifo(run / "metrics.csv")),
        "metrics.csv is a named pipe, not a regular file",
    ),
    "metrics of other columns": (
        writes("metrics.csv", "update,\x1b[31m\n1,a\n"),
        r"metrics.csv is damaged: '\x1b[31m' is not a column of it",
    ),
    "deep scores": (writes("evaluation/test/scores.json", DEEP), "weights.safetensors is missing"),
    "huge seconds of decoding": (scores(seconds=HUGE), "weights.safetensors is missing"),
    "seconds of the processor in words": (scores(processor_seconds="much"), "weights.safetensors is missing"),
    "threads in words": (scores(threads="two"), "weights.safetensors is missing"),
    "a device of two lines": (scores(device="cpu\n"), "weights.safetensors is missing"),
    "deep links": (writes("evaluation/test/forced.json", DEEP), "weights.safetensors is missing"),
    "sums that are none": (sums("nan"), "weights.safetensors is missing"),
    "sums without end": (sums("1e308"), "weights.safetensors is missing"),
}


def test_damaged_runs_are_named_and_the_other_is_compared(
    call: Call, strange: Path, links: Path, tmp_path: Path
) -> None:
    """All in one comparison."""
    shutil.copytree(strange / GOOD, tmp_path / "runs" / GOOD)
    for case, (spoil, _) in CASES.items():
        spoil(Path(shutil.copytree(strange / SPOILED, tmp_path / "runs" / case)))
    code, out, err = call(
        "compare", tmp_path / "runs", *FAST_OPTIONS, "--gold", links,
        "--format", "json", "--report", tmp_path / "report.html",
    )  # fmt: skip
    assert code == 0, err
    found = json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    before = json.loads((strange / "table.json").read_text())
    assert [row["variant"] for row in found["rows"]] == ["rnn-uniform-last"]
    assert found["rows"][0]["figures"]["entropy"]["values"] == before["rows"][0]["figures"]["entropy"]["values"]
    reasons = {Path(broken["run"]).name: broken["why"] for broken in found["broken"]}
    assert reasons.keys() == CASES.keys()
    for case, (_, why) in CASES.items():
        assert why in reasons[case], case


def test_overflowing_speeds_are_left_out(call: Call, strange: Path, links: Path, tmp_path: Path) -> None:
    """1e300 tokens in 1e-300 seconds: no speed is reported, and the JSON stays valid."""
    folder = Path(shutil.copytree(strange, tmp_path / "runs"))
    writes("metrics.csv", "update,seconds,target_tokens\n1,1e-300,1e300\n")(folder / SPOILED)
    scores(seconds=5e-324)(folder / SPOILED)
    shutil.copytree(folder / SPOILED, folder / "again")
    settings = folder / "again" / "config.yaml"
    settings.write_text(settings.read_text().replace("\nseed: 1\n", "\nseed: 3\n"))
    code, out, err = call("compare", folder, *FAST_OPTIONS, "--gold", links, "--format", "json")
    assert code == 0, err
    rows = json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))["rows"]
    found = next(row for row in rows if row["variant"] == "rnn-general")
    assert found["seeds"] == [1, 3]
    assert not {"training_tokens_per_second", "decoding_sentences_per_second"} & found["figures"].keys()


def test_missing_links_only_cost_the_alignment_error(call: Call, strange: Path, links: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(strange, tmp_path / "runs"))
    (folder / SPOILED / "evaluation/test/forced.json").unlink()
    code, out, err = call("compare", folder, *FAST_OPTIONS, "--gold", links, "--format", "json")
    assert code == 0, err
    found = json.loads(out)
    assert {row["variant"]: "aer" in row["figures"] for row in found["rows"]} == {
        "rnn-uniform-last": True,
        "rnn-general": False,
    }
    assert [line for line in found["header"] if "forced.json" in line] == [
        f"Without alignment error: {SPOILED}: neither weights nor forced.json."
    ]


def test_damaged_evaluation_is_repeated_if_there_are_weights(call: Call, runs_copy: Path, links: Path) -> None:
    words = ("compare", runs_copy / SPOILED, *FAST_OPTIONS, "--gold", links, "--format", "json")
    first = json.loads(call(*words)[1])
    for name, content in {"scores.json": DEEP, "forced.json": DEEP, "sentences.csv": "nan"}.items():
        (runs_copy / SPOILED / "evaluation/test" / name).write_text(content)
        code, out, err = call(*words)
        assert code == 0, err
        figures, before = (found["rows"][0]["figures"] for found in (json.loads(out), first))
        assert [figures[key] for key in ("chrf", "aer", "entropy")] == [
            before[key] for key in ("chrf", "aer", "entropy")
        ]


def moved(run: Path, root: Path | str) -> None:
    """Moves the text of a run to another folder, as on another machine."""
    config = run / "config.yaml"
    config.write_text(re.sub("(?m)^  root: .*$", f"  root: {root}", config.read_text()))


@pytest.mark.parametrize("away", [GOOD, SPOILED])
def test_text_of_one_run_serves_the_others(away: str, call: Call, strange: Path, corpus: Path, tmp_path: Path) -> None:
    """It may be that of any run; but one of them must have it, and none may have another text."""
    folder = Path(shutil.copytree(strange, tmp_path / "runs"))
    moved(folder / away, "/nowhere")
    code, out, err = call("compare", folder, *FAST_OPTIONS, "--format", "json")
    assert code == 0, err
    assert (len(json.loads(out)["rows"]), json.loads(out)["broken"]) == (2, [])
    other = Path(shutil.copytree(corpus, tmp_path / "other"))
    (other / "test.en").write_text("other\n" * 12)
    moved(folder / away, other)
    code, out, err = call("compare", folder, *FAST_OPTIONS)
    assert (code, out) == (2, "")
    assert "--test=test is another text in" in err
    for name in (GOOD, SPOILED):
        moved(folder / name, "/nowhere")
    code, out, err = call("compare", folder, *FAST_OPTIONS)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "/nowhere/test.en is missing, also with .gz" in err


def test_unreadable_test_set_of_one_run_is_an_error(call: Call, runs_copy: Path, corpus: Path, tmp_path: Path) -> None:
    """It may be another text: only text that is missing is assumed to be the same, by run.json."""
    root = Path(shutil.copytree(corpus, tmp_path / "text"))
    (root / "test.de").write_text("a line\n")
    moved(runs_copy / SPOILED, root)
    code, out, err = call("compare", runs_copy, *FAST_OPTIONS)
    assert (code, out) == (2, "")
    assert f"{root}/test.en has 12 lines, but" in err
    (root / "test.de").unlink()
    assert call("compare", runs_copy, *FAST_OPTIONS)[0] == 0


def test_name_of_a_test_set_cannot_lead_out_of_the_run(call: Call, runs_copy: Path) -> None:
    config = runs_copy / SPOILED / "config.yaml"
    config.write_text(config.read_text().replace("    test:\n", "    ../../../../x:\n"))
    code, out, err = call("compare", runs_copy / SPOILED, *FAST_OPTIONS)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "data.test='../../../../x' is part of a directory's name" in err


def test_symbolic_links_in_a_run_are_not_followed(call: Call, runs_copy: Path, tmp_path: Path) -> None:
    """Links in place of files and folders of a run are not written through; a link that the user names is."""
    run, victim, elsewhere = runs_copy / SPOILED, tmp_path / "victim.txt", tmp_path / "elsewhere"
    victim.write_text("dear")
    elsewhere.mkdir()
    shutil.rmtree(run / "evaluation", ignore_errors=True)
    (run / "evaluation/test").mkdir(parents=True)
    names = ("hypotheses.txt", "alignments.txt", "explained.zip", "sentences.csv", "scores.json")
    for name in names:
        (run / "evaluation/test" / name).symlink_to(victim)
    (tmp_path / "output").symlink_to(tmp_path / "table.csv")
    assert call("compare", run, *FAST_OPTIONS, "--format", "csv", "--output", tmp_path / "output")[0] == 0
    assert victim.read_text() == "dear"
    assert not any((run / "evaluation/test" / name).is_symlink() for name in names)
    assert (tmp_path / "output").is_symlink()
    assert (tmp_path / "table.csv").read_text().startswith("variant,")
    if find_spec("matplotlib"):
        (run / "plots").mkdir()
        (run / "plots/eva.png").symlink_to(victim)
        assert call("plot", run, "--sentence", "Eva")[0] == 0
        assert (victim.read_text(), (run / "plots/eva.png").is_symlink()) == ("dear", False)
        shutil.rmtree(run / "plots")
        (run / "plots").symlink_to(elsewhere)
        code, _, err = call("plot", run, "--sentence", "Eva")
        assert code == 2
        assert f"{run / 'plots'} leads out of the run" in err
    for place in ("evaluation/test", "evaluation"):
        shutil.rmtree(run / place)
        (run / place).symlink_to(elsewhere)
        code, _, err = call("compare", run, *FAST_OPTIONS)
        assert code == 2
        assert f"{run / 'evaluation/test'} leads out of the run" in err
        (run / place).unlink()
        (run / place).mkdir()
    assert list(elsewhere.iterdir()) == []
