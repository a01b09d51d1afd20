"""Settings that have no effect beside others, and are refused if the user has given them.

The groups refuse others themselves, whoever set them. Those in this table may come from a preset, such as the hidden
size that model.parameters replaces, or stand in saved runs, and are then left as they are."""

from collections.abc import Collection
from typing import Any

from seq2seq.config.data import BREAKS
from seq2seq.runtime.fields import Ignored, refuse_given
from seq2seq.runtime.search_config import IGNORED_SEARCH, IGNORED_WITH_MODEL

IGNORED = (
    *IGNORED_SEARCH,
    Ignored(
        "training.average",
        lambda training: training.average == "best" and training.keep == 1,
        "the mean of training.keep=1 checkpoint is that checkpoint",
    ),
    Ignored(
        "data.keep_breaks",
        lambda data: data.format not in BREAKS,
        f"only texts of data.format={', '.join(BREAKS)} contain line breaks",
    ),
    Ignored("model.hidden", lambda model: model.name == "rnn" and model.parameters, "model.parameters chooses it"),
    Ignored(
        "model.feedforward",
        lambda model: model.name == "transformer" and model.parameters,
        "model.parameters chooses it",
    ),
    *IGNORED_WITH_MODEL,
)


def check_given(config: Any, given: Collection[str]) -> None:
    """Raise ConfigError for the first of the settings `given` by the user that has no effect.

    given: dotted names. A value that is the default passes."""
    refuse_given(IGNORED, config, given)
