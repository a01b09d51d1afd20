"""`seq2seq predict`: the labels of texts, with their probabilities, one line for each line of stdin."""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.commands.devices import add_devices, start_on_devices
from seq2seq.commands.options import add_device_options, check_gives_labels, open_translator, targets_of
from seq2seq.data.files import read_lines
from seq2seq.errors import ConfigError, DataError
from seq2seq.runtime.arguments import Parser, add_number, add_threads, tab_separated
from seq2seq.runtime.bounds import SEARCH_BOUNDS
from seq2seq.runtime.stdin import stdin_windows
from seq2seq.runtime.words import is_blank, single_spaces

if TYPE_CHECKING:
    from seq2seq.runtime.translation import LineTranslator, Translation


def main(argv: list[str]) -> None:
    """`seq2seq predict RUN [RUN ...] < texts`, where a RUN may be a bundle."""
    options = _parse(argv)
    check_gives_labels(options.runs, True)
    if start_on_devices("predict", argv, options):
        return

    from seq2seq.runtime.translation import warn_truncated

    device = {"device": options.device, "precision": options.precision, "threads": options.threads}
    translator = open_translator(*options.runs, **device)
    if options.n_best > 1:
        beam = max(options.n_best, translator.search.beam)
        translator = translator.with_search(n_best=options.n_best, beam=beam, sampling=False)
    if options.each:
        _print_each(translator, options)
        return
    total, truncated, targets = 0, 0, targets_of(options.runs[0])
    for window in _windows(options.input, translator.search.window):
        for found in translator.hypotheses(window):
            total, truncated = total + 1, truncated + found[0].truncated
            print(*_output_lines(found, options, targets), sep="\n")
        sys.stdout.flush()
    warn_truncated(truncated, total, translator.truncate)


def _print_each(translator: "LineTranslator", options: argparse.Namespace) -> None:
    """Print the probability of each label for each text, as a JSON object."""
    from seq2seq.evaluation.classes import OF_TEXTS, label_probabilities

    targets = targets_of(options.runs[0])
    if targets not in OF_TEXTS:
        raise ConfigError(f"--each would be ignored: {options.runs[0]} labels words, not texts")
    for window in _windows(options.input, translator.search.window):
        found = label_probabilities(translator, window, targets)
        for row in found.values:
            each = {label: float(f"{p:.6g}") for label, p in zip(found.labels, row, strict=True)}
            print(json.dumps(each, ensure_ascii=False))
        sys.stdout.flush()


def _windows(path: Path | None, size: int) -> Iterator[list[str]]:
    """Windows of the texts of a file, or of stdin."""
    if path is None:
        yield from stdin_windows(size, lambda line, number: _text(line, f"stdin:{number}"))
        return
    window = []
    for number, line in enumerate(read_lines(path), 1):
        try:
            window.append(_text(line, f"{path}:{number}"))
        except DataError:
            yield window  # what came before is labelled
            raise
        if len(window) == size:
            yield window
            window = []
    if window:
        yield window


def _text(line: str, where: str) -> str:
    """A line as labellers read it. Raises DataError for an empty one."""
    if is_blank(text := single_spaces(line)):
        raise DataError(f"{where} is empty: there is nothing to label")
    return text


def _output_lines(found: "Sequence[Translation]", options: argparse.Namespace, targets: str) -> list[str]:
    """The output for one text: labels and probability; or of several answers rank, labels and probability; or JSON."""
    if options.json:
        return [json.dumps([_answer(one, targets) for one in found], ensure_ascii=False)]
    rows = [[one.text, f"{math.exp(one.log_prob):.6g}"] for one in found]
    if options.n_best == 1:
        return [tab_separated(rows[0])]
    return [tab_separated([str(rank), *row]) for rank, row in enumerate(rows, 1)]


def _answer(found: "Translation", targets: str) -> dict[str, object]:
    """An answer as JSON, of tags with the probability of each, given the one before."""
    answer: dict[str, object] = {"labels": found.text.split(), "probability": math.exp(found.log_prob)}
    if targets == "tags":
        answer["probabilities"] = [math.exp(log_prob) for log_prob in found.token_log_probs[: len(found.ids)]]
    return answer


def _parse(argv: list[str]) -> argparse.Namespace:
    """The options."""
    parser = Parser(
        "predict",
        "Print the labels of each line of stdin, and their probability, separated by a tab. With --n-best N the output"
        " has up to N lines for each line, with the fields rank, labels and probability.",
        usage="seq2seq predict [OPTIONS] RUN [RUN ...] < INPUT > OUTPUT",
        example="RUN --n-best 3 < reviews.txt",
    )
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run directory or bundle; several are an ensemble"
    )
    parser.add_argument("--input", type=Path, metavar="FILE", help="read a file, which may be compressed, not stdin")
    add_number(
        parser,
        "--n-best",
        SEARCH_BOUNDS["beam"],
        default=1,
        help="print the likeliest N answers, of one label a text all labels if there are fewer (default: 1)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON array for each line: its answers, likeliest first"
    )
    parser.add_argument(
        "--each",
        action="store_true",
        help="print one JSON object for each line: the probability of each label by itself; of several labels a text"
        " these are independent",
    )
    add_device_options(parser)
    add_devices(parser)
    add_threads(parser)
    options = parser.parse_args(argv)
    for name in ("n_best", "json"):
        if options.each and getattr(options, name) != parser.get_default(name):
            raise ConfigError(f"--{name.replace('_', '-')} would be ignored: --each prints all labels")
    return options
