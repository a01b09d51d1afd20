"""The wheel, built, unpacked in an empty environment and run outside the checkout; and the contents of the sdist."""

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import seq2seq
from seq2seq import Translator, cli

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="the wheel is built by hatchling, without a download")
    folder = tmp_path_factory.mktemp("wheel")
    build = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", build], cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel and, after it, the libraries of this one."""
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, with_pip=False, symlinks=True)
    inside = next(folder.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(inside)
    (inside / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "bin" / "python"


@pytest.mark.slow
def test_wheel_has_conf_and_nothing_else_of_the_checkout(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / "conf").rglob("*.yaml")}
    assert ours == {name.removeprefix("seq2seq/") for name in names if name.startswith("seq2seq/conf/")}
    assert {name.split("/")[0].split("-")[0] for name in names} == {"seq2seq"}


@pytest.mark.slow
def test_wheel_has_the_files_of_the_pages(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    folders = ("seq2seq/compare/report/page", "seq2seq/serve/page", "seq2seq/utils/page")
    files = [path for folder in folders for path in (ROOT / folder).iterdir()]
    assert {path.relative_to(ROOT).as_posix() for path in files} <= set(names)
    assert {path.suffix for path in files} == {".html", ".css", ".js"}


@pytest.mark.slow
def test_installed_wheel_trains_and_translates_outside_the_checkout(python: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def call(*words: str | Path, stdin: str = "") -> str:
        done = subprocess.run(
            [python, *words], cwd=tmp_path, env=environment, input=stdin, check=True, capture_output=True, text=True
        )
        return done.stdout

    def run(*words: str) -> str:
        return call("-m", "seq2seq", *words)

    assert str(python.parents[1]) in call("-c", "import seq2seq; print(seq2seq.__file__)")
    assert "train" in run("--help")
    assert "window: local_p" in run("train", "--cfg", "job", "model/attention=local_p")
    assert "local_p" in run("attentions")
    tiny = [
        "data.pairs=300",
        "tokenizer.size=200",
        "model.embedding=8",
        "model.hidden=8",
        "training.max_updates=2",
        "training.dev_lines=2",
    ]
    run("train", "data=toy", *tiny)
    (made,) = (tmp_path / "runs").iterdir()
    assert call("-m", "seq2seq", "translate", made, "--max-length", "5", stdin="the cat\n\na dog\n").count("\n") == 3


def link_packages(names: list[str], folder: Path) -> None:
    """Link installed packages and all that they need to a folder."""
    linked: set[str] = set()
    while names:
        name = names.pop()
        if name in linked:
            continue
        linked.add(name)
        package = distribution(name)
        for top in {file.parts[0] for file in package.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(package.locate_file(top))))
        needed = [Requirement(line) for line in package.requires or []]
        names += [one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A temporary folder that every user of the machine can read: those of pytest are its user's alone."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def user() -> dict[str, Any]:
    """Options of `subprocess.run` for a user whom permissions bind: `nobody` in place of root, else the same user."""
    if os.getuid():
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def python_of_user() -> str:
    """An interpreter of this version that `user` can start: that of this environment, or that of the system."""
    own = Path(sys.executable).resolve()
    for python in (str(own), f"/usr/bin/{own.name}"):
        with suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([python, "-c", "import venv"], cwd="/", check=True, capture_output=True, **user())
            return python
    pytest.skip(f"nobody cannot start {own}, and there is no other of its version")


def make_read_only(folder: Path) -> None:
    """Take the right to write from a folder and all that is in it."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & 0o555 | 0o444)


@pytest.mark.slow
def test_wheel_of_the_runtime_translates_without_torch(
    trained: Callable[..., Path], corpus: Path, public_folder: Path, tmp_path: Path
) -> None:
    """As a user without a home, from a folder that cannot be written to, with the output of the run itself."""
    pytest.importorskip("hatchling", reason="the wheel is built by hatchling, without a download")
    environment, work, run = public_folder / "env", public_folder / "work", trained("training.max_updates=2")
    subprocess.run([python_of_user(), "-m", "venv", "--without-pip", environment], check=True)
    inside = next(environment.glob("lib/python*/site-packages"))
    script = ROOT / "scripts/runtime_wheel.py"
    built = subprocess.run([sys.executable, script, tmp_path], check=True, capture_output=True, text=True)
    with zipfile.ZipFile(built.stdout.strip()) as archive:
        archive.extractall(inside)
    link_packages(["numpy", "onnxruntime", "sentencepiece"], inside)
    work.mkdir()
    for name in ("small.s2s", "folder"):
        assert cli.main(["export", str(run), "--sentences", "10", "--output", str(work / name)]) == 0
    make_read_only(work)
    text = (corpus / "test.en").read_text()

    def call(*words: str | Path) -> str:
        done = subprocess.run(
            [environment / "bin/python", *words],
            cwd=work,
            env={name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "HOME")},
            input=text,
            capture_output=True,
            text=True,
            check=False,
            **user(),
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        return done.stdout

    assert call("-c", STATE) == "[] [False, False, False, False]\n"
    for name in ("small.s2s", "folder"):
        assert call("-m", "seq2seq_runtime", name).splitlines() == Translator.open(run).translate(text.splitlines())
        assert call("-m", "seq2seq_runtime", "verify", name).endswith(f"verified: {name}, float32\n")
    assert sorted(path.name for path in work.iterdir()) == ["folder", "small.s2s"]


STATE = """
import importlib.util, os, seq2seq_runtime
seq2seq_runtime.Translator
there = [name for name in ("torch", "lightning", "hydra", "seq2seq") if importlib.util.find_spec(name)]
print(there, [os.access(path, os.W_OK) for path in (".", "small.s2s", "folder", os.path.expanduser("~"))])
"""


@pytest.mark.slow
def test_sdist_has_what_its_tests_read(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="the sdist is built by hatchling, without a download")
    build = f"from hatchling.build import build_sdist; print(build_sdist({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", build], cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        tops = {name.split("/")[1] for name in archive.getnames()}
    read = {
        "seq2seq",
        "conf",
        "tests",
        "docs",
        "notebooks",
        "scripts",
        "mkdocs.yml",
        "pyproject.toml",
        "constraints.txt",
    }
    assert read | {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"} <= tops


@pytest.mark.slow
def test_wheel_declares_the_console_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    entry = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert "seq2seq = seq2seq.cli:main" in archive.read(entry).decode()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_concurrent_scripts_make_one_environment(tmp_path: Path) -> None:
    """In a checkout without an environment; a third start installs nothing."""
    for name in ("seq2seq", "conf", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VENV", "NO_INSTALL")
    }
    command = ["bash", "-euc", "source scripts/_env.sh; ensure_env ''; $PY -m seq2seq --version"]

    def start() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    outputs = [process.communicate() for process in (start(), start())]
    assert [out for out, _ in outputs] == [f"seq2seq {seq2seq.__version__}\n"] * 2
    assert "".join(err for _, err in outputs).count("installing seq2seq[run] in .venv") == 1
    assert start().communicate() == (f"seq2seq {seq2seq.__version__}\n", "")
