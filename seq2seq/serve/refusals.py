"""Errors that a request is answered with, each with its HTTP status."""

from seq2seq.errors import Seq2SeqError


class RefusedError(Seq2SeqError):
    """A request that cannot be answered as it is."""

    status = 400
    retry_after: int | None = None  # seconds after which the same request may succeed


class KeyRefusedError(RefusedError):
    """An API key that is missing or unknown."""

    status = 403


class TooLargeError(RefusedError):
    """More text than a request may have."""

    status = 413


class TooSlowError(RefusedError):
    """A request that was not complete in time."""

    status = 408


class QueueFullError(RefusedError):
    """As many requests wait as may."""

    status, retry_after = 429, 1


class DrainingError(RefusedError):
    """The server is about to end, and accepts no more requests."""

    status, retry_after = 503, 5

    def __init__(self) -> None:
        super().__init__("the server is shutting down: send the request to another one, or later again")
