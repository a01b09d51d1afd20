"""How do cells of a grid share a machine, and hear of a Ctrl-C, when a launcher gives each a process of its own?"""

import logging
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import FrameType
from typing import Any

from seq2seq.config import Config
from seq2seq.launch.grid import Grid
from seq2seq.utils.console import log_to_stderr
from seq2seq.utils.process import available_cores

log = logging.getLogger("seq2seq")

EVERY = 1.0  # seconds between looks at whether the grid was stopped
PACKAGES = {"hydra_plugins", "joblib", "submitit"}


def fair(config: Config, launcher: str, settings: Mapping[str, Any], cells: int) -> Config:
    """The settings of one of `cells` in a process of its own: its share of the cores, and no bar, of which there would be several."""
    cores = available_cores()
    at_once = AT_ONCE.get(launcher, lambda *_: 1)(settings, cells or cores, cores)  # 0: nobody knows how many
    threads = config.trainer.threads or settings.get("cpus_per_task") or max(1, cores // at_once)
    progress = "lines" if config.trainer.progress == "auto" else config.trainer.progress
    return replace(config, trainer=replace(config.trainer, threads=threads, progress=progress))


def crowded(config: Config, launcher: str, settings: Mapping[str, Any], cells: int) -> str:
    """A piece of advice where more threads are asked for than there are cores, else ''."""
    cores = available_cores()
    at_once = AT_ONCE.get(launcher, lambda *_: 1)(settings, cells or cores, cores)  # 0: nobody knows how many
    if config.trainer.threads * at_once <= cores:
        return ""
    wanted = f"{at_once} cells at once with trainer.threads={config.trainer.threads} each are too many for {cores} cores and slow each other"
    return f"{wanted}; trainer.threads=0 shares them"


def set_apart(words: str) -> None:
    """In a process of its own a cell says which it is with every line, and hears of a Ctrl-C from the grid alone: that of the
    terminal would end also processes that wait for the next cell."""
    log_to_stderr(f"[{words}] ")
    for handler in logging.getLogger().handlers:  # a process may be given several cells, one after another
        handler.setFormatter(logging.Formatter(f"[{words}] ".replace("%", "%%") + "%(message)s"))
    with suppress(OSError):  # it leads its own group already
        os.setpgid(0, 0)


@contextmanager
def listening(grid: Grid) -> Iterator[None]:
    """While a cell is at work in a process of its own, the end of the grid comes as a Ctrl-C."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(EVERY):
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
def patience(grid: Grid) -> Iterator[None]:
    """The first Ctrl-C, or kill, asks the cells of all processes to save and end; the second ends the waiting for them."""

    def hear(number: int, frame: FrameType | None) -> None:
        if grid.stopped:
            raise KeyboardInterrupt
        grid.stop()
        log.info("stopping: each cell ends after its update; once more leaves them to themselves, or ends them at once")

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def from_launcher(error: BaseException) -> bool:
    """Whether a launcher raised it, such as for a process that was killed or a cluster that is not there."""
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(modules) and modules[-1].split(".")[0] in PACKAGES


def joblib_jobs(settings: Mapping[str, Any], cells: int, cores: int) -> int:
    """hydra.launcher.n_jobs, -1 being all cores and -2 all but one."""
    jobs = int(settings.get("n_jobs") or -1)
    return max(1, min(cells, jobs if jobs > 0 else cores + 1 + jobs))


AT_ONCE: dict[
    str, Callable[[Mapping[str, Any], int, int], int]
] = {  # hydra/launcher -> cells at once on a machine of so many cores
    "basic": lambda settings, cells, cores: 1,
    "joblib": joblib_jobs,
    "submitit_local": lambda settings, cells, cores: max(1, cells),
    "submitit_slurm": lambda settings, cells, cores: 1,
}
