"""Work that rank 0 shares with the other processes: it runs a command, and they do what it calls them for.

So a command reads, prints and writes in one process, whatever the number of devices, and only what takes long is called
for: a training, or a part of the batches of a text. Processes alone share nothing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from seq2seq.distributed import ranks
from seq2seq.errors import TrainingError

END = ""  # in place of the name of a task: rank 0 is done
LONGEST_WORK = timedelta(days=7)  # of rank 0 alone, such as preparing a corpus, for which the others wait

_calls: Any = None  # the group of processes, all of them, that calls are sent in; None outside of `shared`


def active() -> bool:
    """Whether this process is one of several that share the work of a command."""
    return _calls is not None


def call(task: str, *arguments: Any) -> None:
    """Have the other processes begin the task of this name; rank 0, the only one to call, then does its own share."""
    if active() and not ranks.rank():
        _send([task, arguments])


@contextmanager
def shared(tasks: Mapping[str, Callable[..., object]]) -> Iterator[bool]:
    """A context that yields whether this is rank 0, for which alone its body is; the others do `tasks` until its end.

    tasks: name -> what a process does when it is called for. After an error of rank 0 the launcher ends
    the others."""
    global _calls
    _calls = dist.new_group(backend="gloo", timeout=LONGEST_WORK)
    try:
        if ranks.rank():
            while (message := _send([None, ()]))[0] != END:
                try:
                    tasks[message[0]](*message[1])
                except TrainingError as error:  # rank 0 reports it, and may go on to the next job of a grid
                    if not error.agreed:
                        raise
        yield not ranks.rank()
        call(END)
    finally:
        _calls = None


def _send(message: list[Any]) -> list[Any]:
    """The message of rank 0, in all processes."""
    with ranks.waiting():
        dist.broadcast_object_list(message, 0, group=_calls)
    return message
