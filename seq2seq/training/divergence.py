"""Recognizing a training that has diverged: it ends with an error, and its weights are kept."""

import math
from collections.abc import Callable
from typing import NamedTuple

from seq2seq.config import Config
from seq2seq.errors import TrainingError

SHORT = 100  # updates: a shorter training may be above guessing by MARGIN, as its first steps can overshoot
MARGIN = 1.0  # nats


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
    return TrainingError(
        f"training has diverged: the dev loss is {loss.dev:.4g}, and guessing among {loss.vocabulary:,} entries of the "
        f"vocabulary has {math.log(loss.vocabulary):.2f}; lower {rate}{clip}; the weights are kept in {folder}"
    )
