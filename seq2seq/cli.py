"""The command line: finds the command, runs it, and turns errors into a message and an exit code."""

import errno
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

import seq2seq
from seq2seq.errors import Seq2SeqError, escaped, unknown
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
    errno.EEXIST, errno.ENAMETOOLONG,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0 success, 2 a user's error, 130 interrupted, 141 stdout was closed."""
    name, *rest = [*(sys.argv[1:] if argv is None else argv)] or ["--help"]
    if name in ("-h", "--help"):
        return exit_code(lambda: print(_overview()))
    if name == "--version":
        return exit_code(lambda: print(f"seq2seq {seq2seq.__version__}"))
    if name not in COMMANDS:
        return _print_error(unknown("command", name, COMMANDS))
    return exit_code(lambda: _run_command(name, rest))


def exit_code(work: Callable[[], int | None]) -> int:
    """Call `work` and return its exit code, or that of its error. Exceptions that are bugs are passed on."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # As all input, whatever the terminal's locale; what UTF-8 cannot encode is printed as an escape.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        code = work() or 0
        if sys.stdout is not None:  # None if the shell closed it
            sys.stdout.flush()
        return int(code)
    except Seq2SeqError as error:
        return _print_error(str(error))
    except KeyboardInterrupt:
        print("seq2seq: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _discard_output()
        return 141
    except OSError as error:
        if error.errno not in USER_ERRNOS:
            raise
        try:
            sys.stdout.flush()  # keeps what was printed before the error
        except OSError:
            _discard_output()
        return _print_error(os_error_sentence(error))


def _run_command(name: str, argv: list[str]) -> int | None:
    """Import and run the command `name`."""
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
    print("seq2seq:", escaped(" ".join(message.split())), file=sys.stderr)
    return 2


def _overview() -> str:
    """The text of `seq2seq --help`."""
    rows = "\n".join(f"  {name:<12}{purpose}" for name, purpose in COMMANDS.items())
    return (
        f"usage: seq2seq COMMAND ...\n\n{rows}\n\n"
        "seq2seq COMMAND --help describes a command; seq2seq --version prints the version."
    )
