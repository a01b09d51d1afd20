"""The command line: finds the command, runs it, and turns errors into a message and an exit code."""

import importlib
import os
import sys
from collections.abc import Callable, Sequence

import seq2seq
from seq2seq.errors import ConfigError, is_utf8, quoted, unknown
from seq2seq.runtime.program import exit_code
from seq2seq.utils import process
from seq2seq.utils.console import log_to_stderr

COMMANDS = {  # module in seq2seq.commands -> purpose; the overview imports no command
    "train": "train a model, or a grid of models; writes run directories",
    "prepare": "read and check a corpus, train its tokenizer, and encode it",
    "translate": "translate lines from stdin to stdout with a trained run",
    "interactive": "translate what is typed, with alternatives and their attention",
    "predict": "label texts from stdin with a trained classifier or labeller, with probabilities",
    "serve": "answer requests over HTTP, as LibreTranslate does, with trained runs or artifacts",
    "score": "log-probabilities of given translations under a trained run",
    "evaluate": "translate a test set and score it: BLEU, chrF, TER, ROUGE with confidence intervals",
    "compare": "compare runs, by variant over seeds, with paired tests: one table, or a report",
    "export": "write a run as an artifact that translates without PyTorch, proved to give its output",
    "verify": "translate with an artifact again, and compare with the checkpoint that it was exported from",
    "doctor": "check this machine, and a training with some settings, before it starts",
    "check": "say which formats a model with these settings can be exported to, before it is trained",
    "import": "write a model of another toolkit as a run: Marian (OPUS-MT) or OpenNMT-py",
    "metrics": "score given text against references; needs no run",
    "shortlist": "learn likely translations of each subword, for faster search with a run",
    "selftest": "kill and resume a small training on this machine, and compare it with one that was left alone",
    "erase": "whether a classifier's attention explains its labels, by erasing words",
    "plot": "show the attention of one translation, in the terminal and as PNG",
    "attentions": "list the attention variants with their formulas",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code, as docs/reference/command-line.md lists them."""
    return exit_code(lambda: run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int | None:
    """Run one command. Raises its errors."""
    for word in argv:
        if not _is_readable(word):
            raise ConfigError(
                f"{quoted(word)} is not UTF-8, as all text on the command line has to be, names of files too"
            )
    name, *rest = argv or ["--help"]
    if name in ("-h", "--help"):
        print(_overview())
    elif name == "--version":
        print(f"seq2seq {seq2seq.__version__}")
    elif name not in COMMANDS:
        raise ConfigError(unknown("command", name, COMMANDS))
    else:
        return _run_command(name, rest)
    return 0


def _is_readable(word: str) -> bool:
    """Whether a word of the command line is text: bytes that the locale cannot decode have to be UTF-8."""
    try:
        return is_utf8(word) or bool(os.fsencode(word).decode("utf-8"))
    except UnicodeError:
        return False


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


def _overview() -> str:
    """The text of `seq2seq --help`."""
    rows = "\n".join(f"  {name:<12}{purpose}" for name, purpose in COMMANDS.items())
    return (
        f"usage: seq2seq COMMAND ...\n\n{rows}\n\n"
        "seq2seq COMMAND --help describes a command; seq2seq --version prints the version."
    )
