"""A training as the command runs it, in which a function is called after each update, and which that function ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from seq2seq.training.checkpoint import Checkpoint
from seq2seq.training.module import TrainingModule


class MeasuredError(Exception):
    """Ends a training once it is measured."""


@contextmanager
def after_each(function: Callable[[TrainingModule], None]) -> Iterator[None]:
    """A context in which `function` is called after each update and no checkpoint is saved. MeasuredError ends it."""
    step, save = TrainingModule.optimizer_step, Checkpoint.save

    def watched_step(module: TrainingModule, *arguments: Any) -> None:
        step(module, *arguments)
        function(module)

    TrainingModule.optimizer_step = watched_step  # type: ignore[method-assign]
    Checkpoint.save = lambda checkpoint, trainer: None  # type: ignore[method-assign]
    try:
        yield
    except MeasuredError:
        pass
    finally:
        TrainingModule.optimizer_step, Checkpoint.save = step, save  # type: ignore[method-assign]
