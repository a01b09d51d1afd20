"""Errors that this package raises on purpose.

Seq2SeqError         base class: the command line prints one line and exits with status 2
├── ConfigError      a setting that cannot work, would be ignored, or is misspelt
├── DataError        text that cannot be read as what it should be; the message names file and line
│   └── MissingError text that is not on this machine
├── RunError         a run directory or bundle that is missing, incomplete, of another version, or does not fit
│   └── BusyError    a run directory that another process trains in
└── TrainingError    training that cannot continue or has diverged: a loss that is not finite, a full disk

Any other exception is a bug. `choose` and `unknown` word the error for a name that is not among the choices; `quoted`
and `shortened` show a value that may be long, or hold characters that a terminal would act on.
"""

from seq2seq.runtime.errors import (
    ConfigError,
    DataError,
    RunError,
    Seq2SeqError,
    check_path,
    check_type,
    choose,
    counted,
    escaped,
    is_utf8,
    nearest_hint,
    os_errors_named,
    quoted,
    shortened,
    unknown,
)

__all__ = [
    "BusyError",
    "ConfigError",
    "DataError",
    "MissingError",
    "RunError",
    "Seq2SeqError",
    "TrainingError",
    "check_path",
    "check_type",
    "choose",
    "counted",
    "escaped",
    "is_utf8",
    "nearest_hint",
    "os_errors_named",
    "quoted",
    "shortened",
    "unknown",
]


class MissingError(DataError):
    """Text that is not on this machine; it may be on another."""


class BusyError(RunError):
    """A run directory that another process trains in."""


class TrainingError(Seq2SeqError):
    """Training that cannot continue."""

    agreed = False  # whether all processes that train together raise it, and can begin another training
