"""The command line: fast start, exit codes, and errors in one line."""

import errno
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import seq2seq
from seq2seq import cli
from seq2seq.commands import attentions, train
from seq2seq.config import Config
from seq2seq.config.io import every_setting
from seq2seq.errors import DataError
from seq2seq.runtime import signals
from seq2seq.runtime.arguments import Parser
from seq2seq.utils.files import atomic_path


def python(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])


def test_help_and_errors_import_no_torch() -> None:
    """Nor does the import of the package; help and version import no other library either."""
    code = """
import sys
import seq2seq
from seq2seq.cli import main
for argv in (["--help"], ["--version"], ["train", "--help"], ["train", "--cfg", "job"], ["train", "sed=1"]):
    main(argv)
    print("LOADED", *{"torch", "lightning", "hydra", "omegaconf", "numpy", "yaml"} & set(sys.modules), file=sys.stderr)
"""
    done = python(code)
    loaded = [set(line.split()[1:]) for line in done.stderr.splitlines() if line.startswith("LOADED")]
    assert loaded[:2] == [set(), set()], done.stderr
    assert len(loaded) == 5
    assert not set.union(*loaded) & {"torch", "lightning"}
    with pytest.raises(AttributeError, match="Translater"):
        _ = seq2seq.Translater


def test_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown and purpose in shown for name, purpose in cli.COMMANDS.items())
    assert cli.main([]) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_a_main(name: str) -> None:
    path = Path(cli.__file__).parent / "commands" / f"{name}.py"
    assert "def main(argv: list[str])" in path.read_text()


def test_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["trian"]) == 2
    assert "did you mean 'train'?" in capsys.readouterr().err


def stand_in(monkeypatch: pytest.MonkeyPatch, main: Callable[[list[str]], object]) -> None:
    """Register a command whose main is `main`."""
    module = ModuleType("seq2seq.commands.stand_in")
    module.main = main  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "seq2seq.commands.stand_in", module)
    monkeypatch.setitem(cli.COMMANDS, "stand_in", "")


def throw(error: BaseException) -> Callable[[list[str]], object]:
    def main(argv: list[str]) -> object:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("train.en:17: not UTF-8"), 2, "seq2seq: train.en:17: not UTF-8\n"),
        (KeyboardInterrupt(), 130, "seq2seq: interrupted\n"),
        (
            OSError(errno.ENOSPC, "No space left", "out.txt"),
            2,
            "seq2seq: out.txt cannot be written or read: No space left\n",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            2,
            "seq2seq: the output cannot be written: No space left on device\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "x/y"),
            2,
            "seq2seq: x/y cannot be written or read: Permission denied\n",
        ),
    ],
    ids=str,
)
def test_user_errors_are_one_line_and_an_exit_code(
    error: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch, throw(error))
    assert cli.main(["stand_in"]) == code
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("error", [ValueError("a bug"), FileNotFoundError(errno.ENOENT, "No such file", "x")], ids=str)
def test_bug_keeps_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, throw(error))
    with pytest.raises(type(error)):
        cli.main(["stand_in"])


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (3, 3)])
def test_command_may_return_its_exit_code(returned: int | None, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []
    stand_in(monkeypatch, lambda argv: given.append(argv) or returned)
    assert cli.main(["stand_in", "a", "-b"]) == code
    assert given == [["a", "-b"]]


def test_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m seq2seq train --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.stderr == ""
    assert done.returncode in (0, 141)  # 0: everything was written before the pipe was closed


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_folder_that_was_deleted_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder := tmp_path / "gone").mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert cli.main([name]) == 2
    assert "the current folder cannot be read, or was deleted" in capsys.readouterr().err


def test_usage_error_names_the_nearest_option(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser("thing", "Does a thing.")
    parser.add_argument("--markdown", action="store_true")
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(["--markdwon"])
    assert stopped.value.code == 2
    assert "did you mean --markdown?" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parser.parse_args(["--mark"])  # an abbreviation could become another option in a later version


USAGE = {
    "": "RUN is missing",
    "RUN --beam": "--beam needs a value",
    "RUN --beam x": "search.beam='x' is not an integer",
    "RUN --alpha x": "search.alpha='x' is not a number",
    "RUN --json=1": "--json=1: this option takes no value",
    "RUN --beem 3": "--beem is not an option (did you mean --beam?)",
    "RUN --zzz": "--zzz is not an option; choose one of: --help, ",
    "RUN --precision 33": "--precision='33' is unknown; choose one of: 32, ",
}


@pytest.mark.parametrize("words", USAGE)
def test_usage_errors_are_in_our_words(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["translate", *words.split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"seq2seq: {USAGE[words]}")
    assert "argument" not in line


def test_help_of_train_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    missing = [name for name in every_setting() if f" {name}=" not in shown]
    assert not missing
    reasons = [field.metadata["help"] for field in every_setting().values() if "help" in field.metadata]
    assert not [reason for reason in reasons if reason not in shown]
    assert "schema |" not in shown
    assert "local_m | local_p" in shown


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configs that a stand-in for training is called with."""
    configs: list[Config] = []

    def complete(config: Config) -> tuple[Path, bool]:
        configs.append(config)
        return Path("runs"), True

    modules: dict[str, Any] = {
        "run": SimpleNamespace(train=configs.append),
        "resume": SimpleNamespace(complete=complete),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, f"seq2seq.training.{name}", module)
    return configs


def test_train_is_called_with_the_composed_settings(
    trained: list[Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train.main(["data=toy", "model/attention=local_p", "seed=3"])
    assert [(config.seed, config.model.attention.window) for config in trained] == [(3, "local_p")]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_grid_runs_every_choice(trained: list[Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    argv = list(sys.argv)
    train.main(["seed=3", "-m", "model/attention=glob(local_*)", "runs=mine"])
    assert [(config.seed, config.model.attention.window) for config in trained] == [(3, "local_m"), (3, "local_p")]
    assert sorted(path.name for path in tmp_path.rglob("*.*") if path.is_file()) == [
        "0.json",
        "1.json",
        "multirun.yaml",
    ]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [".sweeps"]
    assert sys.argv == argv


@pytest.mark.slow
def test_grid_with_an_invalid_combination_runs_nothing(
    trained: list[Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    """Also where Hydra itself refuses it."""
    assert cli.main(["train", "-m", "model=rnn,transformr"]) == 2
    assert cli.main(["train", "-m", "sed=1,2"]) == 2
    assert trained == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("words", "logged"), [(["seed=3"], True), (["data=toy"], False), (["experiment=demo"], False)])
def test_training_without_data_names_its_text(
    words: list[str], logged: bool, trained: list[Config], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "seq2seq")
    train.main(words)
    assert [m for m in caplog.messages if m.startswith("no data given")] == caplog.messages[:logged]


def test_cfg_prints_the_settings(trained: list[Config], capsys: pytest.CaptureFixture[str]) -> None:
    train.main(["--cfg", "job", "experiment=demo"])
    assert "variant: demo" in capsys.readouterr().out
    assert trained == []


def test_missing_config_dir_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--config-dir", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["--markdown"]])
def test_attentions_lists_all(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    attentions.main(argv)
    shown = capsys.readouterr().out
    for _, rows in attentions.attention_tables():
        assert all(row[0] in shown for row in rows)
        assert all(all(row) for row in rows), "a part without formula or source"
    if argv:
        assert all(line.replace("\\|", "").count("|") == 4 for line in shown.splitlines() if line)


HELP = [[command, "--help"] for command in cli.COMMANDS]


@pytest.mark.parametrize("words", [["--help"], ["--version"], [], ["attentions"], *HELP], ids=" ".join)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_output_device_is_one_line(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert cli.main(words) == 2  # and what the buffer holds is discarded: closing it raises nothing
    assert capfd.readouterr().err == "seq2seq: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("words", [["--help"], ["attentions"], ["score", "--help"]], ids=" ".join)
def test_closed_output_ends_quietly(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert cli.main(words) == 141
    assert capfd.readouterr().err == ""


def test_full_stderr_changes_no_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs a device that is always full")
    with Path("/dev/full").open("w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert cli.main(["trian"]) == 2
        with suppress(OSError):
            full.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_leaves_no_temporary_file(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In whichever command: all write by `atomic_path`."""
    monkeypatch.setattr(signals, "leave_terminal", lambda: None)  # the output of pytest
    handlers = {number: signal.getsignal(number) for number in signals.STOP_SIGNALS}

    def main(argv: list[str]) -> None:
        with atomic_path(tmp_path / "out", follow=True) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), number)
            time.sleep(10)

    stand_in(monkeypatch, main)
    assert cli.main(["stand_in"]) == 128 + number
    assert capsys.readouterr().err == "seq2seq: interrupted\n"
    assert list(tmp_path.iterdir()) == []
    assert {number: signal.getsignal(number) for number in signals.STOP_SIGNALS} == handlers


def test_ignored_hangup_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stand_in(monkeypatch, lambda argv: os.kill(os.getpid(), signal.SIGHUP))
        assert cli.main(["stand_in"]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("words", [["plot", "RUN", "--sentence", "f\udce4hrt"], ["train", "runs=\udcff"], ["\udce4"]])
def test_argument_that_is_not_utf8_is_named(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    assert r"\udc" in capsys.readouterr().err


def test_output_is_utf8_in_any_locale() -> None:
    code = "from seq2seq import cli; cli.exit_code(lambda: print('Tür'))"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert done.stdout == "Tür\n".encode()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_every_character_can_be_printed(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In UTF-8 whatever the locale; half a character as an escape."""
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, encoding=encoding, errors="strict"))
    assert cli.exit_code(lambda: print("привет 我 \ud800")) == 0
    assert output.getvalue().decode() == "привет 我 \\ud800\n"
