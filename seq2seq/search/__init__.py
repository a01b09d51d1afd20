"""Search for translations: beam search and sampling over any `Model`, or over a step function of one's own."""

from typing import TYPE_CHECKING

from seq2seq.runtime.hypothesis import Hypothesis
from seq2seq.runtime.penalties import Penalties
from seq2seq.utils.lazy import lazy_names

if TYPE_CHECKING:
    from seq2seq.search.beam import beam_search as beam_search
    from seq2seq.search.constrained import constrained_beam_search as constrained_beam_search
    from seq2seq.search.constraints import Constraint as Constraint
    from seq2seq.search.constraints import ForbiddenTokens as ForbiddenTokens
    from seq2seq.search.constraints import NoRepeat as NoRepeat
    from seq2seq.search.forced import score_targets as score_targets
    from seq2seq.search.sampling import sample as sample
    from seq2seq.search.step_model import StepModel as StepModel

__all__ = [
    "Constraint",
    "ForbiddenTokens",
    "Hypothesis",
    "NoRepeat",
    "Penalties",
    "StepModel",
    "beam_search",
    "constrained_beam_search",
    "sample",
    "score_targets",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "beam_search": "beam",
        "constrained_beam_search": "constrained",
        "Constraint": "constraints",
        "ForbiddenTokens": "constraints",
        "NoRepeat": "constraints",
        "score_targets": "forced",
        "sample": "sampling",
        "StepModel": "step_model",
    },
)
