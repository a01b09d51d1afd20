"""Does the wheel hold all that it needs? Built, unpacked in an empty environment, and run outside the checkout."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

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
    """The interpreter of an environment with the wheel, and with this one's libraries behind it."""
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, with_pip=False, symlinks=True)
    inside = next(folder.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(inside)
    (inside / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "bin" / "python"


@pytest.mark.slow
def test_the_wheel_holds_conf_and_nothing_else_of_the_checkout(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / "conf").rglob("*.yaml")}
    assert ours == {name.removeprefix("seq2seq/") for name in names if name.startswith("seq2seq/conf/")}
    assert {name.split("/")[0].split("-")[0] for name in names} == {"seq2seq"}


@pytest.mark.slow
def test_the_wheel_works_elsewhere(python: Path, tmp_path: Path) -> None:
    def run(*words: str) -> str:
        return subprocess.run([python, "-m", "seq2seq", *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    where = subprocess.run([python, "-c", "import seq2seq; print(seq2seq.__file__)"], cwd=tmp_path, capture_output=True, text=True).stdout
    assert str(python.parents[1]) in where
    assert "train" in run("--help")
    assert "window: local_p" in run("train", "--cfg", "job", "model/attention=local_p")
    assert "local_p" in run("attentions")


@pytest.mark.slow
def test_the_console_command_is_declared(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    entry = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert "seq2seq = seq2seq.cli:main" in archive.read(entry).decode()
