"""Launchers: each job has a process, a share of the cores, and ends on Ctrl-C.

Tasks are closures, which are pickled by value: a test module cannot be imported in the other processes."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seq2seq.config import Config
from seq2seq.errors import ConfigError, TrainingError
from seq2seq.launch.compose import compose_config
from seq2seq.launch.grid import STOPPED, TRAINED, Outcome
from seq2seq.launch.processes import Launcher
from seq2seq.launch.sweep import sweep

Task = Callable[[Config], Outcome]
TWO = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
LAUNCHERS = {"joblib": TWO, "submitit_local": ["hydra/launcher=submitit_local"]}
EACH = ["joblib", pytest.param("submitit_local", marks=pytest.mark.slow)]


@pytest.fixture(autouse=True)
def in_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    caplog.set_level("INFO", "seq2seq")
    yield
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True, kill_workers=True)  # otherwise its processes stay in this test's folder


def recorded() -> list[dict[str, Any]]:
    """The outcomes of the only grid, in the order of its jobs."""
    (record,) = Path("runs/.sweeps").iterdir()
    return [json.loads(path.read_text()) for path in sorted(record.glob("[0-9]*.json"))]


@pytest.mark.parametrize("launcher", EACH)
@pytest.mark.slow
def test_each_job_has_a_process(launcher: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
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

    with pytest.raises(TrainingError, match="1 of 2 jobs of the grid failed"):
        sweep(["seed=1,2", *LAUNCHERS[launcher]], task)
    process, threads, progress = json.loads(Path("seen1").read_text())
    assert process != os.getpid()
    assert (threads, progress) == (max(1, len(os.sched_getaffinity(0)) // 2), "lines")
    assert [(outcome["words"], outcome["state"], outcome["reason"]) for outcome in recorded()] == [
        ("seed=1", "trained", ""),
        ("seed=2", "failed", "text 2 is missing"),
    ]
    assert caplog.messages[-3:] == [
        "failed: seed=2: text 2 is missing",
        "grid: 1 finished (0 before), 1 failed",
        "seq2seq compare runs/r1",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", EACH)
def test_killed_process_is_logged_in_one_line(launcher: str, caplog: pytest.LogCaptureFixture) -> None:
    def task(config: Config) -> None:
        import os
        import signal
        import time

        if config.seed == 2:
            time.sleep(1)  # after the other
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(TrainingError, match="1 of 2 jobs of the grid failed"):
        sweep(["seed=1,2", *LAUNCHERS[launcher]], task)
    assert [outcome["state"] for outcome in recorded()] == [TRAINED]
    assert [message for message in caplog.messages if message.startswith("the launcher failed: ")]
    assert "failed: seed=2: its process did not report" in " ".join(caplog.messages)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", EACH)
def test_ctrl_c_reaches_all_processes(launcher: str, tmp_path: Path) -> None:
    """The first job sends it once both run; without it they would sleep on. The third job is not started."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell starts in the background
    place, master = str(tmp_path), os.getpid()
    jobs = "seed=1,2,3" if launcher == "joblib" else "seed=1,2"

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
        sweep([jobs, *LAUNCHERS[launcher]], task)
    assert time.monotonic() - began < 50
    assert not Path("begun3").exists()
    assert [outcome["state"] for outcome in recorded()] == [STOPPED, STOPPED]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(bool(shutil.which("srun")), reason="SLURM is installed")
def test_missing_slurm_is_logged_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(TrainingError, match="1 of 1 job"):
        sweep(["seed=1", "hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu"], lambda config: None)
    assert [message for message in caplog.messages if message.startswith("the launcher failed: ") and "srun" in message]


@pytest.mark.slow
def test_misspelt_setting_of_slurm_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"hydra\.launcher\.partitoin is not a setting \(did you mean hydra\.launcher\.partition\?\)"
    ):
        sweep(["hydra/launcher=submitit_slurm", "hydra.launcher.partitoin=gpu"], lambda config: None)


@pytest.mark.parametrize("name", ["joblib", pytest.param("submitit_slurm", marks=pytest.mark.slow)])
def test_launcher_that_is_not_installed_names_the_packages(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    Plugins.instance()  # finds the launcher, which is then removed
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["launcher"], f"{name}.yaml")
    with pytest.raises(
        ConfigError, match=rf"hydra/launcher={name} needs more packages: pip install 'seq2seq\[sweep\]'"
    ):
        sweep([f"hydra/launcher={name}"], lambda config: None)


@pytest.fixture(scope="module")
def config() -> Config:
    return compose_config()


@pytest.mark.parametrize(
    ("launcher", "settings", "jobs", "concurrent"),
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
def test_jobs_share_the_cores(
    launcher: str,
    settings: dict[str, Any],
    jobs: int,
    concurrent: int,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("seq2seq.launch.processes.available_cores", lambda: 8)
    used, with_cpus = (Launcher(launcher, more, jobs) for more in (settings, {**settings, "cpus_per_task": 3}))
    assert used.concurrent_jobs() == concurrent
    trainer = used.configure(config).trainer
    assert (trainer.threads, trainer.progress) == (8 // concurrent, "lines")
    assert with_cpus.configure(config).trainer.threads == 3
    assert not used.advice(config)
    wanted = replace(config, trainer=replace(config.trainer, threads=5, progress="none"))
    trainer = used.configure(wanted).trainer
    assert (trainer.threads, trainer.progress) == (5, "none")
    advice = used.advice(wanted)
    assert bool(advice) == (5 * concurrent > 8)
    assert not advice or advice.startswith(
        f"{concurrent} jobs at a time with trainer.threads=5 each are too many for 8 cores"
    )
