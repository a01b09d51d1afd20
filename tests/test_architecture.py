"""Does every part of the package know only what it may? The tables are the design, read with ast."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from seq2seq.compare.report import page

PACKAGE = Path(__file__).resolve().parents[1] / "seq2seq"
FILES = sorted(PACKAGE.rglob("*.py"))
EVERYTHING = {"*"}

MAY_IMPORT = {  # room -> rooms, or modules of rooms; errors, files, ids and progress are everyone's
    "errors": set(),
    "files": set(),
    "ids": set(),
    "progress": set(),
    "process": set(),
    "__init__": {"translator", "process"},  # lazily
    "__main__": {"cli"},
    "config": set(),
    "settings": {"config"},
    "tables": {"config"},
    "nn": set(),
    "nn.build": {"config"},
    "data": {"config", "process"},
    "data.links": {"evaluation.alignment"},  # which words subwords make up, and how links are written
    "search": {"nn.interface", "nn.devices"},
    "evaluation": set(),
    "runs": {"config", "settings", "data.subword", "data.vocabularies", "nn.build", "nn.interface"},
    "translator": {"config", "runs", "search", "data", "nn.interface", "nn.precision", "nn.recording", "nn.replay"},
    "training": {"config", "settings", "data", "nn", "evaluation", "process", "runs", "translator", "looking"},
    "grid": set(),
    "launchers": {"cli", "config", "grid", "process"},
    "looking": {"config", "evaluation", "translator", "search", "nn.windows"},
    "compare": {"config", "settings", "data", "runs", "evaluation", "translator", "looking", "training.metrics"},
    "runtime": set(),
    "export": {"config", "settings", "runs", "nn", "translator", "evaluation", "runtime"},
    "cli": EVERYTHING,
    "commands": EVERYTHING,
    "compose": EVERYTHING,
    "sweep": EVERYTHING,
    "experiment": EVERYTHING,
}

DOORS = {  # package -> where it may be imported: how many files at most, among these rooms
    "hydra": (2, {"compose", "sweep"}),
    "lightning": (99, {"data.module", "training"}),
    "sentencepiece": (2, {"data", "runtime"}),  # the runtime has its own: it may not know data
    "sacrebleu": (1, {"evaluation"}),
    "rouge_score": (1, {"evaluation"}),
}

RUNTIME = {"numpy", "sentencepiece", "onnxruntime"}  # beside the standard library


def name(path: Path) -> str:
    """`data.text` for seq2seq/data/text.py."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name(path)}:{node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inside(module: str, rooms: set[str]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def allowed(module: str) -> set[str]:
    """The entry of the longest prefix, and its own room."""
    room = module.split(".")[0]
    return MAY_IMPORT.get(module, set()) | MAY_IMPORT[room] | {room, "errors", "files", "ids", "progress"}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_point_one_way(path: Path) -> None:
    may = allowed(name(path))
    ours = [module.removeprefix("seq2seq.") for module in imported(path) if module.startswith("seq2seq.")]
    wrong = [module for module in ours if may != may | EVERYTHING and not inside(module, may)]
    assert not wrong, f"{name(path)} may not import {wrong}"


@pytest.mark.parametrize("door", DOORS)
def test_each_dependency_has_one_door(door: str) -> None:
    most, rooms = DOORS[door]
    users = [name(path) for path in FILES if any(inside(module, {door}) for module in imported(path))]
    assert len(users) <= most, users
    assert not [user for user in users if not inside(user, rooms)]


def test_the_runtime_needs_little() -> None:
    import sys

    for path in (PACKAGE / "runtime").rglob("*.py"):
        tops = {module.split(".")[0] for module in imported(path)} - {"seq2seq"}
        assert tops <= RUNTIME | set(sys.stdlib_module_names), name(path)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 50, f"{name(path)}.{node.name}"


@pytest.mark.parametrize("path", [path for path in FILES if path.stat().st_size], ids=name)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_files_of_the_page_are_short() -> None:
    for name in (*page.STYLES, *page.SCRIPTS, "template.html"):
        lines = (page.PAGE / name).read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 300, name
        assert max(map(len, lines)) <= 140, name
    assert {path.name for path in page.PAGE.iterdir()} == {*page.STYLES, *page.SCRIPTS, "template.html"}
