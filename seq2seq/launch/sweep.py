"""Running a grid with Hydra's sweeper and launcher. A job that fails stops no other; a summary ends the log."""

import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from seq2seq.config import Config
from seq2seq.errors import BusyError, ConfigError, RunError, Seq2SeqError, TrainingError, counted
from seq2seq.launch.compose import conf_dir, hydra_errors, hydra_override, register_defaults, to_config
from seq2seq.launch.grid import BEFORE, ELSEWHERE, FAILED, STOPPED, TRAINED, Grid, Outcome, check_failures, summary
from seq2seq.launch.processes import (
    Launcher,
    interrupt_when_stopped,
    launcher_error,
    raised_by_launcher,
    set_apart,
    stop_on_signal,
)
from seq2seq.utils.overrides import hydra_text

log = logging.getLogger("seq2seq")

Task = Callable[[Config], object]


def sweep(overrides: Sequence[str], task: Task, folder: Path | None = None, check: Task | None = None) -> None:
    """Run `task` for every combination of `overrides`, then log the outcome of each job.

    First all jobs are composed and given to `check`, which raises ConfigError for settings that cannot work. `folder`
    is searched for groups after conf/. Raises ConfigError before any job starts, TrainingError at the end if jobs
    failed, KeyboardInterrupt if the grid was stopped."""
    overrides = [*(["--config-dir", str(folder)] if folder else []), *map(hydra_override, overrides)]
    # Another sweeper than Hydra's own, such as Optuna's, chooses its jobs while it runs.
    unknown_jobs = any(override.startswith(("hydra/sweeper=", "hydra.sweeper.params")) for override in overrides)
    jobs = [] if unknown_jobs else compose_jobs(overrides, check)
    grid = Grid.new(jobs[0][1].runs if jobs else Config.runs, [job for job, _ in jobs])
    own_place = any(override.startswith("hydra.sweep.dir=") for override in overrides)
    place = [] if own_place else [_sweep_dir(grid.folder)]
    launched = any(re.match("hydra/launcher=(?!basic$)", override) for override in overrides)
    if launched:
        log.info("%s jobs; their outcomes are recorded in %s", len(jobs) or "the", grid.folder)
    crash: Exception | None = None
    stopped = KeyboardInterrupt()
    try:
        with stop_on_signal(grid) if launched else nullcontext():
            hydra_main([*overrides, *place], JobRunner(task, grid))
    except KeyboardInterrupt as interrupt:
        stopped = interrupt
        grid.stop()
    except Seq2SeqError:  # before any job
        raise
    except Exception as error:
        crash = error
    if crash and raised_by_launcher(crash):
        log.error("the launcher failed: %s", launcher_error(crash, grid.folder))
    outcomes = grid.outcomes()
    for line in summary(outcomes):
        log.info("%s", line)
    if crash and not raised_by_launcher(crash):
        raise crash
    if grid.stopped:
        raise stopped
    check_failures(outcomes)
    if crash and not jobs:
        raise TrainingError("the launcher failed, see above: jobs may be missing; repeat the command to retry them")


def compose_jobs(overrides: Sequence[str], check: Task | None) -> list[tuple[list[str], Config]]:
    """The overrides and the settings of each job. Logs a line for each invalid job and then raises ConfigError."""
    # Hydra's own settings do not change which jobs there are, but for a folder to search.
    own = [
        word for word in overrides if not word.startswith(("hydra/", "hydra.")) or word.startswith("hydra.searchpath=")
    ]
    found: list[tuple[list[str], Config | Seq2SeqError]] = []

    def compose(composed: DictConfig) -> None:
        result: Config | Seq2SeqError
        try:
            result = to_config(composed, list(HydraConfig.get().overrides.task))
            if check:
                check(result)
        except (ConfigError, RunError) as error:
            result = error
        found.append((list(HydraConfig.get().overrides.task), result))

    with tempfile.TemporaryDirectory() as unused:
        hydra_main([*own, _sweep_dir(Path(unused))], compose)
    if not found:
        patterns = [word for word in own if "glob(" in word] or own
        raise ConfigError(f"the grid has no jobs: nothing matches {', '.join(patterns)}")
    grid = Grid(Path(), [job for job, _ in found])
    valid = [(job, config) for job, config in found if isinstance(config, Config)]
    for job, error in found:
        if isinstance(error, Seq2SeqError):
            log.error("%s: %s", grid.label(job), error)
    if invalid := len(found) - len(valid):
        verb = "is" if invalid == 1 else "are"
        raise ConfigError(
            f"{invalid} of {counted(len(found), 'job')} of the grid {verb} invalid, see above; none was started"
        )
    return valid


def _sweep_dir(folder: Path) -> str:
    """The override that tells Hydra where to record a sweep."""
    return f"hydra.sweep.dir={hydra_text(str(folder))}"


def hydra_main(overrides: Sequence[str], task: Callable[[DictConfig], None]) -> None:
    """Run Hydra's command line in multirun mode. Its errors become ConfigError; those of `task` are passed on."""
    register_defaults()
    folder = Path(overrides[1]) if overrides[:1] == ["--config-dir"] else None
    before, sys.argv = sys.argv, ["seq2seq train", "--multirun", *overrides]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # otherwise Hydra prints errors itself and exits with 1
    try:
        with hydra_errors(folder):
            hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(task)()
    finally:
        sys.argv = before


class JobRunner:
    """Called by Hydra with the settings of each job, in whichever process the launcher chose; records the outcome."""

    def __init__(self, task: Task, grid: Grid) -> None:
        self.task, self.grid, self.process = task, grid, os.getpid()

    def __call__(self, composed: DictConfig) -> None:
        job, apart = HydraConfig.get(), os.getpid() != self.process
        label = self.grid.label(job.overrides.task)
        if apart:
            set_apart(label)
        if self.grid.stopped:
            return
        if not apart:
            total = f" of {len(self.grid.jobs)}" if self.grid.jobs else ""
            log.info("job %d%s: %s", job.job.num + 1, total, label)
        outcome = Outcome(FAILED, reason="a bug, see the traceback")
        try:
            with interrupt_when_stopped(self.grid) if apart else nullcontext():
                config = to_config(composed, list(job.overrides.task))
                result = self.task(self._configured(config, job) if apart else config)
            outcome = result if isinstance(result, Outcome) else Outcome(TRAINED)
        except Seq2SeqError as error:
            outcome = Outcome(ELSEWHERE if isinstance(error, BusyError) else FAILED, reason=str(error))
        except KeyboardInterrupt:
            outcome = Outcome(STOPPED)
            if not apart:
                raise
        finally:
            self.grid.record(job.job.num, outcome, label)
        if message := outcome.reason or (f"finished before: {outcome.run}" if outcome.state == BEFORE else ""):
            level = logging.ERROR if outcome.state == FAILED else logging.INFO
            log.log(level, "%s%s", "" if apart else f"{label}: ", message)

    def _configured(self, config: Config, job: HydraConf) -> Config:
        """`config` with its share of the cores; the first job logs a warning if all jobs together use too many."""
        launcher = Launcher(job.runtime.choices["hydra/launcher"], job.launcher, len(self.grid.jobs))
        if job.job.num == 0 and (advice := launcher.advice(config)):
            log.warning("%s", advice)
        return launcher.configure(config)
