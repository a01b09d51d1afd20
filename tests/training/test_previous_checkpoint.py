"""The last checkpoint and the one before it: when they are written, and that a run goes on from either."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq.config import Config, TrainingConfig
from seq2seq.errors import ConfigError, RunError
from seq2seq.runs.directory import HASHES, LAST, PREVIOUS, Run, file_hash, read_info
from seq2seq.runtime.signals import Interrupted
from seq2seq.training.checkpoint import Checkpoint, keep_previous, read_checkpoint, weights_name
from seq2seq.training.resume import check_resumable, resume
from seq2seq.training.run import train
from seq2seq.training.validation import DevSet
from seq2seq.utils.files import write_json
from tests.each import each
from tests.settings import to_resume

OFTEN = ("training.monitor=loss", "training.keep=1", "training.validate_every=2", "training.save_every=1")


def stop_after(saves: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill the training when it would write one checkpoint more."""
    original, count = Checkpoint.save, [0]

    def save(self: Checkpoint, trainer: Any) -> None:
        count[0] += 1
        if count[0] > saves:
            raise KeyboardInterrupt
        original(self, trainer)

    monkeypatch.setattr(Checkpoint, "save", save)


@pytest.fixture(scope="module")
def whole(trained: Callable[..., Path]) -> Path:
    return trained(*OFTEN)


@pytest.fixture(scope="module")
def killed_once(small_config: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    with pytest.MonkeyPatch.context() as patch:
        stop_after(4, patch)
        with pytest.raises(KeyboardInterrupt):
            train(small_config(folder, *OFTEN))
    return next(folder.glob("[!.]*"))


@pytest.fixture
def killed(killed_once: Path, tmp_path: Path) -> Path:
    """A run that was killed after update 4 of 6, whose checkpoints are of updates 3 and 4 and name other weights."""
    return Path(shutil.copytree(killed_once, tmp_path / killed_once.name))


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "a bit of a tensor": lambda path: flip(path, len(path.read_bytes()) // 2),
    "a bit of padding": lambda path: flip(path, path.read_bytes().index(b"FB") + 4),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "no optimizer": lambda path: torch.save(torch.load(path, weights_only=True) | {"optimizer_states": []}, path),
    "another valid number": lambda path: torch.save(nudged(torch.load(path, weights_only=True)), path),
}


def nudged(checkpoint: dict[str, Any]) -> dict[str, Any]:
    next(iter(checkpoint["state_dict"].values())).add_(1e-3)
    return checkpoint


@each("damage", DAMAGES)
def test_damaged_checkpoint_is_replaced_by_the_one_before(
    damage: str, killed_once: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Path(shutil.copytree(killed_once, tmp_path / damage))
    DAMAGES[damage](run / LAST)
    caplog.clear()
    check_resumable(Run.open(run), TrainingConfig())
    assert "resuming from the checkpoint before it, of update 3" in caplog.text
    assert str(run / LAST) in caplog.text
    assert read_checkpoint(run / LAST)["global_step"] == 3
    assert (run / "checkpoints/damaged.ckpt").exists() == (damage != "missing")
    assert not (run / PREVIOUS).exists()


def test_run_resumed_from_the_checkpoint_before_ends_like_an_uninterrupted_one(killed: Path, whole: Path) -> None:
    assert [read_checkpoint(killed / name)["global_step"] for name in (LAST, PREVIOUS)] == [4, 3]
    DAMAGES["a bit of a tensor"](killed / LAST)
    resume(to_resume(killed))
    assert (killed / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()


def test_two_damaged_checkpoints_are_an_error(killed: Path) -> None:
    for name in (LAST, PREVIOUS):
        flip(killed / name, 5000)
    before = {path: path.read_bytes() for path in killed.rglob("*.*") if path.is_file()}
    with pytest.raises(RunError, match=r"last\.ckpt cannot be read as a checkpoint"):
        resume(to_resume(killed))
    assert before == {path: path.read_bytes() for path in killed.rglob("*.*") if path.is_file()}


def test_weights_that_either_checkpoint_names_are_kept(killed: Path) -> None:
    named = [set(read_checkpoint(killed / name)["callbacks"]["Validation"]["scores"]) for name in (LAST, PREVIOUS)]
    assert named == [{4}, {2}]
    assert all((killed / weights_name(update)).is_file() for update in (2, 4))
    assert read_info(killed)[HASHES][LAST] == [file_hash(killed, name) for name in (LAST, PREVIOUS)]


def test_both_checkpoints_are_good_after_resuming(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the list of hashes began with one of a file that was never written. The one before the last names
    weights of an update before the run was resumed, which are no longer the best."""
    info = read_info(killed)
    info[HASHES][LAST].insert(0, "0" * 64)
    write_json(killed / "run.json", info)
    with monkeypatch.context() as patch:
        stop_after(1, patch)
        with pytest.raises(KeyboardInterrupt):
            resume(to_resume(killed, "training.max_updates=8", "training.save_every=0"))
    assert [read_checkpoint(killed / name)["global_step"] for name in (LAST, PREVIOUS)] == [6, 4]
    flip(killed / LAST, 5000)
    resume(to_resume(killed))
    assert read_info(killed)["finished"]


def test_error_in_a_validation_keeps_the_run(
    small_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a beam that the memory is too small for, which is a wrong setting elsewhere."""
    evaluate, count = DevSet.evaluate, [0]

    def fail_the_second_time(self: DevSet, module: Any) -> Any:
        count[0] += 1
        if count[0] == 2:
            raise ConfigError("out of memory: lower search.batch")
        return evaluate(self, module)

    monkeypatch.setattr(DevSet, "evaluate", fail_the_second_time)
    with pytest.raises(ConfigError):
        train(small_config(tmp_path, *OFTEN))
    (run,) = tmp_path.iterdir()
    resume(to_resume(run))
    assert read_info(run)["finished"]


def test_finished_run_keeps_one_checkpoint_and_what_it_names(whole: Path) -> None:
    assert [path.name for path in sorted((whole / "checkpoints").iterdir())] == ["last.ckpt", "update-6.safetensors"]


def test_checkpoints_between_validations_change_nothing(trained: Callable[..., Path], whole: Path) -> None:
    rare = trained(*OFTEN[:3])
    assert rare.name == whole.name
    assert (rare / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()


def test_checkpoints_by_the_clock(
    small_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, saved = Checkpoint.save, []

    def save(self: Checkpoint, trainer: Any) -> None:
        saved.append(trainer.global_step)
        original(self, trainer)

    monkeypatch.setattr(Checkpoint, "save", save)
    train(small_config(tmp_path, *OFTEN[:2], "training.save_minutes=1e-9", "training.max_updates=2"))
    assert saved == [1, 2]


def test_training_ends_before_its_time_is_over_and_goes_on(
    small_config: Callable[..., Config], tmp_path: Path, whole: Path
) -> None:
    with pytest.raises(Interrupted) as caught:
        train(small_config(tmp_path, *OFTEN, "trainer.wall_minutes=1e-9"))
    assert caught.value.exit_code == 75
    (run,) = tmp_path.iterdir()
    assert read_checkpoint(run / LAST)["global_step"] == 1
    resume(to_resume(run, "trainer.wall_minutes=0"))
    assert (run / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()


@pytest.mark.fast("10-75")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGUSR1, 75)]
)
def test_exit_code_tells_the_signal(
    number: signal.Signals, code: int, small_config: Callable[..., Config], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("seq2seq.training.checkpoint.leave_terminal", lambda: None)  # the output of pytest
    monkeypatch.setattr(
        Checkpoint, "on_train_batch_start", lambda self, *rest: self.stop_signal or os.kill(os.getpid(), number)
    )
    with pytest.raises(Interrupted) as caught:
        train(small_config(tmp_path))
    assert caught.value.exit_code == code


@pytest.mark.parametrize("links", [True, False])
def test_previous_checkpoint_is_kept_with_and_without_links(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checkpoints").mkdir()
    keep_previous(tmp_path)
    assert not (tmp_path / PREVIOUS).exists()
    for content in ("one", "two"):
        (tmp_path / LAST).write_text(content)
        if not links:
            monkeypatch.delattr(os, "link")
            monkeypatch.setattr(os, "link", fail, raising=False)
        keep_previous(tmp_path)
        assert (tmp_path / PREVIOUS).read_text() == content
        assert (tmp_path / LAST).exists() == links


def fail(*paths: object) -> None:
    raise OSError("no links here")
