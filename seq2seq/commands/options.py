"""What do the commands that search share? Options made from the settings of the search, input lines."""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from seq2seq.config import SearchConfig
from seq2seq.config.choices import CHOICES
from seq2seq.data.readers import decode_line
from seq2seq.errors import ConfigError, choose


def add_search_options(parser: argparse.ArgumentParser) -> None:
    """One option per search setting, --length-penalty for length_penalty; what is not given stays as the run has it."""
    group = parser.add_argument_group("search", "what is not given is as the run has it")
    for field in dataclasses.fields(SearchConfig):
        kind: dict[str, Any] = {"type": type(field.default), "metavar": type(field.default).__name__.upper()}
        if isinstance(field.default, bool):
            kind = {"action": argparse.BooleanOptionalAction}
        elif choices := field.metadata["choices"]:
            kind = {"type": one_of(f"search.{field.name}", choices), "metavar": "{" + ",".join(choices) + "}"}
        group.add_argument(
            f"--{field.name.replace('_', '-')}", dest=field.name, default=None, help=field.metadata["help"], **kind
        )
    shortlist = "only so many translations of each source subword, as `seq2seq shortlist` learnt them: faster, and a little different"
    parser.add_argument("--shortlist", type=int, metavar="N", help=f"{shortlist} (default: 0, the whole vocabulary)")
    parser.add_argument(
        "--graphs", action="store_true", help="on a GPU: record each shape of step as a CUDA graph, and replay it"
    )


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """On what the model runs."""
    parser.add_argument("--device", default="cpu", help="torch device, such as cuda (default: cpu)")
    precisions = CHOICES["PRECISIONS"]
    parser.add_argument(
        "--precision", default="32", type=one_of("--precision", precisions), metavar="{" + ",".join(precisions) + "}",
        help="numbers that the model is held in: bf16 and int8 are faster, and translate a little differently (default: 32)",
    )  # fmt: skip


def one_of(name: str, choices: Sequence[str]) -> Callable[[str], str]:
    """What takes one of the choices, and names the nearest to anything else."""

    def chosen(value: str) -> str:
        try:
            return choose({choice: choice for choice in choices}, value, name)
        except ConfigError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return chosen


def search_options(options: argparse.Namespace) -> dict[str, Any]:
    """The search settings that were given, the shortlist, and graphs."""
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(SearchConfig)}
    given = {name: value for name, value in given.items() if value is not None}
    return given | {name: value for name in ("shortlist", "graphs") if (value := getattr(options, name))}


def stdin_lines() -> Iterator[str]:
    """Lines of stdin as they come, ended by newlines alone. DataError names a line that is not UTF-8."""
    for number, line in enumerate(sys.stdin.buffer, 1):
        yield decode_line(line, "stdin", number)


def tabbed(parts: Iterable[object]) -> str:
    """One line of several fields."""
    return "\t".join(f"{part:.4f}" if isinstance(part, float) else str(part) for part in parts)
