"""Which commands are there, and how does each of them end?"""

import errno
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import seq2seq
from seq2seq.errors import Seq2SeqError, unknown
from seq2seq.utils import process
from seq2seq.utils.console import log_to_stderr


class Command(NamedTuple):
    """A command: `module` has `main(argv: list[str]) -> int | None`, and is imported when the command is used."""

    module: str
    purpose: str  # kept here so that the overview imports nothing


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0 done, 2 for what the user can mend, 130 interrupted, 141 reader gone."""
    name, *rest = [*(sys.argv[1:] if argv is None else argv)] or ["--help"]
    if name in ("-h", "--help"):
        return run(lambda: print(overview()))
    if name == "--version":
        return run(lambda: print(f"seq2seq {seq2seq.__version__}"))
    if name not in COMMANDS:
        return complain(unknown("command", name, COMMANDS))
    return run(lambda: start(name, rest))


def start(name: str, argv: list[str]) -> int | None:
    """Import command `name` and run it."""
    process.set_environment()
    log_to_stderr()
    command: Callable[[list[str]], int | None] = importlib.import_module(
        f"seq2seq.commands.{COMMANDS[name].module}"
    ).main
    return command(argv)


def run(work: Callable[[], int | None]) -> int:
    """Do it; an error that is no fault of the user keeps its traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # as what is read, whatever the terminal is said to speak
    try:
        code = work() or 0
        if sys.stdout is not None:  # none where it was closed
            sys.stdout.flush()
        return int(code)
    except Seq2SeqError as error:
        return complain(str(error))
    except KeyboardInterrupt:
        print("seq2seq: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        drop_output()
        return 141
    except OSError as error:
        if error.errno not in DENIED:
            raise
        try:
            sys.stdout.flush()  # what was printed before is not lost by it
        except OSError:
            drop_output()
        return complain(f"{error.filename or 'a file or the output'} cannot be written or read: {error.strerror}")


def drop_output() -> None:
    """What stdout could not take, Python would try again at exit, and complain."""
    with suppress(OSError, ValueError):  # one that is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(message: str) -> int:
    """One line on stderr; returns the exit code of what the user can mend."""
    print("seq2seq:", " ".join(message.split()), file=sys.stderr)
    return 2


def overview() -> str:
    """The text of `seq2seq --help`."""
    rows = "\n".join(f"  {name:<12}{command.purpose}" for name, command in COMMANDS.items())
    return f"usage: seq2seq COMMAND ...\n\n{rows}\n\nseq2seq COMMAND --help tells more of one; seq2seq --version says which this is."


DENIED = {  # what a user's file system answers, and he can mend
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EEXIST,
    errno.ENAMETOOLONG,
}  # fmt: skip

COMMANDS = {
    "train": Command("train", "train a model from settings; writes a run directory"),
    "prepare": Command("prepare", "read and check a corpus, train its tokenizer, and report on both"),
    "translate": Command("translate", "translate lines from stdin to stdout with a trained run"),
    "score": Command("score", "log-probabilities of given translations under a trained run"),
    "evaluate": Command(
        "evaluate", "translate a test set and score it: BLEU, chrF, TER, ROUGE with confidence intervals"
    ),
    "compare": Command(
        "compare", "put runs side by side, by variant over seeds, with paired tests: one table, or a report"
    ),
    "metrics": Command("metrics", "score given text against references: the same figures without a run"),
    "shortlist": Command(
        "shortlist", "learn which target subwords translate each source subword, for faster searches in a run"
    ),
    "plot": Command("plot", "show what each target word attended to: a map in the terminal and as PNG"),
    "attentions": Command("attentions", "list the attention variants with their formulas"),
}
