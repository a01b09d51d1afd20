"""Do launchers of other processes give each cell a process, its share of the machine, and word of a Ctrl-C?

Tasks are closures: they travel to the processes by value, as a test module cannot be imported there."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seq2seq.config import Config
from seq2seq.errors import ConfigError, TrainingError
from seq2seq.launch.compose import compose_config
from seq2seq.launch.grid import STOPPED, TRAINED, Outcome
from seq2seq.launch.processes import AT_ONCE, crowded, fair
from seq2seq.launch.sweep import sweep

Task = Callable[[Config], Outcome]
TWO = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
LAUNCHERS = {"joblib": TWO, "submitit_local": ["hydra/launcher=submitit_local"]}
EACH = ["joblib", pytest.param("submitit_local", marks=pytest.mark.slow)]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    caplog.set_level("INFO", "seq2seq")
    yield
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True, kill_workers=True)  # else they keep the folder of this test


def noted() -> list[dict[str, Any]]:
    """The outcomes of the only grid, in the order of its cells."""
    (record,) = Path("runs/.sweeps").iterdir()
    return [json.loads(path.read_text()) for path in sorted(record.glob("[0-9]*.json"))]


@pytest.mark.parametrize("launcher", EACH)
def test_each_cell_has_a_process(launcher: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = str(tmp_path)

    def task(config: Config) -> Outcome:
        import json
        import os
        from pathlib import Path

        from seq2seq.errors import DataError
        from seq2seq.launch.grid import TRAINED, Outcome

        if config.seed == 2:
            raise DataError("text 2 is missing")
        seen = [os.getpid(), config.trainer.threads, config.trainer.progress]
        Path(place, f"seen{config.seed}").write_text(json.dumps(seen))
        return Outcome(TRAINED, f"runs/r{config.seed}")

    with pytest.raises(TrainingError, match="1 of 2 cells of the grid failed"):
        sweep(["seed=1,2", *LAUNCHERS[launcher]], task)
    process, threads, progress = json.loads(Path("seen1").read_text())
    assert process != os.getpid()
    assert (threads, progress) == (max(1, len(os.sched_getaffinity(0)) // 2), "lines")
    assert [(outcome["words"], outcome["state"], outcome["reason"]) for outcome in noted()] == [
        ("seed=1", "trained", ""),
        ("seed=2", "failed", "text 2 is missing"),
    ]
    assert caplog.messages[-3:] == [
        "failed: seed=2: text 2 is missing",
        "grid: 1 finished (0 before), 1 failed",
        "seq2seq compare runs/r1",
    ]


@pytest.mark.parametrize("launcher", ["joblib", pytest.param("submitit_local", marks=pytest.mark.slow)])
def test_a_process_that_is_killed_is_one_sentence(launcher: str, caplog: pytest.LogCaptureFixture) -> None:
    def task(config: Config) -> None:
        import os
        import signal
        import time

        if config.seed == 2:
            time.sleep(1)  # after the other
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(TrainingError, match="1 of 2 cells of the grid failed"):
        sweep(["seed=1,2", *LAUNCHERS[launcher]], task)
    assert [outcome["state"] for outcome in noted()] == [TRAINED]
    assert [message for message in caplog.messages if message.startswith("the launcher gave up: ")]
    assert "failed: seed=2: no word from its process" in " ".join(caplog.messages)


@pytest.mark.parametrize("launcher", EACH)
def test_a_ctrl_c_reaches_all_processes(launcher: str, tmp_path: Path) -> None:
    """The first cell presses it once it is at work; it and the second would otherwise wait for ever, the third is not begun."""
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell starts what it puts into the background without it
    place, master = str(tmp_path), os.getpid()
    cells = "seed=1,2,3" if launcher == "joblib" else "seed=1,2"

    def task(config: Config) -> None:
        import os
        import signal
        import time
        from pathlib import Path

        Path(place, f"begun{config.seed}").touch()
        if config.seed == 1:
            while not Path(place, "begun2").exists():
                time.sleep(0.1)
            os.kill(master, signal.SIGINT)
        time.sleep(60)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        sweep([cells, *LAUNCHERS[launcher]], task)
    assert time.monotonic() - began < 50
    assert not Path("begun3").exists()
    assert [outcome["state"] for outcome in noted()] == [STOPPED, STOPPED]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(bool(shutil.which("srun")), reason="there is SLURM here")
def test_without_slurm_there_is_one_sentence(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(TrainingError, match="2 of 2 cells"):
        sweep(["seed=1,2", "hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu"], lambda config: None)
    assert [
        message for message in caplog.messages if message.startswith("the launcher gave up: ") and "srun" in message
    ]


def test_settings_of_slurm_are_checked() -> None:
    with pytest.raises(
        ConfigError, match=r"hydra\.launcher\.partitoin is not a setting \(did you mean hydra\.launcher\.partition\?\)"
    ):
        sweep(["seed=1,2", "hydra/launcher=submitit_slurm", "hydra.launcher.partitoin=gpu"], lambda config: None)


@pytest.mark.parametrize("name", ["joblib", "submitit_slurm"])
def test_a_launcher_that_is_not_installed_is_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    Plugins.instance()  # which has found it, and is to forget it
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["launcher"], f"{name}.yaml")
    with pytest.raises(
        ConfigError, match=rf"hydra/launcher={name} needs more packages: pip install 'seq2seq\[sweep\]'"
    ):
        sweep(["seed=1,2", f"hydra/launcher={name}"], lambda config: None)


@pytest.mark.parametrize(
    ("launcher", "settings", "cells", "at_once"),
    [
        ("basic", {}, 9, 1),
        ("joblib", {"n_jobs": 2}, 9, 2),
        ("joblib", {"n_jobs": 4}, 3, 3),
        ("joblib", {"n_jobs": -1}, 99, 8),
        ("joblib", {"n_jobs": -2}, 99, 7),
        ("joblib", {"n_jobs": -20}, 99, 1),
        ("submitit_local", {}, 5, 5),
        ("submitit_slurm", {}, 5, 1),
    ],
)
def test_cells_share_the_cores(
    launcher: str, settings: dict[str, Any], cells: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq.launch.processes.available_cores", lambda: 8)
    assert AT_ONCE[launcher](settings, cells, 8) == at_once
    config = compose_config()
    trainer = fair(config, launcher, settings, cells).trainer
    assert (trainer.threads, trainer.progress) == (8 // at_once, "lines")
    assert fair(config, launcher, {**settings, "cpus_per_task": 3}, cells).trainer.threads == 3
    assert not crowded(config, launcher, settings, cells)
    asked = compose_config(["trainer.threads=5", "trainer.progress=none"])
    trainer = fair(asked, launcher, settings, cells).trainer
    assert (trainer.threads, trainer.progress) == (5, "none")
    advice = crowded(asked, launcher, settings, cells)
    assert bool(advice) == (5 * at_once > 8)
    assert not advice or advice.startswith(
        f"{at_once} cells at once with trainer.threads=5 each are too many for 8 cores"
    )
