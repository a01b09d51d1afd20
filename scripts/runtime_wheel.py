"""Builds the wheel of the runtime: seq2seq/runtime as a package of its own, seq2seq_runtime, which needs no torch.

python scripts/runtime_wheel.py [FOLDER]    # the wheel is written to FOLDER, by default dist/
"""

import argparse
import os
import re
import shutil
import tempfile
import tomllib
from pathlib import Path

from hatchling.build import build_wheel

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("numpy", "onnxruntime", "sentencepiece")
PYPROJECT = """
[build-system]
requires = ["hatchling>=1.25"]
build-backend = "hatchling.build"

[project]
name = "seq2seq-runtime"
version = "{version}"
description = "Translates with bundles that seq2seq has exported; without torch"
license = "Apache-2.0"
license-files = ["LICENSE"]
requires-python = "{python}"
dependencies = {dependencies}

[project.scripts]
seq2seq-runtime = "seq2seq_runtime.__main__:command"

[tool.hatch.build.targets.wheel]
packages = ["seq2seq_runtime"]
"""


def main() -> None:
    """Build the wheel; prints its path."""
    parser = argparse.ArgumentParser(description="Build the wheel of the runtime, and print its path.")
    parser.add_argument(
        "folder", nargs="?", default="dist", type=Path, metavar="FOLDER", help="where it is written (default: dist)"
    )
    target = parser.parse_args().folder.resolve()
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary)
        shutil.copytree(
            ROOT / "seq2seq/runtime", source / "seq2seq_runtime", ignore=shutil.ignore_patterns("__pycache__")
        )
        (source / "seq2seq_runtime/py.typed").touch()
        shutil.copy(ROOT / "LICENSE", source)
        (source / "pyproject.toml").write_text(_pyproject(), encoding="utf-8")
        os.chdir(source)  # where hatchling looks
        print(target / build_wheel(str(target)))


def _pyproject() -> str:
    """The project file, with the version and the bounds of the whole package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = [*project["dependencies"], *project["optional-dependencies"]["export"]]
    chosen = {name: bound for bound in bounds if (name := re.split(r"[<>=\[ ]", bound)[0]) in NEEDED}
    version = re.search(r'__version__ = "(.+)"', (ROOT / "seq2seq/__init__.py").read_text(encoding="utf-8"))
    assert version is not None
    return PYPROJECT.format(
        version=version[1], python=project["requires-python"], dependencies=[chosen[name] for name in NEEDED]
    )


if __name__ == "__main__":
    main()
