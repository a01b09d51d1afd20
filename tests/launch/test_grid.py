"""Grids: each job runs once, is logged and counted, whatever becomes of the others."""

import json
from pathlib import Path

import pytest

from seq2seq import cli
from seq2seq.commands import train
from seq2seq.config import Config
from seq2seq.errors import BusyError, ConfigError, DataError, TrainingError
from seq2seq.launch.compose import hydra_override
from seq2seq.launch.grid import (
    BEFORE,
    ELSEWHERE,
    FAILED,
    NO_REPORT,
    STOPPED,
    TRAINED,
    Grid,
    Outcome,
    check_failures,
    summary,
)
from seq2seq.launch.sweep import compose_jobs, sweep


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO", "seq2seq")


def run_by_seed(config: Config) -> Outcome:
    """A job that is trained, finished before, busy, or fails, by its seed."""
    run = f"runs/r{config.seed}"
    match config.seed:
        case 2:
            return Outcome(BEFORE, run)
        case 3:
            raise BusyError(f"{run} is being trained by another process")
        case 4:
            raise DataError("text 4 is missing")
    return Outcome(TRAINED, run)


def test_other_jobs_run_after_a_failure_and_a_summary_ends_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(
        TrainingError, match="1 of 3 jobs of the grid failed, see above; repeat the command to retry them"
    ):
        sweep(["seed=4,3,2"], run_by_seed)
    assert caplog.messages == [
        "job 1 of 3: seed=4",
        "seed=4: text 4 is missing",
        "job 2 of 3: seed=3",
        "seed=3: runs/r3 is being trained by another process",
        "job 3 of 3: seed=2",
        "seed=2: finished before: runs/r2",
        "failed: seed=4: text 4 is missing",
        "grid: 1 finished (1 before), 1 failed, 1 being trained by another process",
        "seq2seq compare runs/r2",
    ]
    (record,) = Path("runs/.sweeps").iterdir()
    noted = [json.loads((record / f"{n}.json").read_text()) for n in range(3)]
    assert [outcome["state"] for outcome in noted] == [FAILED, ELSEWHERE, BEFORE]


@pytest.mark.slow
def test_grid_without_failures_raises_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In a folder with special characters, with a sweeper that starts one job after the other."""
    (place := tmp_path / "it's a = b, c").mkdir()
    monkeypatch.chdir(place)
    sweep(["seed=1,2", "hydra.sweeper.max_batch_size=1"], run_by_seed)
    assert caplog.messages == [
        "job 1 of 2: seed=1",
        "job 2 of 2: seed=2",
        "seed=2: finished before: runs/r2",
        "grid: 2 finished (1 before), 0 failed",
        "seq2seq compare runs/r1 runs/r2",
    ]
    (record,) = (place / "runs" / ".sweeps").iterdir()
    assert sorted(path.name for path in record.iterdir()) == ["0.json", "1.json", "multirun.yaml"]


@pytest.mark.slow
def test_bug_keeps_its_traceback_and_other_jobs_run(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []

    def divide(config: Config) -> None:
        seen.append(config.seed)
        assert 1 // (config.seed - 1)

    with pytest.raises(ZeroDivisionError) as caught:
        sweep(["seed=1,2"], divide)
    assert caught.traceback[-1].name == "divide"
    assert seen == [1, 2]
    assert caplog.messages[-2:] == [
        "failed: seed=1: a bug, see the traceback",
        "grid: 1 finished (0 before), 1 failed",  # which returned no run directory to compare
    ]


def test_ctrl_c_ends_the_grid(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[int] = []

    def interrupted(config: Config) -> Outcome:
        seen.append(config.seed)
        if config.seed == 2:
            raise KeyboardInterrupt
        return Outcome(TRAINED, f"runs/r{config.seed}")

    monkeypatch.setattr(train, "train_job", interrupted)
    assert cli.main(["train", "-m", "seed=2,1"]) == 130
    assert seen == [2]
    assert caplog.messages[-3:] == [
        "not finished: seed=2",
        "not finished: seed=1",
        "grid: 0 finished (0 before), 0 failed, 2 not finished; repeat the command to continue",
    ]
    assert capsys.readouterr().err.splitlines()[-1] == "seq2seq: interrupted"


def test_invalid_jobs_are_logged_before_any_starts(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Config] = []
    with pytest.raises(ConfigError, match="1 of 2 jobs of the grid is invalid, see above; none was started"):
        sweep(["seed=3", "model.hidden=8,7"], seen.append)
    assert seen == []
    assert [message.split(":")[0] for message in caplog.messages] == ["model.hidden=7"]
    assert list(Path().iterdir()) == []


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A user's conf folder with a group inside the group `experiment`."""
    folder = tmp_path / "conf" / "experiment" / "own_table"
    folder.mkdir(parents=True)
    for name in ("dot", "local_p"):
        text = f"# @package _global_\ndefaults: [override /model/attention: {name}]\nvariant: table_{name}\n"
        (folder / f"{name}.yaml").write_text(text)
    return tmp_path / "conf"


@pytest.mark.parametrize(
    ("choice", "names", "seeds"),
    [
        ("glob(*)", "dot local_p", [1]),
        ("dot", "dot", [1, 2]),
        pytest.param("local_p,dot", "local_p dot", [1], marks=pytest.mark.slow),
    ],
)
@pytest.mark.fast("glob(*)-dot local_p-seeds0")
def test_group_of_experiments_is_a_grid(choice: str, names: str, seeds: list[int], table: Path) -> None:
    words = [f"experiment/own_table={choice}", f"seed={','.join(map(str, seeds))}"]
    jobs = compose_jobs(["--config-dir", str(table), *map(hydra_override, words)], None)
    found = [(config.variant, config.seed) for _, config in jobs]
    assert found == [(f"table_{name}", seed) for name in names.split() for seed in seeds]


JOBS = [["data=toy", "+experiment/luong_table=dot", "seed=1"], ["data=toy", "+experiment/luong_table=dot", "seed=2"]]


def test_label_has_the_overrides_that_jobs_do_not_share() -> None:
    assert Grid(Path(), JOBS).label(JOBS[1]) == "seed=2"
    assert Grid(Path(), JOBS[:1]).label(JOBS[0]) == "data=toy experiment/luong_table=dot seed=1"
    assert Grid(Path(), [JOBS[0], JOBS[0]]).label(JOBS[0]) == "data=toy experiment/luong_table=dot seed=1"
    unknown_jobs = Grid(Path(), [])
    assert unknown_jobs.label(JOBS[0]) == "data=toy experiment/luong_table=dot seed=1"


def test_job_without_a_record_failed_or_was_stopped(tmp_path: Path) -> None:
    grid = Grid(tmp_path, JOBS)
    grid.record(0, Outcome(TRAINED, "r"), "seed=1")
    assert grid.outcomes() == [Outcome(TRAINED, "r", words="seed=1"), Outcome(FAILED, reason=NO_REPORT, words="seed=2")]
    grid.stop()
    assert grid.outcomes()[1] == Outcome(STOPPED, words="seed=2")


def test_summary_on_paper() -> None:
    twice = [
        Outcome(TRAINED, "a b", words="x=1"),
        Outcome(BEFORE, "a b", words="x=2"),
        Outcome(BEFORE, "c", words="x=3"),
    ]
    assert summary(twice) == [
        "2 jobs are one run, a b: x=1, x=2",
        "grid: 2 finished (1 before), 0 failed",
        "seq2seq compare 'a b' c",
    ]
    check_failures(twice)
    assert summary([]) == ["grid: 0 finished (0 before), 0 failed"]


def test_grid_without_jobs_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"the grid has no jobs: nothing matches model/attention=glob\(zzz\*\)"):
        sweep(["seed=1,2", "model/attention=glob(zzz*)"], run_by_seed)
    assert list(Path().iterdir()) == []


def test_settings_of_all_jobs_are_checked_before_any_starts(caplog: pytest.LogCaptureFixture) -> None:
    """By building the model, possible with general and not with dot, and by the checks of the training."""
    words = ["model/attention=general,dot", "model.encoder_hidden=32", "model.hidden=16"]
    assert cli.main(["train", "-m", "data=toy", *words]) == 2
    assert [message.split(":")[0] for message in caplog.messages] == ["model/attention=dot"]
    assert "not 16 and 32" in caplog.messages[0]
    assert cli.main(["train", "-m", "data=toy", "training.patience=0"]) == 2
    assert [message.split(":")[:2] for message in caplog.messages[1:]] == [
        ["data=toy training.patience=0", " training has no end"]
    ]
    assert list(Path().iterdir()) == []


def test_failed_launcher_is_an_error_even_if_no_job_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2seq.launch.sweep.raised_by_launcher", lambda error: True)
    monkeypatch.setattr("seq2seq.launch.sweep.hydra_main", lambda *_: (_ for _ in ()).throw(RuntimeError("no cluster")))
    with pytest.raises(TrainingError, match="the launcher failed, see above: jobs may be missing"):
        sweep(["seed=1,2", "hydra/sweeper=own", "hydra/launcher=submitit_slurm"], run_by_seed)


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_resume_is_refused_in_a_grid(plus: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "-m", f"{plus}resume=runs/a", "training.max_updates=3,4"]) == 2
    assert "resume continues one run: it cannot be combined with -m" in capsys.readouterr().err
