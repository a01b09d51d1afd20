"""`python -m seq2seq.runtime`: the lines of stdin are translated in order, errors are one line, torch is not there."""

import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import seq2seq.runtime
from seq2seq import Translator
from seq2seq.runtime import translator as module
from seq2seq.runtime.__main__ import main
from seq2seq.runtime.program import exit_code
from tests.runtime.bundles import bundle_of, members

RandomRun = Callable[..., Path]
PACKAGE = Path(seq2seq.runtime.__path__[0])

IMPORTS = """
import importlib, pathlib, sys
for path in pathlib.Path({package!r}).glob("*.py"):
    if path.stem not in ("__init__", "__main__"):
        importlib.import_module("{name}." + path.stem)
name = "{name}"
unwanted = {{"torch", "lightning", "hydra", "omegaconf", "seq2seq"}} - {{name.partition(".")[0]}}
found = {{module for module in sys.modules if module.partition(".")[0] in unwanted}}
found |= {{module for module in sys.modules if module.startswith("seq2seq.") and not module.startswith(name)}}
sys.exit(", ".join(found) or 0)
"""


@pytest.fixture
def bundle(random_run: RandomRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle whose graphs are the torch model of its run."""
    run = random_run()
    monkeypatch.setattr(module, "_open_model", lambda *inputs: members(Translator.open(run))[0])
    return bundle_of(run, tmp_path / "a.s2s")


def run_main(monkeypatch: pytest.MonkeyPatch, text: str, *words: object) -> int:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    return exit_code(lambda: main([str(word) for word in words]))


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(monkeypatch, "", "--version") == 0
    assert capsys.readouterr().out == f"seq2seq.runtime {seq2seq.__version__}\n"


def test_onnx_runtime_keeps_no_records_of_its_use(tmp_path: Path) -> None:
    """Its official builds leave an identifier of the device at home, and send what they are used for to their maker."""
    pytest.importorskip("onnxruntime")
    bundle = Path(__file__).with_name("schemas") / "1-rnn.s2s"
    unset = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(PACKAGE.parents[1])}
    words = [sys.executable, "-m", "seq2seq.runtime", bundle]
    done = subprocess.run(words, env=environment, input="a house\n", capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 2
    assert (done.stderr, [*tmp_path.iterdir()]) == ("", [])


def test_lines_are_translated_in_order(
    bundle: Path, random_run: RandomRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["the cat sleeps .", "", "a dog"]
    assert run_main(monkeypatch, "\n".join(lines), bundle) == 0
    assert capsys.readouterr().out.splitlines() == Translator.open(random_run()).translate(lines)
    assert (
        run_main(monkeypatch, "\n".join(lines), bundle, "--beam", 3, "--n-best", 3, "--threads", 1, "--alpha", 0.5) == 0
    )
    output = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [rank for rank, *_ in output] == ["1", "2", "3"] * 3
    assert run_main(monkeypatch, "a cat\n", bundle, "--json", "--batch", 1) == 0
    (best,) = json.loads(capsys.readouterr().out)
    assert best["text"] == Translator.open(random_run()).translate(["a cat"])[0]


def test_each_line_is_answered_as_it_comes(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the pipe pauses, what has come is translated before more is read."""
    ours, theirs = os.pipe()
    answered = threading.Event()
    printed: list[str] = []

    class Output(io.StringIO):
        def write(self, text: str) -> int:
            printed.append(text)
            if "\n" in "".join(printed):
                answered.set()
            return len(text)

    with os.fdopen(ours, "rb") as reading, os.fdopen(theirs, "wb", buffering=0) as writing:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=reading))
        monkeypatch.setattr(sys, "stdout", Output())
        worker = threading.Thread(target=main, args=([str(bundle)],))
        worker.start()
        writing.write(b"the cat\n")
        assert answered.wait(20)
        writing.write(b"a dog\n")
        writing.close()
        worker.join(20)
    assert "".join(printed).count("\n") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere is missing"),
        (["{bundle}", "--beam", "0"], "search.beam=0 is too small: at least 1"),
        (["{bundle}", "--threads", "-1"], "threads=-1 is too small: at least 0"),
        (["{bundle}", "--n-best", "9"], "search.n_best=9 is more than search.beam=2 can find"),
        (["{bundle}", "--shortlist", "3"], "shortlist=3 needs a table of translations"),
        (["{bundle}", "--bean", "3"], "--bean is not an option (did you mean --beam?)"),
        ([], "BUNDLE is missing"),
        (["b\udcffd"], "is not UTF-8"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(
    words: list[str], message: str, bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(monkeypatch, "a\n", *(word.format(bundle=bundle) for word in words)) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.startswith("seq2seq: ")
    assert found.err.count("\n") == 1
    assert message in found.err


@pytest.mark.parametrize("name", ["seq2seq.runtime", "seq2seq_runtime"])
@pytest.mark.fast("seq2seq_runtime")
def test_the_package_needs_nothing_of_ours_and_no_torch(name: str, tmp_path: Path) -> None:
    """Also as a package of its own, which is a copy of the folder."""
    package, folder = PACKAGE, PACKAGE.parents[1]
    if name == "seq2seq_runtime":
        package, folder = tmp_path / name, tmp_path
        shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    code = IMPORTS.format(package=str(package), name=name)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    code = f"from {name} import Translator; Translator.open('nowhere')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stderr.strip().endswith("RunError: nowhere is missing")
    command = [sys.executable, "-m", name, "nowhere"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "seq2seq: nowhere is missing\n")
