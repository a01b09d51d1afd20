"""Jobs in processes of their own, as the launchers of joblib and submitit run them: shares of the cores, and Ctrl-C."""

import logging
import os
import shutil
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from seq2seq.config import Config
from seq2seq.launch.grid import Grid
from seq2seq.runtime.cpu import available_cores
from seq2seq.runtime.signals import handling, leave_terminal
from seq2seq.utils.console import log_to_stderr
from seq2seq.utils.files import write_text

log = logging.getLogger("seq2seq")

POLL_SECONDS = 1.0  # how often a job checks whether the grid was stopped
PACKAGES = {"hydra_plugins", "joblib", "submitit"}


@dataclass(frozen=True)
class Launcher:
    """The launcher of a grid."""

    name: str  # of hydra/launcher
    settings: Mapping[str, Any]  # hydra.launcher
    jobs: int  # in the grid; 0 if only the sweeper knows

    def concurrent_jobs(self) -> int:
        """How many jobs share this machine's cores at a time."""
        cores = available_cores()
        count = CONCURRENT_JOBS.get(self.name, _one_job)
        return count(self.settings, self.jobs or cores, cores)

    def configure(self, config: Config) -> Config:
        """The settings of one job: with its share of the cores, and lines in place of several progress bars."""
        share = max(1, available_cores() // self.concurrent_jobs())
        threads = config.trainer.threads or self.settings.get("cpus_per_task") or share
        progress = "lines" if config.trainer.progress == "auto" else config.trainer.progress
        return replace(config, trainer=replace(config.trainer, threads=threads, progress=progress))

    def advice(self, config: Config) -> str:
        """A warning if all jobs together would use more threads than there are cores, else ''."""
        cores, jobs, threads = available_cores(), self.concurrent_jobs(), config.trainer.threads
        if threads * jobs <= cores:
            return ""
        return (
            f"{jobs} jobs at a time with trainer.threads={threads} each are too many for {cores} cores"
            " and slow each other down; trainer.threads=0 shares the cores"
        )


def _one_job(settings: Mapping[str, Any], jobs: int, cores: int) -> int:
    return 1


def _joblib_jobs(settings: Mapping[str, Any], jobs: int, cores: int) -> int:
    """hydra.launcher.n_jobs, where -1 means all cores and -2 all but one."""
    wanted = int(settings.get("n_jobs") or -1)
    return max(1, min(jobs, wanted if wanted > 0 else cores + 1 + wanted))


def _all_jobs(settings: Mapping[str, Any], jobs: int, cores: int) -> int:
    return max(1, jobs)


# hydra/launcher -> jobs at a time on one machine, from its settings, the number of jobs and that of cores
CONCURRENT_JOBS: dict[str, Callable[[Mapping[str, Any], int, int], int]] = {
    "basic": _one_job,
    "joblib": _joblib_jobs,
    "submitit_local": _all_jobs,
    "submitit_slurm": _one_job,  # on a machine, or part of one, of its own
}


def set_apart(label: str) -> None:
    """In a job's own process: start each log line with the job's label, and leave the terminal's process group.

    A Ctrl-C then reaches the job through the grid alone; the terminal's would also end processes that are idle."""
    prefix = f"[{label}] "
    log_to_stderr(prefix)
    for handler in logging.getLogger().handlers:  # one process may run several jobs, one after another
        handler.setFormatter(logging.Formatter(prefix.replace("%", "%%") + "%(message)s"))
    with suppress(OSError):  # it leads its own group already
        os.setpgid(0, 0)


@contextmanager
def interrupt_when_stopped(grid: Grid) -> Iterator[None]:
    """In a job's own process: raise KeyboardInterrupt in the main thread once the grid is stopped."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL_SECONDS):
            if grid.stopped:
                os.kill(os.getpid(), signal.SIGINT)
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def stop_on_signal(grid: Grid) -> Iterator[None]:
    """In the command's process: a first signal asks all jobs to save and end, a second ends the waiting."""

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            leave_terminal()
        if grid.stopped:
            raise KeyboardInterrupt
        grid.stop()
        log.info("stopping: each job ends after its current update; press Ctrl-C again to stop waiting for them")

    with handling(handle):
        yield


def raised_by_launcher(error: BaseException) -> bool:
    """Whether a launcher raised `error`, such as for a process that was killed or a cluster that is missing."""
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(modules) and modules[-1].split(".")[0] in PACKAGES


def launcher_error(error: Exception, folder: Path) -> str:
    """Why a launcher failed, in one sentence; its own report is written to a file in `folder`, that of the grid."""
    if "srun" in str(error) and not shutil.which("srun"):
        return "srun is not on this machine: hydra/launcher=submitit_slurm has to be run on a cluster with Slurm"
    path = folder / "launcher.txt"
    write_text(path, "".join(traceback.format_exception(error)))
    return f"a process of its own ended, or could not be started; its report is in {path}"
