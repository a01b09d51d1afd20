"""The command line: finds the command, runs it, and turns errors into a message and an exit code."""

import errno
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

import seq2seq
from seq2seq.errors import ConfigError, Seq2SeqError, escaped, is_utf8, quoted, unknown
from seq2seq.utils import process
from seq2seq.utils.console import log_to_stderr
from seq2seq.utils.files import os_error_sentence

COMMANDS = {  # module in seq2seq.commands -> purpose; the overview imports no command
    "train": "train a model, or a grid of models; writes run directories",
    "prepare": "read and check a corpus, train its tokenizer, and encode it",
    "translate": "translate lines from stdin to stdout with a trained run",
    "score": "log-probabilities of given translations under a trained run",
    "evaluate": "translate a test set and score it: BLEU, chrF, TER, ROUGE with confidence intervals",
    "compare": "compare runs, by variant over seeds, with paired tests: one table, or a report",
    "metrics": "score given text against references; needs no run",
    "shortlist": "learn likely translations of each subword, for faster search with a run",
    "plot": "show the attention of one translation, in the terminal and as PNG",
    "attentions": "list the attention variants with their formulas",
}

USER_ERRNOS = {  # errors of the file system that a user can mend
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR,
    errno.EEXIST, errno.ENAMETOOLONG, errno.EIO, errno.EBUSY, errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EMFILE,
    errno.ENFILE, errno.ESTALE, errno.ENOTSUP, errno.EPIPE,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0 success, 2 a user's error, 130 interrupted, 141 stdout was closed."""
    argv = sys.argv[1:] if argv is None else argv
    for word in argv:
        if not _is_readable(word):
            return _print_error(
                f"{quoted(word)} is not UTF-8: all text on the command line has to be, names of files too"
            )
    name, *rest = argv or ["--help"]
    if name in ("-h", "--help"):
        return exit_code(lambda: print(_overview()))
    if name == "--version":
        return exit_code(lambda: print(f"seq2seq {seq2seq.__version__}"))
    if name not in COMMANDS:
        return _print_error(unknown("command", name, COMMANDS))
    return exit_code(lambda: _run_command(name, rest))


def _is_readable(word: str) -> bool:
    """Whether a word of the command line is text: bytes that the locale cannot decode have to be UTF-8."""
    try:
        return is_utf8(word) or bool(os.fsencode(word).decode("utf-8"))
    except UnicodeError:
        return False


def exit_code(work: Callable[[], int | None]) -> int:
    """Call `work` and return its exit code, or that of its error. Exceptions that are bugs are passed on."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # As all input, whatever the terminal's locale; what UTF-8 cannot encode is printed as an escape.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        with process.handling(process.interrupt):
            code = _with_output(work)
        return int(code or 0)
    except Seq2SeqError as error:
        return _print_error(str(error))
    except KeyboardInterrupt:
        _discard_output()
        _print("interrupted")
        return 130
    except OSError as error:
        if error.errno == errno.EPIPE and error.filename is None:
            _discard_output()
            return 141
        if error.errno not in USER_ERRNOS:
            raise
        try:
            sys.stdout.flush()  # keeps what was printed before the error
        except OSError:
            _discard_output()
        return _print_error(os_error_sentence(error))


def _with_output(work: Callable[[], int | None]) -> int | None:
    """Call `work` and write what it printed, also where it ends by itself, as --help does."""
    try:
        code = work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int | None) else 1
    if sys.stdout is not None:  # None if the shell closed it
        sys.stdout.flush()
    return code


def _run_command(name: str, argv: list[str]) -> int | None:
    """Import and run the command `name`. Raises ConfigError in a folder that was deleted, where libraries fail."""
    try:
        os.getcwd()
    except OSError as error:
        raise ConfigError("the current folder cannot be read, or was deleted: change to another one") from error
    process.set_environment()
    log_to_stderr()
    command: Callable[[list[str]], int | None] = importlib.import_module(f"seq2seq.commands.{name}").main
    return command(argv)


def _discard_output() -> None:
    """Send what stdout still buffers to the null device; Python would try to write it at exit, and report the error."""
    with suppress(OSError, ValueError):  # ValueError: stdout is not a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_error(message: str) -> int:
    """Print one line to stderr. Returns the exit code of a user's error."""
    _print(" ".join(message.split()))
    return 2


def _print(message: str) -> None:
    """Print one line to stderr, if it can be written to."""
    with suppress(OSError):
        print("seq2seq:", escaped(message), file=sys.stderr)


def _overview() -> str:
    """The text of `seq2seq --help`."""
    rows = "\n".join(f"  {name:<12}{purpose}" for name, purpose in COMMANDS.items())
    return (
        f"usage: seq2seq COMMAND ...\n\n{rows}\n\n"
        "seq2seq COMMAND --help describes a command; seq2seq --version prints the version."
    )
