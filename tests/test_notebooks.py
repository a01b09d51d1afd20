"""The notebooks run as they are, and what they state agrees with a run."""

import ast
import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from seq2seq.cli import main
from seq2seq.commands import compare
from seq2seq.launch.compose import compose_config

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
COMPARE = ROOT / "notebooks/compare_attention.ipynb"
NEEDED = {"seq2seq", "matplotlib", "IPython"} | set(sys.stdlib_module_names)
SMALL = "tokenizer.size=200 model.embedding=8 model.hidden=8 search.beam=1 search.max_length=4"
FEW = f"data.pairs=300 training.dev_lines=2 trainer.threads=1 {SMALL}"
VARIANTS = ["rnn-uniform-last", "rnn-additive", "rnn-general", "rnn-general-local_p"]


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def source(cell: Any) -> str:
    return "".join(cell["source"])  # a list of lines in a file


def outputs(notebook: Any, mime: str) -> list[str]:
    """The outputs of all cells with a MIME type such as image/png."""
    found = [output.get("data", {}) for cell in code(notebook) for output in cell["outputs"]]
    return ["".join(data[mime]) for data in found if mime in data]


def printed(notebook: Any) -> str:
    found = [output for cell in code(notebook) for output in cell["outputs"]]
    return "".join("".join(output["text"]) for output in found if output["output_type"] == "stream")


def execute(folder: Path, monkeypatch: pytest.MonkeyPatch, **environment: str) -> Any:
    """Run the comparison notebook in an empty folder with this Python. Raises if a cell fails."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    for name, value in {"PYTHONPATH": path, "SEQ2SEQ_CACHE": str(folder / "cache"), **environment}.items():
        monkeypatch.setenv(name, value)
    nbformat = pytest.importorskip("nbformat", reason="the extra notebooks is not installed")
    nbclient = pytest.importorskip("nbclient", reason="the extra notebooks is not installed")
    notebook = nbformat.read(COMPARE, as_version=4)
    for cell in code(notebook):
        cell.update(outputs=[], execution_count=None)
    return nbclient.NotebookClient(
        notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()


def check_form(notebook: Any) -> None:
    """There are plots of two sentences and of recall, and a table with a row for each variant."""
    assert len(outputs(notebook, "image/png")) == 3
    (table,) = (text for text in outputs(notebook, "text/markdown") if "| variant" in text)
    first = table.split("| variant")[1].split("\n\n")[0].splitlines()[2:]
    rows = [row.split("|")[1].strip().replace("\\", "") for row in first]
    assert sorted(row.split(" ")[0] for row in rows) == sorted(VARIANTS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_imports_only_declared_packages(path: Path) -> None:
    trees = [ast.parse(source(cell)) for cell in code(read(path))]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    assert "seq2seq" in names
    assert {name.split(".")[0] for name in names} <= NEEDED


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebook_was_run_in_order_and_contains_no_local_path(path: Path) -> None:
    notebook = read(path)
    assert [cell["execution_count"] for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    assert path.stat().st_size < 500_000
    text = printed(notebook) + "".join(outputs(notebook, "text/plain") + outputs(notebook, "text/markdown"))
    assert not re.search(r"(?:^|[\s\"'(=])(?:/|~|[A-Z]:\\)\w", text), "a local path"
    assert not any(output["output_type"] == "error" for cell in code(notebook) for output in cell["outputs"])


def test_committed_comparison_has_its_plots_and_table() -> None:
    check_form(read(COMPARE))


@pytest.mark.slow
def test_commands_of_the_comparison_are_accepted() -> None:
    """Without running them: settings and options exist, and the variants are those of the table."""
    commands: list[str] = []
    names = {"UPDATES": 500, "MORE": "", "SAMPLES": "", "seq2seq": commands.append, "Markdown": lambda filename: None}
    for cell in code(read(COMPARE)):
        if re.search(r"^(seq2seq\(|common = )", source(cell), re.MULTILINE):
            exec(source(cell), names)
    trained, compared = (
        [shlex.split(each) for each in commands if each.startswith(name)] for name in ("train", "comp")
    )
    found = []
    for words in trained:
        *same, (name, values) = sorted(
            (word.split("=", 1) for word in words[1:] if word != "-m"), key=lambda w: "," in w[1]
        )
        for value in values.split(","):
            attention = compose_config([*map("=".join, same), f"{name}={value}"]).model.attention
            found.append(f"rnn-{attention.scorer}" + f"-{attention.window}" * (attention.window != "everywhere"))
    assert sorted(found) == sorted(VARIANTS)
    assert len(compared) == 2
    assert all(compare._parse(words[1:]).runs == [Path("runs")] for words in compared)


@pytest.mark.slow
def test_comparison_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two updates of tiny models."""
    notebook = execute(tmp_path, monkeypatch, UPDATES="2", SETTINGS=FEW, SAMPLES="--trials 20 --bootstrap 40")
    check_form(notebook)
    assert len(list((tmp_path / "runs").glob("toy-*"))) == 4
    assert "<html" in (tmp_path / "report.html").read_text(encoding="utf-8")[:200]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_statements_of_the_comparison_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a complete run with the default settings."""
    check_form(execute(tmp_path, monkeypatch))
    check_facts(tmp_path / "runs", capsys)


def check_facts(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Check what the closing cell states about the variants."""
    assert main(["compare", str(runs), "--test", "test", "--format", "json", "--trials", "0"]) == 0
    rows = {row["variant"]: row["figures"] for row in json.loads(capsys.readouterr().out)["rows"]}
    none, additive, general, local_p = (
        rows[name] for name in sorted(rows, key=lambda name: VARIANTS.index(name.split(" ")[0]))
    )
    assert none["aer"]["value"] == 100
    assert none["recall"]["value"] == 0
    for figures, highest in ((additive, 30), (general, 35), (local_p, 90)):
        assert figures["aer"]["interval"][1] < highest
    for figures in (additive, general):
        assert figures["bleu"]["value"] > none["bleu"]["value"] + 30
        assert figures["aer"]["value"] < local_p["aer"]["value"] - 20
