"""The argument parser of the commands, and options that the runtime's own command shares with them."""

import argparse
import dataclasses
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .bounds import THREADS, Bounds
from .errors import ConfigError, choose, escaped, nearest_hint, quoted, shortened
from .fields import help_text
from .search_config import SearchConfig


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, exit code 2, and name the option nearest to an unknown one."""

    def __init__(
        self, command: str, description: str, example: str = "", program: str = "seq2seq", **options: Any
    ) -> None:
        """command: of `program`, '' if it has none; example: its arguments in a typical call."""
        called = f"{program} {command}".rstrip()
        epilog = f"example: {called} {example}" if example else None
        super().__init__(prog=called, description=description, epilog=epilog, allow_abbrev=False, **options)

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """As argparse's, which up to Python 3.12 drops a value that is `--`, as in --sentence=--."""
        if not action.option_strings or arg_strings != ["--"]:
            return super()._get_values(action, arg_strings)
        value = self._get_value(action, "--")
        return [value] if action.nargs == "+" else value

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        """As argparse's, but the empty path, which is that of the current folder, is refused."""
        if action.type is Path and not arg_string:
            name = "/".join(action.option_strings) or action.metavar
            raise ConfigError(f"{name} is empty: it has to name a file or folder")
        return super()._get_value(action, arg_string)

    def error(self, message: str) -> NoReturn:
        options = [name for name in self._option_string_actions if name.startswith("--")]
        self.exit(2, f"seq2seq: {escaped(_usage_error(message, options))}; {self.prog} --help lists the options\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Raises OSError where argparse's own would hide that the output cannot be written."""
        print(message, end="", file=file or sys.stderr)


USAGE_ERRORS = {  # pattern of a message of argparse -> how we say it
    r"the following arguments are required: (.*, .*)": r"\1 are missing",
    r"the following arguments are required: (.*)": r"\1 is missing",
    r"argument (\S+): expected one argument": r"\1 needs a value",
    r"argument (\S+): expected at least one argument": r"\1 needs at least one value",
    r"argument (\S+): ignored explicit argument '(.*)'": r"\1=\2: this option takes no value",
    r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)": r"\1=\2 is unknown; choose one of: \3",
    r"argument [^:]*: (.*)": r"\1",  # of a function of ours
}


def _usage_error(message: str, options: Sequence[str]) -> str:
    """A message of argparse in our words; for an unknown option the nearest of `options`, or all of them."""
    if unrecognized := re.fullmatch(r"unrecognized arguments: (\S+).*", message, re.DOTALL):
        wrong = unrecognized[1].split("=")[0]
        if not wrong.startswith("-"):
            return f"{shortened(wrong)} is one argument too many"
        hint = nearest_hint(wrong, options, str) or f"; choose one of: {', '.join(options)}"
        return f"{shortened(wrong)} is not an option{hint}"
    for pattern, ours in USAGE_ERRORS.items():
        if found := re.fullmatch(pattern, message, re.DOTALL):
            return found.expand(ours)
    return message


def add_search_settings(parser: argparse.ArgumentParser, source: str = "run") -> "argparse._ArgumentGroup":
    """An option for each search setting, --length-penalty for length_penalty. Returns their group.

    source: what the defaults are those of."""
    group = parser.add_argument_group("search settings", f"default: those of the {source}")
    for field in dataclasses.fields(SearchConfig):
        name = f"--{field.name.replace('_', '-')}"
        settings: dict[str, Any] = {"dest": field.name, "help": help_text(field)}
        if isinstance(field.default, bool):
            group.add_argument(name, action=argparse.BooleanOptionalAction, **settings)
        elif choices := field.metadata["choices"]:
            add_choice(group, name, choices, label=f"search.{field.name}", **settings)
        else:
            add_number(group, name, field.metadata["bounds"], label=f"search.{field.name}", **settings)
    return group


def add_threads(parser: "argparse._ActionsContainer") -> None:
    """--threads."""
    add_number(
        parser,
        "--threads",
        THREADS,
        default=0,
        help="threads that compute one step (default: 0, one for a sentence alone, since waiting for others costs more"
        " than they bring, and all cores for batches)",
    )


def search_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The options of `add_search_settings` that were given, by name."""
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(SearchConfig)}
    return {name: value for name, value in given.items() if value is not None}


def add_choice(
    parser: "argparse._ActionsContainer", name: str, choices: Sequence[str], *, label: str = "", **settings: Any
) -> None:
    """An option that takes one of `choices`. Its error calls it `label`, and names the nearest choice."""

    def choice(value: str) -> str:
        try:
            return choose(dict(zip(choices, choices, strict=True)), value, label or name)
        except ConfigError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    parser.add_argument(name, type=choice, **{"metavar": "{" + ",".join(choices) + "}", **settings})


def add_number(
    parser: "argparse._ActionsContainer",
    name: str,
    bounds: Bounds,
    *,
    label: str = "",
    allowed: float | None = None,
    **settings: Any,
) -> None:
    """An option that takes a number within `bounds`, or `allowed`. Its errors, ConfigError, call it `label`."""
    kind, wanted = (int, "an integer") if bounds.integer else (float, "a number")

    def number(text: str) -> float:
        try:
            value: float = kind(text)
        except ValueError:  # also for an integer of more digits than Python reads
            raise ConfigError(f"{label or name}={quoted(text)} is not {wanted}") from None
        if value != allowed:
            bounds.check(label or name, value)
        return value

    parser.add_argument(name, type=number, metavar="N" if kind is int else "X", **settings)


def tab_separated(fields: Iterable[object]) -> str:
    """One line of fields; floats with four decimals."""
    return "\t".join(f"{field:.4f}" if isinstance(field, float) else str(field) for field in fields)
