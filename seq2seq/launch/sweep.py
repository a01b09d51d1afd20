"""How is a grid run? By Hydra's sweeper and launcher; what became of each cell is told at the end."""

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
from seq2seq.errors import BusyError, ConfigError, Seq2SeqError, TrainingError
from seq2seq.launch.compose import appended, conf_dir, one_sentence, register, to_config
from seq2seq.launch.grid import BEFORE, ELSEWHERE, FAILED, STOPPED, TRAINED, Grid, Outcome, require_all, summary
from seq2seq.launch.processes import crowded, fair, from_launcher, listening, patience, set_apart

log = logging.getLogger("seq2seq")

Task = Callable[[Config], object]


def nothing(config: Config) -> None:
    """A check of settings that finds nothing wrong."""


def sweep(overrides: Sequence[str], task: Task, folder: Path | None = None, check: Task = nothing) -> None:
    """Run `task` for every combination, by Hydra's sweeper and launcher, and tell what became of each. Before that all are composed and
    given to `check`, which raises ConfigError for one that cannot be.

    What `task` raises keeps no other cell from running; TrainingError at the end."""
    words = [*(["--config-dir", str(folder)] if folder else []), *map(appended, overrides)]
    swept = any(
        word.startswith(("hydra/sweeper=", "hydra.sweeper.params")) for word in words
    )  # what cells there are, only it knows
    own = [word for word in words if not word.startswith(("hydra/", "hydra.")) or word.startswith("hydra.searchpath=")]
    cells = [] if swept else combinations(own, check)
    grid = Grid.under(cells[0][1].runs if cells else Config.runs, [tasks for tasks, _ in cells])
    place = [] if any(word.startswith("hydra.sweep.dir=") for word in words) else [sweep_dir(grid.folder)]
    crash: Exception | None = None
    launched = any(re.match("hydra/launcher=(?!basic$)", word) for word in words)
    if launched:
        log.info("%s cells; what becomes of each is noted in %s", len(cells) or "the", grid.folder)
    try:
        with patience(grid) if launched else nullcontext():
            hydra_main([*words, *place], Cells(task, grid))
    except KeyboardInterrupt:
        grid.stop()
    except Seq2SeqError:  # before any cell
        raise
    except Exception as error:
        crash = error
    if crash and from_launcher(crash):
        log.error("the launcher gave up: %s", " ".join(str(crash).split()))
    outcomes = grid.outcomes()
    for line in summary(outcomes):
        log.info("%s", line)
    if crash and not from_launcher(crash):
        raise crash
    if grid.stopped:
        raise KeyboardInterrupt
    require_all(outcomes)
    if crash and not cells:
        raise TrainingError(
            "the launcher gave up, as told above: cells may be missing; the same command tries them again"
        )


def combinations(words: Sequence[str], check: Task) -> list[tuple[list[str], Config]]:
    """The words and the settings of each cell. ConfigError, after a line for each, if there are some that cannot be."""
    found: list[tuple[list[str], Config | ConfigError]] = []

    def compose(composed: DictConfig) -> None:
        try:
            check(config := to_config(composed))
            found.append((list(HydraConfig.get().overrides.task), config))
        except ConfigError as error:
            found.append((list(HydraConfig.get().overrides.task), error))

    with tempfile.TemporaryDirectory() as nowhere:
        hydra_main([*words, sweep_dir(Path(nowhere))], compose)
    if not found:
        raise ConfigError(
            f"the grid has no cell: nothing fits {', '.join(word for word in words if 'glob(' in word) or ' '.join(words)}"
        )
    grid = Grid(Path(), [cell for cell, _ in found])
    right = [(cell, config) for cell, config in found if isinstance(config, Config)]
    for cell, error in found:
        if isinstance(error, ConfigError):
            log.error("%s: %s", grid.label(cell), error)
    if len(right) < len(found):
        raise ConfigError(
            f"{len(found) - len(right)} of {len(found)} cells of the grid cannot be, as told above; none was begun"
        )
    return right


def sweep_dir(folder: Path) -> str:
    """The word that tells Hydra where to leave its record of a sweep."""
    return "hydra.sweep.dir='{}'".format(str(folder).replace("'", r"\'"))


def hydra_main(words: Sequence[str], task: Callable[[DictConfig], None]) -> None:
    """Hydra's own command line in multirun mode, its errors left to us."""
    register()
    before, sys.argv = sys.argv, ["seq2seq train", "--multirun", *words]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints errors its way and exits with 1
    try:
        with one_sentence():
            hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(task)()
    finally:
        sys.argv = before


class Cells:
    """The cells of a grid, each called in whichever process the launcher has for it: how it ended is noted where all can read it."""

    def __init__(self, task: Task, grid: Grid) -> None:
        self.task, self.grid, self.process = task, grid, os.getpid()

    def __call__(self, composed: DictConfig) -> None:
        job, apart = HydraConfig.get(), os.getpid() != self.process
        words = self.grid.label(job.overrides.task)
        if apart:
            set_apart(words)
        if self.grid.stopped:
            return
        if not apart:
            log.info("cell %d%s: %s", job.job.num + 1, f" of {len(cells)}" if (cells := self.grid.cells) else "", words)
        outcome = Outcome(FAILED, reason="a bug, with a traceback")
        try:
            with listening(self.grid) if apart else nullcontext():
                config = to_config(composed)
                ended = self.task(self.placed(config, job) if apart else config)
            outcome = ended if isinstance(ended, Outcome) else Outcome(TRAINED)
        except Seq2SeqError as error:
            outcome = Outcome(ELSEWHERE if isinstance(error, BusyError) else FAILED, reason=str(error))
        except KeyboardInterrupt:
            outcome = Outcome(STOPPED)
            if not apart:
                raise
        finally:
            self.grid.note(job.job.num, outcome, words)
        if told := outcome.reason or (f"finished before: {outcome.run}" if outcome.state == BEFORE else ""):
            log.log(
                logging.ERROR if outcome.state == FAILED else logging.INFO, "%s%s", "" if apart else f"{words}: ", told
            )

    def placed(self, config: Config, job: HydraConf) -> Config:
        """With a fair share of the machine; the first cell says where more is asked for."""
        where = (job.runtime.choices["hydra/launcher"], job.launcher, len(self.grid.cells))
        if job.job.num == 0 and (advice := crowded(config, *where)):
            log.warning("%s", advice)
        return fair(config, *where)
