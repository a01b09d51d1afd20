"""Is every cell of a grid begun once, told of, and counted, whatever becomes of the others?"""

import json
from pathlib import Path

import pytest

from seq2seq import cli
from seq2seq.commands import train
from seq2seq.config import Config
from seq2seq.errors import BusyError, ConfigError, DataError, TrainingError
from seq2seq.launch.grid import BEFORE, ELSEWHERE, FAILED, SILENT, STOPPED, TRAINED, Grid, Outcome, require_all, summary
from seq2seq.launch.sweep import sweep


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO", "seq2seq")


def fate(config: Config) -> Outcome:
    """A cell that is trained, finished before, busy, or fails, by its seed."""
    run = f"runs/r{config.seed}"
    match config.seed:
        case 2:
            return Outcome(BEFORE, run)
        case 3:
            raise BusyError(f"{run} is being trained by another process")
        case 4:
            raise DataError("text 4 is missing")
    return Outcome(TRAINED, run)


def test_the_others_run_and_all_is_told_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(
        TrainingError, match=r"1 of 6 cells of the grid failed, as told above; the same command tries them again"
    ):
        sweep(["seed=4,3,2,1,5,1"], fate)
    assert caplog.messages == [
        "cell 1 of 6: seed=4",
        "seed=4: text 4 is missing",
        "cell 2 of 6: seed=3",
        "seed=3: runs/r3 is being trained by another process",
        "cell 3 of 6: seed=2",
        "seed=2: finished before: runs/r2",
        "cell 4 of 6: seed=1",
        "cell 5 of 6: seed=5",
        "cell 6 of 6: seed=1",
        "failed: seed=4: text 4 is missing",
        "2 cells are one run, runs/r1: seed=1",
        "grid: 3 finished (1 before), 1 failed, 1 being trained by another process",
        "seq2seq compare runs/r2 runs/r1 runs/r5",
    ]
    (record,) = Path("runs/.sweeps").iterdir()
    noted = [json.loads((record / f"{n}.json").read_text()) for n in range(6)]
    assert [outcome["state"] for outcome in noted] == [FAILED, ELSEWHERE, BEFORE, TRAINED, TRAINED, TRAINED]


def test_a_grid_without_failures_ends_well(caplog: pytest.LogCaptureFixture) -> None:
    sweep(["seed=1,2", "model/attention=dot,cosine"], fate)
    assert caplog.messages[-2:] == ["grid: 2 finished (1 before), 0 failed", "seq2seq compare runs/r1 runs/r2"]


def test_a_command_that_makes_no_runs_is_counted_too(caplog: pytest.LogCaptureFixture) -> None:
    sweep(["seed=1,2"], lambda config: None)
    assert caplog.messages == ["cell 1 of 2: seed=1", "cell 2 of 2: seed=2", "grid: 2 finished (0 before), 0 failed"]


def test_a_bug_keeps_its_traceback_and_the_others_run(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []

    def divide(config: Config) -> Outcome:
        seen.append(config.seed)
        return Outcome(TRAINED, str(1 // (config.seed - 1)))

    with pytest.raises(ZeroDivisionError) as caught:
        sweep(["seed=1,2"], divide)
    assert caught.traceback[-1].name == "divide"
    assert seen == [1, 2]
    assert "failed: seed=1: a bug, with a traceback" in caplog.messages


def test_a_ctrl_c_ends_the_grid(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[int] = []

    def interrupted(config: Config) -> Outcome:
        seen.append(config.seed)
        if config.seed == 2:
            raise KeyboardInterrupt
        return Outcome(TRAINED, f"runs/r{config.seed}")

    monkeypatch.setattr(train, "cell", interrupted)
    assert cli.main(["train", "-m", "seed=1,2,3"]) == 130
    assert seen == [1, 2]
    assert caplog.messages[-4:] == [
        "not finished: seed=2",
        "not finished: seed=3",
        "grid: 1 finished (0 before), 0 failed, 2 not finished; the same command goes on",
        "seq2seq compare runs/r1",
    ]
    assert capsys.readouterr().err.splitlines()[-1] == "seq2seq: interrupted"


def test_cells_that_cannot_be_are_told_before_any_is_begun(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Config] = []
    with pytest.raises(ConfigError, match="2 of 4 cells of the grid cannot be, as told above; none was begun"):
        sweep(["seed=1,2", "model.hidden=8,7"], seen.append)
    assert seen == []
    assert [message.split(":")[0] for message in caplog.messages] == ["seed=1 model.hidden=7", "seed=2 model.hidden=7"]
    assert list(Path().iterdir()) == []


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A folder of the user's with a group inside the group of experiments."""
    folder = tmp_path / "conf" / "experiment" / "own_table"
    folder.mkdir(parents=True)
    for name in ("dot", "general", "local_p"):
        text = f"# @package _global_\ndefaults: [override /model/attention: {name}]\nvariant: table_{name}\n"
        (folder / f"{name}.yaml").write_text(text)
    return tmp_path / "conf"


@pytest.mark.parametrize(
    ("choice", "names"), [("glob(*)", "dot general local_p"), ("dot", "dot"), ("local_p,dot", "local_p dot")]
)
def test_a_group_of_experiments_is_a_grid(choice: str, names: str, table: Path) -> None:
    seen: list[tuple[str, int]] = []
    sweep(
        [f"experiment/own_table={choice}", "seed=1,2"], lambda config: seen.append((config.variant, config.seed)), table
    )
    assert seen == [(f"table_{name}", seed) for name in names.split() for seed in (1, 2)]


def test_a_folder_with_signs_in_its_name_holds_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "it's a = b, c"
    place.mkdir()
    monkeypatch.chdir(place)
    sweep(["seed=1,2"], lambda config: None)
    (record,) = (place / "runs" / ".sweeps").iterdir()
    assert sorted(path.name for path in record.iterdir()) == ["0.json", "1.json", "multirun.yaml"]


CELLS = [["data=toy", "+experiment/luong_table=dot", "seed=1"], ["data=toy", "+experiment/luong_table=dot", "seed=2"]]


def test_a_cell_is_named_by_what_is_its_own() -> None:
    assert Grid(Path(), CELLS).label(CELLS[1]) == "seed=2"
    assert Grid(Path(), CELLS[:1]).label(CELLS[0]) == "data=toy experiment/luong_table=dot seed=1"
    assert Grid(Path(), [CELLS[0], CELLS[0]]).label(CELLS[0]) == "data=toy experiment/luong_table=dot seed=1"
    assert (
        Grid(Path(), []).label(CELLS[0]) == "data=toy experiment/luong_table=dot seed=1"
    )  # whose sweeper says nothing before


def test_cells_of_which_nothing_was_heard(tmp_path: Path) -> None:
    grid = Grid(tmp_path, CELLS)
    grid.note(0, Outcome(TRAINED, "r"), "seed=1")
    assert grid.outcomes() == [Outcome(TRAINED, "r", words="seed=1"), Outcome(FAILED, reason=SILENT, words="seed=2")]
    grid.stop()
    assert grid.outcomes()[1] == Outcome(STOPPED, words="seed=2")


def test_the_summary_on_paper() -> None:
    twice = [
        Outcome(TRAINED, "a b", words="x=1"),
        Outcome(BEFORE, "a b", words="x=2"),
        Outcome(BEFORE, "c", words="x=3"),
    ]
    assert summary(twice) == [
        "2 cells are one run, a b: x=1, x=2",
        "grid: 2 finished (1 before), 0 failed",
        "seq2seq compare 'a b' c",
    ]
    require_all(twice)
    assert summary([]) == ["grid: 0 finished (0 before), 0 failed"]


def test_a_grid_that_fits_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"the grid has no cell: nothing fits model/attention=glob\(zzz\*\)"):
        sweep(["seed=1,2", "model/attention=glob(zzz*)"], fate)
    assert list(Path().iterdir()) == []


def test_what_needs_no_text_is_found_wrong_before_any_cell_is_begun(caplog: pytest.LogCaptureFixture) -> None:
    """By the model, which general can make and dot cannot, or by the training."""
    assert cli.main(["train", "-m", "model/attention=general,dot", "model.encoder_hidden=32", "model.hidden=16"]) == 2
    assert [message.split(":")[0] for message in caplog.messages] == ["model/attention=dot"]
    assert "not 16 and 32" in caplog.messages[0]
    assert cli.main(["train", "-m", "seed=1,2", "training.patience=0"]) == 2
    assert [message.split(":")[:2] for message in caplog.messages[1:]] == [
        [f"seed={n}", " training has no end"] for n in (1, 2)
    ]
    assert list(Path().iterdir()) == []


def test_a_grid_whose_launcher_gave_up_does_not_end_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though a sweeper of the user's alone knows which cells there would have been."""
    monkeypatch.setattr("seq2seq.launch.sweep.from_launcher", lambda error: True)
    monkeypatch.setattr("seq2seq.launch.sweep.hydra_main", lambda *_: (_ for _ in ()).throw(RuntimeError("no cluster")))
    with pytest.raises(TrainingError, match="the launcher gave up, as told above: cells may be missing"):
        sweep(["seed=1,2", "hydra/sweeper=own", "hydra/launcher=submitit_slurm"], fate)


def test_a_sweepers_batches_are_cells_that_are_known(caplog: pytest.LogCaptureFixture) -> None:
    sweep(["seed=1,2,5", "hydra.sweeper.max_batch_size=1"], fate)
    assert caplog.messages[0] == "cell 1 of 3: seed=1"


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_resume_is_no_part_of_a_grid(plus: str, tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "-m", f"{plus}resume={tiny_run}", "training.max_updates=3,4"]) == 2
    assert "resume goes on with one run: it cannot be swept with -m" in capsys.readouterr().err
