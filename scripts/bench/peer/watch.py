"""What happens inside a peer's process? Its updates, or its translations of a batch, under the clock that ours is under too.

Every run_PEER.py is called with one JSON object: job (make, train, decode), work, data, folder, threads, warm, count,
batch, tokens, beam, lines, out. It changes nothing in how its peer computes, and imports nothing of ours but the clock.
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

MOST_TOKENS = 4096  # padded, in a batch of training
MADE = 3  # updates of a model that is made for translating only


class Job(NamedTuple):
    """What is to be measured."""

    job: str  # make: a model to translate with; train; decode
    work: str  # A1, A2, A3
    data: str  # folder with {train,valid,test}.{en,de}, subwords between spaces, and vocabulary.txt
    folder: str  # of this peer and work, for models
    out: str  # JSON of the intervals
    threads: int
    warm: int  # updates, or batches, before any counts
    count: int  # updates that count; times that all batches are translated
    batch: int
    tokens: int  # of every translation
    beam: int
    lines: int  # of the test set

    @property
    def recurrent(self) -> bool:
        return self.work != "A3"

    @property
    def updates(self) -> int:
        """After which training ends by itself."""
        return MADE if self.job == "make" else 10**6


@dataclass
class Watch:
    """Collects intervals; the peer's own code tells how much was done in each."""

    job: Job
    amount: float = 0.0
    marks: list[tuple[clock.Mark, float]] = field(default_factory=list)
    calls: list[clock.Interval] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch.set_num_threads(self.job.threads)
        if self.job.job == "train":
            register_optimizer_step_post_hook(lambda *rest: self.updated())

    def updated(self) -> None:
        """An update is over. The process ends when enough have been seen."""
        self.marks.append((clock.mark(), self.amount))
        if len(self.marks) == self.job.warm + self.job.count:
            pairs = zip(self.marks[self.job.warm - 1 :], self.marks[self.job.warm :], strict=False)
            self.save([clock.between(a, b, after - before) for (a, before), (b, after) in pairs])

    def timed(self, sentences: int, call: Callable[[], Any]) -> Any:
        """Translate a batch as often as asked, each time on its own. The process ends when enough lines have been seen."""
        for _ in range(self.job.count):
            start = clock.mark()
            found = call()
            self.calls.append(clock.between(start, clock.mark(), sentences))
        if sum(call.amount for call in self.calls) >= self.job.count * self.job.lines:
            self.save(self.calls[self.job.warm * self.job.count :])
        return found

    def save(self, intervals: list[clock.Interval]) -> None:
        """What was seen. This is the end: some peers catch every exception, so none is raised."""
        Path(self.job.out).write_text(
            json.dumps({"intervals": intervals, "memory": clock.peak_memory()}), encoding="utf-8"
        )
        os._exit(0)


def begin() -> Watch:
    """From the command line."""
    return Watch(Job(**json.loads(sys.argv[1])))


def command(*words: object) -> None:
    """What the peer's own command reads."""
    sys.argv = [str(word) for word in words]


def absent(*names: str) -> None:
    """Modules that a peer imports at once and does not need here."""
    for name in names:
        try:
            __import__(name)
        except Exception:
            sys.modules[name] = types.ModuleType(name)


def load_objects() -> None:
    """torch.load as it was before 2.6: these checkpoints are the peer's own, of a minute ago, and hold objects."""
    load = torch.load
    torch.load = lambda *words, **options: load(*words, **{**options, "weights_only": False})  # type: ignore[assignment]


def wrap(owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Put around(original, *words) in the place of owner.name."""
    original = getattr(owner, name)
    setattr(owner, name, lambda *words, **options: around(original, *words, **options))


def read(job: Job, name: str) -> list[list[str]]:
    """Subwords of a text."""
    return [line.split() for line in Path(job.data, name).read_text(encoding="utf-8").splitlines()]


def batches(job: Job) -> list[list[int]]:
    """Numbers of the test lines, the longest first."""
    lines = read(job, "test.en")[: job.lines]
    order = sorted(range(len(lines)), key=lambda i: -len(lines[i]))
    return [order[at : at + job.batch] for at in range(0, len(order), job.batch)]
