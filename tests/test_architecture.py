"""The package's structure: which folder may import which, and which dependencies have one place of use. Read with `ast`."""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from seq2seq.compare.report import page

PACKAGE = Path(__file__).resolve().parents[1] / "seq2seq"
FILES = sorted(PACKAGE.rglob("*.py"))

SHARED = {"errors", "ids", "utils"}  # anyone may import these
MAY_IMPORT = {  # folder or module -> what it may import beside itself and SHARED; the entry of the longest prefix is added to the folder's
    "__init__": {"translator"},  # lazily
    "__main__": {"cli"},
    "errors": {"runtime"},
    "ids": {"runtime"},
    "utils": set(),
    "runtime": set(),
    "config": {"runtime"},
    "nn": set(),
    "nn.build": {"config"},
    "data": {"config"},
    "search": {"nn.interface", "nn.ops.devices", "runtime"},
    "runs": {"config", "data", "nn.build"},
    "translator": {"config", "runs", "search", "data", "nn", "runtime"},
    "evaluation": {"config", "data", "nn.attention", "runs", "search", "translator"},
    "training": {"config", "data", "evaluation", "nn", "runs", "translator"},
    "launch": {"config", "runs.directory"},
    "compare": {"config", "data", "evaluation", "runs", "translator"},
    "cli": {"commands"},
    "commands": {"*"},
}

LIGHT = {
    "runs.directory",
    "runs.metrics",
    "cli",
    "utils.files",
    "utils.progress",
    "utils.process",
    "utils.console",
}  # without torch

DOORS = {  # package -> the files that may import it
    "hydra": {"launch.compose", "launch.sweep"},
    "lightning": {"training"},
    "sentencepiece": {"data.tokenizer", "data.segmentation", "runtime"},
    "sacrebleu": {"evaluation.bleu"},
    "rouge_score": {"evaluation.rouge"},
}

RUNTIME = {"numpy", "sentencepiece", "onnxruntime"}  # beside the standard library


def name(path: Path) -> str:
    """`data.readers` for seq2seq/data/readers.py, `data` for seq2seq/data/__init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(("seq2seq", *name(path).split(".")[: -node.level])) if node.level else ""
            yield from (".".join(filter(None, (base, node.module, alias.name))) for alias in node.names)


def ours(path: Path) -> list[str]:
    """The modules of this package that a file imports, without "seq2seq."."""
    return [module.removeprefix("seq2seq.") for module in imported(path) if module.startswith("seq2seq.")]


def inside(module: str, rooms: set[str]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def allowed(module: str) -> set[str]:
    folder = module.split(".")[0]
    return MAY_IMPORT.get(module, set()) | MAY_IMPORT[folder] | {folder} | (SHARED if folder != "runtime" else set())


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_point_one_way(path: Path) -> None:
    may = allowed(name(path))
    wrong = [module for module in ours(path) if "*" not in may and not inside(module, may) and module != "__version__"]
    assert not wrong, f"{name(path)} may not import {wrong}"


def test_no_circle_of_folders() -> None:
    arrows: dict[str, set[str]] = defaultdict(set)
    for path in FILES:
        folder = name(path).split(".")[0]
        arrows[folder] |= {module.split(".")[0] for module in ours(path)} - {folder, "__version__"}
    seen: list[str] = []

    def visit(folder: str, trail: tuple[str, ...]) -> None:
        assert folder not in trail, f"a circle: {' -> '.join((*trail, folder))}"
        if folder not in seen:
            for other in sorted(arrows[folder]):
                visit(other, (*trail, folder))
            seen.append(folder)

    for folder in sorted(arrows):
        visit(folder, ())


@pytest.mark.parametrize("door", DOORS)
def test_each_dependency_is_used_in_one_place(door: str) -> None:
    users = {name(path) for path in FILES if any(inside(module, {door}) for module in imported(path))}
    assert users, door
    assert not [user for user in users if not inside(user, DOORS[door])]


def test_runtime_imports_nothing_of_the_package_and_no_torch() -> None:
    for path in (PACKAGE / "runtime").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        tops = {module.split(".")[0] for module in imported(path) if not module.startswith("seq2seq.runtime")}
        assert tops <= RUNTIME | set(sys.stdlib_module_names), name(path)
        assert "from seq2seq" not in text, name(path)
        assert "import seq2seq" not in text, name(path)


@pytest.mark.parametrize("path", [path for path in FILES if path.stat().st_size], ids=name)
def test_every_module_has_a_docstring_that_is_no_question(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring
    assert not docstring.splitlines()[0].endswith("?")


def test_classes_have_names_of_their_own() -> None:
    where: dict[str, list[str]] = defaultdict(list)
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where[node.name].append(name(path))
    assert not {title: places for title, places in where.items() if len(places) > 1}


def test_every_file_of_the_report_page_is_used() -> None:
    assert {path.name for path in page.PAGE.iterdir()} == {*page.STYLES, *page.SCRIPTS, "template.html"}
