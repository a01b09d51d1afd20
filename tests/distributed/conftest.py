"""Threads in place of processes: they exchange what processes would, at the same points, in a fraction of the time."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from seq2seq import translator
from seq2seq.distributed import ranks, shared_work

Together = Callable[[int, Callable[[], Any], dict[str, Callable[..., object]]], Any]


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> Together:
    """`together(count, command, tasks)`: what rank 0 of `count` gets from `command`; the others do `tasks`."""

    def run(count: int, command: Callable[[], Any], tasks: dict[str, Callable[..., object]]) -> Any:
        here, barrier, values = threading.local(), threading.Barrier(count), [None] * count
        inboxes: list[queue.Queue[Any]] = [queue.Queue() for _ in range(count)]

        def gathered(value: Any) -> list[Any]:
            values[here.rank] = value
            barrier.wait(60)
            found = list(values)
            barrier.wait(60)
            return found

        def send(message: list[Any]) -> list[Any]:
            if here.rank:
                return inboxes[here.rank].get(timeout=60)  # type: ignore[no-any-return]
            for inbox in inboxes[1:]:
                inbox.put(message)
            return message

        def one(rank: int) -> Any:
            here.rank, here.opened = rank, {}
            if rank == 0:
                result = command()
                shared_work.call(shared_work.END)
                return result
            while (message := send([]))[0] != shared_work.END:
                tasks[message[0]](*message[1])
            return None

        def opened_before(runs: Any, settings: Any) -> translator.Translator:
            if (runs, settings) not in here.opened:
                here.opened[runs, settings] = translator.Translator.open_runs(*runs, **dict(settings))
            return here.opened[runs, settings]  # type: ignore[no-any-return]

        with monkeypatch.context() as patch, ThreadPoolExecutor(count) as pool:
            patch.setattr(ranks, "rank", lambda: here.rank)
            patch.setattr(ranks, "world_size", lambda: count)
            patch.setattr(ranks, "gathered", gathered)
            patch.setattr(shared_work, "_send", send)
            patch.setattr(shared_work, "_calls", object())
            patch.setattr(translator, "_opened_before", opened_before)
            results = [future.result(120) for future in [pool.submit(one, rank) for rank in range(count)]]
            return results[0]

    return run
