"""Plants each bug of bugs.py in a copy of the checkout and reports whether the fast tests find it.

    python -m tests.mutations             # all of them, 10 to 30 minutes
    python -m tests.mutations NAME...     # some

The tests named for a bug run first; if none of them fails, all fast tests do. The exit code is 1 if a bug survives.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutations.bugs import BUGS, Bug

ROOT = Path(__file__).resolve().parents[2]
TOP = (
    "seq2seq", "conf", "tests", "docs", "notebooks", "scripts",
    "pyproject.toml", "constraints.txt", "mkdocs.yml", "README.md",
)  # fmt: skip


def planted(text: str, bug: Bug) -> str:
    """The text of the bug's file with the bug. Raises ValueError unless its line is there exactly once."""
    lines = text.splitlines()
    places = [number for number, line in enumerate(lines) if line.strip() == bug.line]
    if len(places) != 1:
        raise ValueError(f"{bug.name}: {len(places)} lines of seq2seq/{bug.file} are: {bug.line}")
    line = lines[places[0]]
    lines[places[0]] = line[: len(line) - len(line.lstrip())] + bug.changed
    return "\n".join(lines) + "\n"


def copy_checkout(folder: Path) -> None:
    """Copy the package and all that its tests read."""
    for name in TOP:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder / name)


def failing_test(folder: Path, tests: list[str]) -> str:
    """The first of the fast tests that fails in the copy, '' if all pass; none given: of all.

    Raises RuntimeError if they do not run at all, as after a syntax error."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    # bytecode is chosen by time and size, both of which a bug may leave as they are
    variables = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    failed = re.search(r"^FAILED (\S+)", done.stdout, re.MULTILINE)
    if failed or done.returncode == 0:
        return failed[1] if failed else ""
    raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])


def found_by(folder: Path, bug: Bug) -> str:
    """Plant the bug in the copy and run the tests: the one that finds it, or '' if it survives."""
    path = folder / "seq2seq" / bug.file
    text = path.read_text(encoding="utf-8")
    path.write_text(planted(text, bug), encoding="utf-8")
    try:
        return failing_test(folder, [f"tests/{name}" for name in bug.tests.split()]) or failing_test(
            folder, ["-n", "2"]
        )
    finally:
        path.write_text(text, encoding="utf-8")


def main(names: list[str]) -> int:
    """Report on the bugs of these names, on all if there are none."""
    wanted = [bug for bug in BUGS if bug.name in names or not names]
    survived = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        copy_checkout(folder)
        for bug in wanted:
            test = found_by(folder, bug)
            survived += not test
            print(f"{'found' if test else 'SURVIVED':8}  {bug.name}: {bug.words}  {test}", flush=True)
    print(f"{len(wanted) - survived} of {len(wanted)} bugs found")
    return int(survived > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
