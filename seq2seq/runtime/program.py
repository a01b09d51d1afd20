"""How a program of the command line ends: exit codes, and errors as one line."""

import errno
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress

from .errors import Seq2SeqError, escaped, shortened
from .signals import EXIT_CODES, STOP_SIGNALS, handling, interrupt

PIPE_CLOSED = 141  # exit code, as of a program that SIGPIPE ends
USER_ERRNOS = {  # errors of the file system that a user can mend
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR,
    errno.EEXIST, errno.ENAMETOOLONG, errno.EIO, errno.EBUSY, errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EMFILE,
    errno.ENFILE, errno.ESTALE, errno.ENOTSUP, errno.EPIPE,
}  # fmt: skip


def exit_code(work: Callable[[], int | None]) -> int:
    """Call `work` and return its exit code, or that of its error. Exceptions that are bugs are passed on."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # As all input, whatever the terminal's locale; what UTF-8 cannot encode is printed as an escape.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        with handling(interrupt, (*STOP_SIGNALS, *EXIT_CODES)):
            code = _with_output(work)
        return int(code or 0)
    except Seq2SeqError as error:
        return print_error(str(error))
    except KeyboardInterrupt as error:
        _discard_output()
        _print("interrupted")
        return getattr(error, "exit_code", 130)
    except OSError as error:
        if error.errno == errno.EPIPE and error.filename is None:
            _discard_output()
            return PIPE_CLOSED
        if error.errno not in USER_ERRNOS:
            raise
        try:
            sys.stdout.flush()  # keeps what was printed before the error
        except OSError:
            _discard_output()
        return print_error(os_error_sentence(error))


def _with_output(work: Callable[[], int | None]) -> int | None:
    """Call `work` and write what it printed, also where it ends by itself, as --help does."""
    try:
        code = work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int | None) else 1
    if sys.stdout is not None:  # None if the shell closed it
        sys.stdout.flush()
    return code


def _discard_output() -> None:
    """Send what stdout still buffers to the null device; Python would try to write it at exit, and report the error."""
    with suppress(OSError, ValueError):  # ValueError: stdout is not a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_error(message: str) -> int:
    """Print one line to stderr. Returns the exit code of a user's error."""
    _print(" ".join(message.split()))
    return 2


def _print(message: str) -> None:
    """Print one line to stderr, if it can be written to."""
    with suppress(OSError):
        print("seq2seq:", escaped(message), file=sys.stderr)


def os_error_sentence(error: OSError) -> str:
    """What the file system refused, in one sentence that names the file, or the output if there is none."""
    if error.filename is None:
        return f"the output cannot be written: {error.strerror}"
    return f"{shortened(error.filename, 500)} cannot be written or read: {error.strerror}"
