"""Recognizing a training that diverges: updates that are not finite are skipped, and it ends with an error.

At its end a training that has diverged keeps its weights."""

import logging
import math
from collections.abc import Callable
from typing import NamedTuple

from seq2seq.config import Config
from seq2seq.errors import TrainingError, counted

log = logging.getLogger("seq2seq")

SHORT = 100  # updates: a shorter training may be above guessing by MARGIN, as its first steps can overshoot
MARGIN = 1.0  # nats


def agreed_error(message: str) -> TrainingError:
    """An error that all processes raise at the same point."""
    error = TrainingError(message)
    error.agreed = True
    return error


class SkippedUpdates:
    """The updates that are skipped because a loss, or the norm of the gradient, is not finite."""

    def __init__(self, most: int) -> None:
        """most: in a row."""
        self.most, self.count, self.in_a_row = most, 0, 0

    def add(self, update: int, wrong: str) -> None:
        """Skip an update. wrong: what is not finite. Raises TrainingError if too many in a row are skipped."""
        self.count, self.in_a_row = self.count + 1, self.in_a_row + 1
        if self.in_a_row > self.most:
            before = f", after {counted(self.most, 'update')} that had to be skipped" if self.most else ""
            raise agreed_error(f"the {wrong}{before}; lower training.learning_rate or set training.clip")
        log.warning("update %d is skipped: the %s", update, wrong)


class FinalLoss(NamedTuple):
    """The loss of a finished training in nats per target token, without label smoothing and additional losses."""

    dev: float  # with the weights of the result
    train: float  # of the last updates, nan if it is not known
    updates: int
    vocabulary: int  # target entries

    def diverged(self, untrained: Callable[[], float]) -> bool:
        """Whether the model is worse than guessing, log V, on both texts, and than it was before training on dev.

        untrained: computes the dev loss before training. On dev alone a model that overfits may be worse as well."""
        guessing = math.log(self.vocabulary)
        limit = guessing + (MARGIN if self.updates < SHORT else 0.0)
        return not self.dev <= limit and not self.train <= guessing and not self.dev <= untrained()


def divergence_error(loss: FinalLoss, config: Config, folder: object) -> TrainingError:
    """The error for a training that has diverged, which says what to try."""
    rate = f"training.learning_rate={config.training.learning_rate:g}"
    clip = "" if config.training.clip else " or set training.clip"
    return agreed_error(
        f"training has diverged: the dev loss is {loss.dev:.4g}, and guessing among {loss.vocabulary:,} entries of the "
        f"vocabulary has {math.log(loss.vocabulary):.2f}; lower {rate}{clip}; the weights are kept in {folder}"
    )
