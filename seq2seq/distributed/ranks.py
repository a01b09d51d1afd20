"""The processes that work together, one for each device: which of them this is, and what they exchange.

A process alone is rank 0 of 1, and sends nothing. All functions but `rank` and `world_size` have to be called by all
processes, in the same order."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import TypeVar

import torch
import torch.distributed as dist
from torch.nn import Parameter

from seq2seq.errors import TrainingError

T = TypeVar("T")
U = TypeVar("U")


class LostError(TrainingError):
    """Another process has ended, or does not answer in time."""


BEAT = 5.0  # seconds between two heartbeats
BUCKET = 1 << 25  # elements that are summed over all processes at once; their sum needs as much memory again


def rank() -> int:
    """The number of this process, from 0; rank 0 writes all files."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """The number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_rank() -> int:
    """The number of this process among those of its machine: that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", 0)) if dist.is_initialized() else 0


def local_world_size() -> int:
    """The number of processes of this machine, which share its cores."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", world_size())) if dist.is_initialized() else 1


@contextmanager
def joined(timeout: float) -> Iterator[None]:
    """A context in which this process is one of those that a launcher has started.

    timeout: seconds that it waits for another one, at most. Raises LostError if they do not all come."""
    global _beats
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if (gpu := int(os.environ.get("LOCAL_RANK", 0))) < torch.cuda.device_count():
        torch.cuda.set_device(gpu)
    os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")  # an error here, not an abort by a thread of torch
    with waiting():
        store, number, count = next(dist.rendezvous("env://", timeout=timedelta(seconds=timeout)))
        dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=timedelta(seconds=timeout))
    _beats = Heartbeats(store, number, count)
    try:
        yield
    finally:
        _beats = None
        dist.destroy_process_group()


class Heartbeats:
    """The time of each process's last heartbeat, by which one that hangs is found."""

    def __init__(self, store: dist.Store, number: int, count: int) -> None:
        self.store, self.number, self.count, self.last = store, number, count, 0.0

    def beat(self) -> None:
        """Note that this process is alive, at most every few seconds."""
        now = time.time()
        if now - self.last > BEAT:
            self.last = now
            self.store.set(f"beat{self.number}", str(now))

    def silent(self) -> str:
        """`process 1`, the one with the oldest heartbeat, or `the others` if that is not known."""
        try:
            others = [n for n in range(self.count) if n != self.number]
            beats = {n: float(self.store.get(key)) if self.store.check([key := f"beat{n}"]) else 0.0 for n in others}
            return f"process {min(others, key=lambda n: beats[n])}"
        except (RuntimeError, ValueError):  # the process that stores them has ended
            return "the others"


_beats: Heartbeats | None = None  # in `joined`


def gathered(value: T) -> list[T]:
    """`value` of each process, by rank."""
    if world_size() == 1:
        return [value]
    found: list[T | None] = [None] * world_size()
    with waiting():
        dist.all_gather_object(found, value)
    return found  # type: ignore[return-value]


def in_turns(items: Iterable[T], work: Callable[[T], list[U]]) -> Iterator[U]:
    """What `work` returns for each item, in their order; each item is worked on by one process, as many at a time as
    there are processes."""
    rest = iter(items)
    while turn := list(islice(rest, world_size())):
        for found in gathered(work(turn[rank()]) if rank() < len(turn) else []):
            yield from found


def agree(values: Mapping[str, object]) -> None:
    """Raises TrainingError if a value is another one in another process; its key says what it is."""
    first, *others = gathered(dict(values))
    for number, other in enumerate(others, 1):
        for name, value in first.items():
            if other[name] != value:
                raise TrainingError(f"process {number} of {world_size()} has other {name} than process 0")


def total(*values: float) -> list[float]:
    """The sums of numbers over all processes, in float64 and in the order of the ranks."""
    return [sum(column) for column in zip(*gathered(values), strict=True)]


def greatest(value: int) -> int:
    """The greatest number of all processes: what any of them has seen."""
    if world_size() == 1:
        return value
    shared = torch.tensor(value)
    with waiting():
        dist.all_reduce(shared, dist.ReduceOp.MAX)
    return int(shared)


def sum_gradients(parameters: Iterable[Parameter]) -> None:
    """Replace the gradients of each process by their sum, which is bit-equal in all of them."""
    if world_size() == 1:
        return
    for bucket in _buckets([p for p in parameters if p.requires_grad]):
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        with waiting():
            dist.all_reduce(flat)
        parts = flat.split([gradient.numel() for gradient in gradients])
        for parameter, part in zip(bucket, parts, strict=True):
            if parameter.grad is None:
                parameter.grad = part.view_as(parameter).clone()
            else:
                parameter.grad.copy_(part.view_as(parameter))


def _buckets(parameters: list[Parameter]) -> Iterator[list[Parameter]]:
    """The parameters, of one dtype and at most BUCKET numbers together, or one alone."""
    bucket: list[Parameter] = []
    for p in parameters:
        if bucket and (p.dtype != bucket[0].dtype or p.numel() + sum(q.numel() for q in bucket) > BUCKET):
            yield bucket
            bucket = []
        bucket.append(p)
    if bucket:
        yield bucket


@contextmanager
def waiting() -> Iterator[None]:
    """A context in which this process waits for others. Raises LostError."""
    try:
        if _beats:
            _beats.beat()
        yield
    except RuntimeError as error:  # also of torch.distributed, which has no other for gloo
        me, count = (rank(), world_size()) if dist.is_initialized() else (os.environ["RANK"], os.environ["WORLD_SIZE"])
        whom = _beats.silent() if _beats else "the others"
        raise LostError(f"process {me} of {count} waited in vain for {whom}, which has ended or hangs") from error
