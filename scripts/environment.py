"""Creates the virtual environment of this checkout, once, and prints the path of its Python. Standard library only.

    python scripts/environment.py EXTRAS [--versions tested|latest|oldest]

`tested` installs the versions of constraints.txt in .venv; `latest` the newest ones that pyproject.toml allows in
.venv-latest; `oldest` its lower bounds in .venv-oldest. EXTRAS are separated by commas ("" for none) and are only ever
added to an environment, so that several scripts can share it. VENV is another folder for it. What is done, and how long
it took, is printed on standard error.
"""

import argparse
import fcntl
import hashlib
import os
import platform
import re
import subprocess
import sys
import time
import tomllib
import venv
from pathlib import Path

ATTEMPTS = 3  # of an installation; what was downloaded before is not downloaded again
CONSTRAINTS = Path("constraints.txt")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def lower_bounds(project: dict) -> list[str]:
    """`name==bound` for what users install: the requirements of the project and of its extras, but not of dev and docs,
    whose tools only we use."""
    table = project["project"]
    extras = [lines for name, lines in table["optional-dependencies"].items() if name not in ("dev", "docs")]
    requirements = [line for lines in (table["dependencies"], *extras) for line in lines]
    found = (re.match(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)([^;]*)(;.*)?", line) for line in requirements)
    return sorted({f"{match[1]}=={match[2]}{match[4] or ''}" for match in found if match})


def constraints(versions: str, folder: Path) -> list[str]:
    """Options of pip that hold the versions. Paths are relative: pip splits PIP_CONSTRAINT at spaces."""
    if versions == "latest":
        return []
    file = CONSTRAINTS
    if versions == "oldest":
        file = folder / "lower-bounds.txt"
        project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
        file.write_text("\n".join(lower_bounds(project)) + "\n", encoding="utf-8")
    return ["--constraint", str(file)]


def version(python: Path) -> str:
    """The version of Python in an environment that was once made whole; "" if there is none or it does not start."""
    if not any(python.parents[1].glob(".stamp-*")):
        return ""
    try:
        code = "import pip, platform; print(platform.python_version())"
        return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def install(python: Path, extras: list[str], pip_options: list[str]) -> None:
    """Install the checkout with its extras, again if a download fails. Ends the program if all attempts fail."""
    target = "." + (f"[{','.join(extras)}]" if extras else "")
    # Bytecode is compiled on first use.
    command = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input", "--no-compile"]
    command += ["--retries", "10", "--timeout", "60", *pip_options]
    environment = dict(os.environ)
    if pip_options == ["--constraint", str(CONSTRAINTS)]:  # for what pip builds, too
        environment |= {"PIP_CONSTRAINT": str(CONSTRAINTS), "PIP_BUILD_CONSTRAINT": str(CONSTRAINTS)}
    try_again([*command, "pip"], environment)  # that of Python 3.11 takes twice the time for the rest
    # all the rest at once, so that the bounds on torch hold for all that depends on torch
    try_again([*command, "--editable", target], environment)


def try_again(command: list, environment: dict) -> None:
    """Run an installation until it succeeds. Ends the program if all attempts fail."""
    for attempt in range(1, ATTEMPTS + 1):
        # the output belongs to whoever called the script for the path alone
        code = subprocess.run(command, stdout=sys.stderr, env=environment).returncode
        if code == 0:
            return
        if attempt < ATTEMPTS:
            say(f"installing failed (attempt {attempt} of {ATTEMPTS}); trying again in {10 * attempt} seconds")
            time.sleep(10 * attempt)
    sys.exit(f"installing failed {ATTEMPTS} times; pip's reason is above. Nothing else was changed: start again later.")


def ensure(extras: list[str], versions: str) -> Path:
    """The Python of an environment with these extras; what is missing is installed."""
    folder = Path(os.environ.get("VENV") or (".venv" if versions == "tested" else f".venv-{versions}"))
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second script waits here for the first to finish
        wanted = platform.python_version()
        if not (found := version(python)) or ("PYTHON" in os.environ and found != wanted):
            found = wanted
            say(f"creating {folder} with Python {wanted}")
            venv.create(folder, clear=True, with_pip=True, symlinks=True)
        content = b"".join(file.read_bytes() for file in (Path("pyproject.toml"), CONSTRAINTS))
        state = hashlib.sha256(f"{Path.cwd()} {found}".encode() + content).hexdigest()[:16]
        name = ",".join(extras) or "run"
        if not (folder / f".stamp-{name}-{state}").exists():
            start = time.monotonic()
            say(f"installing seq2seq[{name}] in {folder}: a minute or two, and more if torch has to be downloaded")
            install(python, extras, constraints(versions, folder))
            for part in {"run", name, *extras}:
                for stamp in folder.glob(f".stamp-{part}-*"):
                    stamp.unlink()
                (folder / f".stamp-{part}-{state}").touch()
            say(f"installed in {time.monotonic() - start:.0f} seconds")
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("extras")
    parser.add_argument("--versions", choices=("tested", "latest", "oldest"), default="tested")
    arguments = parser.parse_args()
    print(ensure([extra for extra in arguments.extras.split(",") if extra], arguments.versions))


if __name__ == "__main__":
    main()
