"""Opens models anew while the server runs: what is new answers the requests that come, what is old those that it has.

Both are in memory until the last request of the old one has its answer.
"""

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from seq2seq.errors import Seq2SeqError
from seq2seq.runs.directory import main_file
from seq2seq.serve.models import ModelInfo, ServedModel

if TYPE_CHECKING:
    from seq2seq.serve.app import Server

log = logging.getLogger("seq2seq")

State = tuple[int, int, int] | None  # inode, size in bytes, and time of change in nanoseconds


class Reloader:
    """Replaces the models of a server, in a thread of its own.

    open_model: opens a model anew
    watch: whether a model is replaced by itself when its files have changed"""

    def __init__(self, server: "Server", open_model: Callable[[ModelInfo], ServedModel], watch: bool = False) -> None:
        self.server, self.open_model = server, open_model
        self.thread: threading.Thread | None = None
        self.wanted: set[str] = set()  # names of models to be replaced
        self.opened = {info.name: _state(info) for info in self._infos()} if watch else {}
        self.last = dict(self.opened)

    def _infos(self) -> list[ModelInfo]:
        return [model.info for model in self.server.models.models.values()]

    def reload(self) -> None:
        """Replace all models."""
        self.wanted |= set(self.server.models.models)

    def check_files(self) -> None:
        """Have models replaced whose files have changed, and then stayed the same since the call before."""
        for info in self._infos() if self.opened else []:
            state = _state(info)
            if state == self.last[info.name] != self.opened[info.name]:
                self.wanted.add(info.name)
            self.last[info.name] = state

    def work(self) -> None:
        """Begin to replace what is wanted, unless that is still being done."""
        if self.wanted and not (self.thread and self.thread.is_alive()):
            names, self.wanted = self.wanted, set()
            self.thread = threading.Thread(target=self._replace, args=[names], name="seq2seq-reload", daemon=True)
            self.thread.start()

    def _replace(self, names: set[str]) -> None:
        for name in sorted(names):
            info = self.server.models.models[name].info
            if name in self.opened:
                self.opened[name] = _state(info)
            try:
                new = self.open_model(info)
            except Seq2SeqError as error:
                log.error("%s is not replaced: %s", name, error)
            except Exception as error:  # such as full memory
                log.error("%s is not replaced: %s: %s", name, type(error).__name__, error)
            else:
                self.server.replace(new)
                log.info("%s is replaced", name)

    def close(self) -> None:
        """Wait until nothing is being opened: the process could crash at its end otherwise."""
        if self.thread:
            self.thread.join()


def _state(info: ModelInfo) -> State:
    """The state of a model on disk; None if it is not there."""
    try:
        found = main_file(info.path).stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
