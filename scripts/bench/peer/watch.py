"""Measures updates, or translations of batches, inside of a peer's process, with the same clock as ours.

Every run_PEER.py is called with one JSON object, a `Job`. It does not change how its peer computes, and of this
package it imports the clock only.
"""

import json
import os
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.append(str(Path(__file__).resolve().parents[1]))

import clock
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

MAX_TOKENS = 4096  # of a training batch, padding included
MAKE_UPDATES = 3  # updates of a model that is only made to translate with


class Job(NamedTuple):
    """What to measure."""

    job: str  # make: a model to translate with; train; decode
    work: str  # the workload: A1, A2, A3
    data: str  # folder with {train,valid,test}.{en,de}, subwords between spaces, and vocabulary.txt
    folder: str  # for the models of this peer and workload
    out: str  # file for the result: JSON with intervals and memory
    threads: int
    warm: int  # updates, or batches, before the measurement
    count: int  # updates that are measured; or times that each batch is translated
    batch: int  # sentences
    tokens: int  # length of every translation
    beam: int
    lines: int  # of the test set

    @property
    def recurrent(self) -> bool:
        """Whether the workload is a recurrent model."""
        return self.work != "A3"

    @property
    def updates(self) -> int:
        """The update at which the peer is to end training; when measuring, `Watch` ends the process."""
        return MAKE_UPDATES if self.job == "make" else 10**6


@dataclass
class Watch:
    """Collects intervals. `amount`, to which the peer's wrapper adds, counts the target tokens of training."""

    job: Job
    amount: float = 0.0
    marks: list[tuple[clock.Timestamp, float]] = field(default_factory=list)
    calls: list[clock.Interval] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch.set_num_threads(self.job.threads)
        if self.job.job == "train":
            register_optimizer_step_post_hook(lambda *rest: self.updated())

    def updated(self) -> None:
        """Called after each update. Ends the process when enough were measured."""
        self.marks.append((clock.now(), self.amount))
        if len(self.marks) == self.job.warm + self.job.count:
            pairs = zip(self.marks[self.job.warm - 1 :], self.marks[self.job.warm :], strict=False)
            self.save([clock.between(a, b, after - before) for (a, before), (b, after) in pairs])

    def timed(self, sentences: int, call: Callable[[], Any]) -> Any:
        """Time `call`, which translates a batch, job.count times; returns its result. Ends the process when enough
        lines were translated."""
        for _ in range(self.job.count):
            start = clock.now()
            result = call()
            self.calls.append(clock.between(start, clock.now(), sentences))
        if sum(call.amount for call in self.calls) >= self.job.count * self.job.lines:
            self.save(self.calls[self.job.warm * self.job.count :])
        return result

    def save(self, intervals: list[clock.Interval]) -> None:
        """Write the result and end the process; not by an exception, since some peers catch all of them."""
        Path(self.job.out).write_text(
            json.dumps({"intervals": intervals, "memory": clock.peak_memory()}), encoding="utf-8"
        )
        os._exit(0)


def begin() -> Watch:
    """The watch for the job on the command line."""
    return Watch(Job(**json.loads(sys.argv[1])))


def set_arguments(*words: object) -> None:
    """Set sys.argv, which the peer's own command reads."""
    sys.argv = [str(word) for word in words]


def stub_missing(*names: str) -> None:
    """Replace modules that a peer imports but does not need here by empty ones, if they cannot be imported."""
    for name in names:
        try:
            __import__(name)
        except Exception:
            sys.modules[name] = types.ModuleType(name)


def allow_pickled_checkpoints() -> None:
    """Make torch.load default to weights_only=False as before 2.6: the peers' own checkpoints hold objects."""
    load = torch.load
    torch.load = lambda *args, **options: load(*args, **{**options, "weights_only": False})  # type: ignore[assignment]


def wrap(owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Replace owner.name by around(original, *args)."""
    original = getattr(owner, name)
    setattr(owner, name, lambda *args, **options: around(original, *args, **options))


def read(job: Job, name: str) -> list[list[str]]:
    """The subwords of each line of a text."""
    return [line.split() for line in Path(job.data, name).read_text(encoding="utf-8").splitlines()]


def batches(job: Job) -> list[list[int]]:
    """Batches of indices of the test lines, the longest line first."""
    lines = read(job, "test.en")[: job.lines]
    order = sorted(range(len(lines)), key=lambda i: -len(lines[i]))
    return [order[at : at + job.batch] for at in range(0, len(order), job.batch)]
