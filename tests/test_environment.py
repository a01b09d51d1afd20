"""scripts/environment.py, without installing anything, and constraints.txt against the bounds of pyproject.toml."""

import importlib.util
import platform
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, in a checkout that has no environment."""
    spec = importlib.util.spec_from_file_location("environment", ROOT / "scripts/environment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    for name in ("VENV", "PYTHON"):
        monkeypatch.delenv(name, raising=False)
    return module


@pytest.fixture
def pip(environment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Takes the place of venv and pip: notes the commands, and fails as often as `failures` says."""
    calls = SimpleNamespace(commands=[], environments=[], waits=[], failures=0)

    def run(command: list, **options: object) -> SimpleNamespace:
        if "-c" in command:  # asks for the version of an environment
            return SimpleNamespace(stdout=platform.python_version())
        calls.commands.append(list(map(str, command)))
        calls.environments.append(options["env"])
        calls.failures -= 1
        return SimpleNamespace(returncode=int(calls.failures >= 0))

    monkeypatch.setattr(environment.subprocess, "run", run)
    monkeypatch.setattr(environment.time, "sleep", calls.waits.append)
    monkeypatch.setattr(environment.venv, "create", lambda folder, **options: Path(folder).mkdir(exist_ok=True))
    return calls


def installations(pip: SimpleNamespace) -> list[list[str]]:
    """The commands that installed the checkout; each comes after one for pip itself."""
    return [command for command in pip.commands if "--editable" in command]


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_failed_download_is_tried_again(environment: ModuleType, pip: SimpleNamespace, failures: int) -> None:
    pip.failures = failures
    assert environment.ensure(["dev"], "tested") == Path(".venv/bin/python")
    assert len(pip.commands) == len(pip.waits) + 2 == failures + 2
    environment.ensure(["dev"], "tested")
    assert len(installations(pip)) == 1


def test_folder_of_the_environment_may_lie_in_one_that_is_missing(
    environment: ModuleType, pip: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENV", "new/folder/venv")
    assert environment.ensure([], "tested") == Path("new/folder/venv/bin/python")


def test_last_failure_ends_the_script_and_leaves_no_mark_of_success(
    environment: ModuleType, pip: SimpleNamespace
) -> None:
    pip.failures = 3
    with pytest.raises(SystemExit, match="3 times"):
        environment.ensure([], "tested")
    environment.ensure([], "tested")
    assert len(pip.commands) == 3 + 2


def test_what_changes_is_installed_anew(
    environment: ModuleType, pip: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.ensure(["dev"], "tested")
    environment.ensure([], "tested")  # the dependencies alone are there
    assert len(installations(pip)) == 1
    environment.ensure(["dev", "docs"], "tested")
    environment.ensure(["docs"], "tested")
    assert len(installations(pip)) == 2
    with open("constraints.txt", "a", encoding="utf-8") as file:
        file.write("six==1.17.0\n")
    environment.ensure([], "tested")
    assert len(installations(pip)) == 3


def test_versions_of_each_mode(environment: ModuleType, pip: SimpleNamespace) -> None:
    for versions in ("tested", "latest", "oldest"):
        environment.ensure(["dev"], versions)
    tested, latest, oldest = installations(pip)
    assert tested[tested.index("--constraint") + 1] == "constraints.txt"
    assert "--constraint" not in latest
    assert oldest[oldest.index("--constraint") + 1] == str(Path(".venv-oldest/lower-bounds.txt"))
    bounds = Path(".venv-oldest/lower-bounds.txt").read_text(encoding="utf-8").splitlines()
    pins = {Requirement(line).name: next(iter(Requirement(line).specifier)).version for line in bounds}
    declared = [Requirement(line) for line in (*PROJECT["project"]["dependencies"], *EXTRAS["plot"], *EXTRAS["track"])]
    for requirement in declared:
        assert f">={pins[requirement.name]}" in {str(bound) for bound in requirement.specifier}


def test_what_is_built_is_bound_too(environment: ModuleType, pip: SimpleNamespace) -> None:
    environment.ensure([], "tested")
    assert pip.environments[0]["PIP_CONSTRAINT"] == pip.environments[0]["PIP_BUILD_CONSTRAINT"] == "constraints.txt"


@pytest.mark.parametrize("python", ["3.11.7", "3.12.1", "3.13.0", "3.14.0"])
@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_constraints_hold_one_version_within_the_bounds(python: str, system: str) -> None:
    """Of every requirement, for each Python and system."""
    marker = {"python_full_version": python, "python_version": python[:4], "sys_platform": system, "extra": ""}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    valid = {canonical(pin.name): pin for pin in pins if not pin.marker or pin.marker.evaluate(marker)}
    declared = [Requirement(line) for group in (PROJECT["project"]["dependencies"], *EXTRAS.values()) for line in group]
    needed = [requirement for requirement in declared if not requirement.marker or requirement.marker.evaluate(marker)]
    assert len(needed) > 15
    for requirement in needed:
        (pin,) = valid[canonical(requirement.name)].specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), requirement


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_python_that_is_too_old_is_named(tmp_path: Path) -> None:
    """With no suitable interpreter on the path, one sentence says what is needed, and nothing is made."""
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python3").chmod(0o755)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/_env.sh").write_bytes((ROOT / "scripts/_env.sh").read_bytes())
    bash = shutil.which("bash")
    (tmp_path / "dirname").symlink_to(shutil.which("dirname"))
    done = subprocess.run(
        [bash, "-euc", "source scripts/_env.sh; ensure_env ''"],
        cwd=tmp_path,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "Python 3.11, 3.12, 3.13 or 3.14" in done.stderr
    assert not (tmp_path / ".venv").exists()
