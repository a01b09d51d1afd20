"""What did a training take and see? Memory at its highest, the size of the model, the batches: kept in run.json."""

import re
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import nn

MIB = 1 << 20


def forget_peaks() -> None:
    """Memory is at its highest from now on: a process may train several runs, one after another."""
    with suppress(OSError):  # only Linux can, and not in every container
        Path("/proc/self/clear_refs").write_text("5")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peaks() -> dict[str, float]:
    """MiB that the process held at its highest since `forget_peaks`: in memory and, where torch used a GPU, on that."""
    found = {"peak_memory": round(most_resident() / MIB, 1)}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        found["peak_gpu_memory"] = round(torch.cuda.max_memory_allocated() / MIB, 1)
    return found


def most_resident() -> int:
    """Bytes; what getrusage says on Linux may be what the process was started from."""
    with suppress(OSError):
        if found := re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()):
            return 1024 * int(found[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def parameters(model: nn.Module) -> int:
    """Numbers that are learnt; shared ones count once."""
    return sum(p.numel() for p in model.parameters())


class Clock(L.Callback):
    """Runs from the first batch; stands still inside `paused`."""

    def __init__(self) -> None:
        self.before = (0.0, 0.0)  # seconds, processor seconds of the spans that are over
        self.since: tuple[float, float] | None = None

    def read(self) -> tuple[float, float]:
        """Seconds of training, processor seconds of training (all threads of this process)."""
        if self.since is None:
            return self.before
        wall, processor = self.since
        return self.before[0] + time.perf_counter() - wall, self.before[1] + time.process_time() - processor

    def start(self) -> None:
        """Go on."""
        self.since = (time.perf_counter(), time.process_time())

    def stop(self) -> None:
        """Stand still."""
        self.before, self.since = self.read(), None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """For what is not training."""
        running = self.since is not None
        self.stop()
        yield
        if running:
            self.start()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.start()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.stop()

    def state_dict(self) -> dict[str, Any]:
        return {"spent": list(self.read())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.before = tuple(state_dict["spent"])
