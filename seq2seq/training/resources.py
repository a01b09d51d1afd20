"""The resources that a training takes: its time, its peak memory and its number of parameters."""

import re
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import nn

from seq2seq.distributed import ranks

MIB = 1 << 20


class Elapsed(NamedTuple):
    """Time spent on training."""

    seconds: float
    cpu_seconds: float  # of all threads of this process


class Clock(L.Callback):
    """Measures training time from the first batch on; it stands still inside `paused`."""

    def __init__(self) -> None:
        self._before = Elapsed(0.0, 0.0)  # up to the last stop
        self._others = 0.0  # CPU seconds of the other processes, at the last `read_all`
        self._started: Elapsed | None = None  # the readings of both clocks at the last start; None while stopped

    @property
    def running(self) -> bool:
        """Whether time is being counted."""
        return self._started is not None

    def read(self) -> Elapsed:
        """The training time so far, that of earlier parts of a resumed run included."""
        if self._started is None:
            return self._before
        return Elapsed(
            self._before.seconds + time.perf_counter() - self._started.seconds,
            self._before.cpu_seconds + time.process_time() - self._started.cpu_seconds,
        )

    def read_all(self) -> Elapsed:
        """The same with the CPU time of all processes that train together, which have to call this together."""
        own = self.read()
        (cpu_seconds,) = ranks.total(own.cpu_seconds)
        self._others = cpu_seconds - own.cpu_seconds
        return Elapsed(own.seconds, cpu_seconds)

    def start(self) -> None:
        """Start counting, or continue."""
        self._started = Elapsed(time.perf_counter(), time.process_time())

    def stop(self) -> None:
        """Stop counting."""
        self._before, self._started = self.read(), None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A context whose time does not count as training, such as validation."""
        running = self.running
        self.stop()
        yield
        if running:
            self.start()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.start()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.stop()

    def state_dict(self) -> dict[str, Any]:
        own = self.read()
        return {"spent": [own.seconds, own.cpu_seconds + self._others]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        seconds, cpu_seconds = state_dict["spent"]  # of all processes, which count them once
        self._before = Elapsed(seconds, 0.0 if ranks.rank() else cpu_seconds)


def resources_used(model: nn.Module, clock: Clock) -> dict[str, float]:
    """What run.json records: number of parameters, training time in seconds, and peak memory in MiB.

    CPU time and memory are of all processes that train together, which have to call this together."""
    elapsed, peaks = clock.read_all(), peak_memory()
    return {
        "parameters": count_parameters(model),
        "seconds": elapsed.seconds,
        "processor_seconds": elapsed.cpu_seconds,
        **dict(zip(peaks, ranks.total(*peaks.values()), strict=True)),
    }


def count_parameters(model: nn.Module) -> int:
    """The number of parameters; shared ones count once."""
    return sum(p.numel() for p in model.parameters())


def reset_peak_memory() -> None:
    """Start a new measurement of peak memory: a process may train several runs, one after another."""
    with suppress(OSError):  # only Linux can, and not in every container
        Path("/proc/self/clear_refs").write_text("5")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> dict[str, float]:
    """Peak memory in MiB since `reset_peak_memory`, of the process and of the GPU if torch used one."""
    found = {"peak_memory": round(_peak_resident_bytes() / MIB, 1)}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        found["peak_gpu_memory"] = round(torch.cuda.max_memory_allocated() / MIB, 1)
    return found


def _peak_resident_bytes() -> int:
    with suppress(OSError):  # on Linux getrusage may report the peak of the process that started this one
        if found := re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()):
            return 1024 * int(found[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
