"""The structure of the package: which folder imports which, where dependencies are used, what imports no torch."""

import ast
import importlib
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from seq2seq import cli
from seq2seq.compare.report import page as report
from seq2seq.serve import page as served
from seq2seq.utils import page as shared

PACKAGE = Path(__file__).resolve().parents[1] / "seq2seq"
FILES = sorted(PACKAGE.rglob("*.py"))

SHARED = {"errors", "ids", "runtime", "utils"}  # may be imported by any folder; runtime imports none of the others
MAY_IMPORT = {  # folder -> what it may import besides itself and SHARED; module -> what it may import in addition
    "__init__": {"translator"},  # lazily
    "__main__": {"cli"},
    "errors": set(),
    "ids": set(),
    "utils": set(),
    "runtime": set(),
    "config": set(),
    "nn": set(),
    "nn.build": {"config"},
    "data": {"config"},
    "search": {"nn.interface", "nn.ops.devices"},
    "runs": {"config", "data", "nn.build"},
    "translator": {"config", "distributed", "runs", "search", "data", "nn"},
    "ray_data": {"runs.bundles", "translator"},
    "evaluation": {"config", "data", "distributed", "nn.attention", "runs", "search", "translator"},
    "distributed": set(),
    "training": {"config", "data", "distributed", "evaluation", "export.formats", "nn", "runs", "translator"},
    "doctor": {"config", "data", "distributed", "export.formats", "nn.build", "training"},
    "export": {"config", "data", "evaluation", "nn", "runs", "translator"},
    "imports": {"config", "data", "export.huggingface", "nn", "runs", "translator"},
    "launch": {"config", "runs.directory"},
    "compare": {"config", "data", "evaluation", "runs", "translator"},
    "serve": {"config", "evaluation.alignment", "evaluation.attention_maps", "runs"},
    "cli": {"commands"},
    "worker": {"cli", "commands.devices", "distributed", "evaluation.attention_maps", "training.run", "translator"},
    "commands": {"*"},
}

HEAVY = {"torch", "sacrebleu", "rouge_score", "matplotlib"}
LIGHT = {  # modules whose import does not import these; the commands import them when they are needed
    "cli", "config.choices", "config.io", "evaluation.alignment", "evaluation.heatmap", "evaluation.metrics",
    "export.formats", "launch.compose", "launch.grid", "launch.processes", "launch.sweep", "runs.directory",
    "runs.metrics", "utils.console", "utils.files", "utils.process", "utils.progress",
    *(f"commands.{command}" for command in cli.COMMANDS),
}  # fmt: skip

DOORS = {  # dependency -> the modules or folders that may import it
    "hydra": {"launch.compose", "launch.sweep"},
    "lightning": {"training"},
    "sentencepiece": {"data.tokenizer", "runtime.vocabulary"},
    "sacrebleu": {"evaluation.bleu"},
    "rouge_score": {"evaluation.rouge"},
    "sklearn": {"evaluation.classes"},
    "langcodes": {"config.languages"},
    "ctranslate2": {"export.ctranslate2"},
    "transformers": {"export.runners"},
    "ray": {"ray_data"},
    "packaging": {"doctor.machine"},
    "fastapi": {"serve.app"},
    "prometheus_client": {"serve.metrics"},
    "py3langid": {"serve.languages"},
    "pydantic": {"serve.schemas"},
    "sentencex": {"serve.text"},
    "starlette": {"serve.app"},
    "uvicorn": {"serve.server"},
}

FILES_READ = {  # call that reads a file -> the modules that may call it; all others read with runtime.untrusted
    "open": {
        "runtime.untrusted",
        "data.files",  # text that the user names
        "commands.shards", "commands.disturbed_training",  # what an earlier call has written
        "runtime.cpu",  # /proc/cpuinfo
    },
    "os.open": {"runtime.program", "runtime.signals", "runtime.untrusted", "utils.files"},  # null device; append
    "read_text": {
        "commands.attentions", "utils.page",  # files of this package
        "training.resources", "utils.memory",  # /proc and /sys/fs/cgroup
        "commands.disturbed_training",
    },
    "read_bytes": set(),
    "safe_open": {"runs.weights"},  # these get a file that runtime.untrusted has opened
    "ZipFile": {
        "evaluation.attention_records", "export.argos", "export.runners", "imports.weights", "training.checkpoint",
    },
    "torch.load": {"imports.weights", "training.checkpoint"},
    "torch.export.load": {"export.pt2"},  # what this process has just written
    "memmap": {"data.dataset"},
    "load_file": set(),
    "np.load": set(),
    "json.load": set(),
    "fromfile": set(),
    "LoadFromFile": set(),
}  # fmt: skip
OWN_READERS = {"read_text", "read_bytes"}  # functions of ours have these names as well

RUNTIME = {"numpy", "sentencepiece", "onnxruntime"}  # besides the standard library


def name(path: Path) -> str:
    """`data.readers` for seq2seq/data/readers.py, `data` for seq2seq/data/__init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


@cache
def imported(path: Path) -> list[str]:
    """The dotted names that a file imports, anywhere in it."""
    names: list[str] = []
    for node in ast.walk(syntax(path)):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(path.relative_to(PACKAGE.parent).parts[: -node.level]) if node.level else ""
            names += (".".join(filter(None, (base, node.module, alias.name))) for alias in node.names)
    return names


@cache
def syntax(path: Path) -> ast.Module:
    """The syntax tree of a file, which several tests read."""
    return ast.parse(path.read_text(encoding="utf-8"))


def ours(path: Path) -> list[str]:
    """The modules of this package that a file imports, without "seq2seq."."""
    return [module.removeprefix("seq2seq.") for module in imported(path) if module.startswith("seq2seq.")]


def inside(module: str, places: set[str]) -> bool:
    """Whether the module is one of `places`, or in one of these folders."""
    return any(module == place or module.startswith(f"{place}.") for place in places)


def allowed(module: str) -> set[str]:
    """What the module may import."""
    folder = module.split(".")[0]
    return MAY_IMPORT.get(module, set()) | MAY_IMPORT[folder] | {folder} | (SHARED if folder != "runtime" else set())


def test_imports_point_one_way() -> None:
    wrong = []
    for path in FILES:
        may = allowed(name(path))
        found = [each for each in ours(path) if "*" not in may and not inside(each, may) and each != "__version__"]
        wrong += [f"{name(path)} may not import {module}" for module in found]
    assert not wrong


def test_folders_do_not_import_each_other_in_a_circle() -> None:
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


def test_commands_do_not_import_each_other() -> None:
    commands = {f"commands.{command}" for command in cli.COMMANDS}
    for path in (PACKAGE / "commands").glob("*.py"):
        assert not [module for module in ours(path) if inside(module, commands)], name(path)


def test_light_modules_import_no_heavy_libraries() -> None:
    code = f"""
import importlib, sys
for module in {sorted(LIGHT)}:
    importlib.import_module("seq2seq." + module)
    assert not {HEAVY} & set(sys.modules), module
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("dependency", DOORS)
def test_each_dependency_is_used_in_one_place(dependency: str) -> None:
    users = {name(path) for path in FILES if any(inside(module, {dependency}) for module in imported(path))}
    assert users, dependency
    assert not [user for user in users if not inside(user, DOORS[dependency])]


def reading_calls(path: Path) -> Iterator[tuple[str, int]]:
    """The calls in FILES_READ in a file, and their lines; not those of classmethods, and not those that write."""
    for node in ast.walk(syntax(path)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        last, owner = called.rpartition(".")[2], called.rpartition(".")[0]
        texts = [a.value for a in [*node.args, *(k.value for k in node.keywords)] if isinstance(a, ast.Constant)]
        writes = any(re.fullmatch("[wax]b?", str(text)) for text in texts)
        known = called if called in FILES_READ else last
        if known not in FILES_READ or writes or re.fullmatch(r"(\w+\.)*[A-Z]\w*", owner):
            continue
        if not (known in OWN_READERS and not owner):
            yield known, node.lineno


def test_files_that_someone_else_may_have_written_are_opened_at_one_place() -> None:
    """All others read with runtime.untrusted."""
    for path in FILES:
        assert not [call for call in reading_calls(path) if name(path) not in FILES_READ[call[0]]], name(path)


def test_runtime_imports_nothing_of_the_package_and_no_torch() -> None:
    for path in (PACKAGE / "runtime").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        tops = {module.split(".")[0] for module in imported(path) if not module.startswith("seq2seq.runtime")}
        assert tops <= RUNTIME | set(sys.stdlib_module_names), name(path)
        assert "from seq2seq" not in text, name(path)
        assert "import seq2seq" not in text, name(path)


def test_every_module_has_a_docstring_that_is_no_question() -> None:
    for path in (path for path in FILES if path.stat().st_size):
        docstring = ast.get_docstring(syntax(path))
        assert docstring, name(path)
        assert not docstring.splitlines()[0].endswith("?"), name(path)


def test_classes_have_names_of_their_own() -> None:
    """`runtime` is a package of its own as well, whose Translator and Model have the names that they have above."""
    where: dict[tuple[bool, str], list[str]] = defaultdict(list)
    for path in FILES:
        for node in syntax(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where[name(path).startswith("runtime."), node.name].append(name(path))
    assert not {title: places for title, places in where.items() if len(places) > 1}


@pytest.mark.parametrize("package", ["data", "evaluation", "nn", "search"])
def test_lazy_names_are_known_to_type_checkers(package: str) -> None:
    path = PACKAGE / package / "__init__.py"
    imports = [node for node in ast.walk(syntax(path)) if isinstance(node, ast.ImportFrom) and node.module != "typing"]
    names = {alias.name for node in imports for alias in node.names} - {"lazy_names"}
    assert names == set(importlib.import_module(f"seq2seq.{package}").__all__)


def test_every_file_of_the_pages_is_used() -> None:
    for page in (report, served):
        own = {page.PAGE / "template.html", *page.PAGE.glob("*.css"), *page.PAGE.glob("*.js")}
        assert set(page.PAGE.iterdir()) == own
        assert own <= {*page.STYLES, *page.SCRIPTS, page.PAGE / "template.html"}
    used = {*report.STYLES, *report.SCRIPTS}
    assert set(shared.SHARED.iterdir()) == {path for path in used if path.parent == shared.SHARED}
