"""What a check finds: that something is good, a warning, or bad."""

from collections.abc import Callable
from typing import Any, NamedTuple

from seq2seq.errors import Seq2SeqError

GOOD, WARNING, BAD = "good", "warning", "bad"


class Finding(NamedTuple):
    """The result of a check."""

    level: str  # GOOD, WARNING: it works, but read this; BAD: it does not work
    text: str  # one sentence: what was found, and what to do unless it is good


def found(check: Callable[..., Finding], *arguments: Any) -> Finding:
    """What `check` finds; BAD if it raises an error, so that no check hides the others."""
    try:
        return check(*arguments)
    except Exception as error:
        return failure(error)


def failure(error: Exception) -> Finding:
    """The finding of a check that has raised `error`."""
    if isinstance(error, Seq2SeqError):
        return Finding(BAD, str(error))
    if isinstance(error, ImportError):
        return Finding(BAD, f"{error.name or error} cannot be imported: install it again, with pip")
    return Finding(BAD, f"this check failed with {type(error).__name__}: {error}")


def worst(problems: list[Finding], otherwise: str) -> Finding:
    """All problems as one finding, with the level of the worst; GOOD, with the text `otherwise`, if there are none."""
    if not problems:
        return Finding(GOOD, otherwise)
    level = BAD if any(problem.level == BAD for problem in problems) else WARNING
    return Finding(level, "; ".join(problem.text for problem in problems))
