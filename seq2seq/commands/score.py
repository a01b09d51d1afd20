"""`seq2seq score`: log-probabilities of given translations."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.commands.devices import add_devices, start_on_devices
from seq2seq.commands.options import add_device_options, open_translator, targets_of
from seq2seq.errors import DataError
from seq2seq.runtime.arguments import Parser, tab_separated
from seq2seq.runtime.stdin import stdin_windows

if TYPE_CHECKING:
    from seq2seq.runtime.translation import LineTranslator


def main(argv: list[str]) -> None:
    """`seq2seq score RUN --source FILE --target FILE`, or tab-separated pairs on stdin."""
    parser = Parser(
        "score",
        "Print the log-probability of each given translation: the natural logarithm, with the end of the sentence.",
        example="RUN --source test.en --target test.de",
    )
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run directory or bundle; several are an ensemble"
    )
    parser.add_argument(
        "--source", type=Path, metavar="FILE", help="source lines (default: lines of `source TAB target` on stdin)"
    )
    parser.add_argument("--target", type=Path, metavar="FILE", help="target lines")
    parser.add_argument(
        "--per-token", action="store_true", help="print the mean over subwords, and their number, as well"
    )
    add_device_options(parser)
    add_devices(parser)
    options = parser.parse_args(argv)
    if (options.source is None) != (options.target is None):
        parser.error("--source and --target must be given together")
    if start_on_devices("score", argv, options):
        return

    from seq2seq.data.readers import read_parallel
    from seq2seq.runtime.translation import warn_truncated

    translator = open_translator(*options.runs, device=options.device, precision=options.precision)
    total = truncated = 0
    windows: Iterable[Iterable[tuple[str, str]]] = (
        [read_parallel(options.source, options.target)]
        if options.source
        else stdin_windows(translator.search.window, _pair)
    )
    targets = targets_of(options.runs[0])
    for pairs in windows:
        if targets not in ("", "text"):
            pairs = _labelled(pairs, targets, translator, str(options.target or "stdin"), total)
        for found in translator.forced_decode(pairs):
            total, truncated = total + 1, truncated + found.truncated
            fields: list[object] = [found.log_prob]
            if options.per_token:
                fields += [found.log_prob / max(len(found.target), 1), len(found.target)]
            print(tab_separated(fields))
        sys.stdout.flush()
    warn_truncated(truncated, total, translator.truncate)


def _labelled(
    pairs: Iterable[tuple[str, str]], targets: str, translator: "LineTranslator", what: str, before: int
) -> Iterator[tuple[str, str]]:
    """The same pairs, whose targets are labels that the model knows. Raises DataError for others.

    what: name of the file; before: how many of its lines came before."""
    from seq2seq.data.labels import labelled, unknown_label
    from seq2seq.data.readers import Pair

    known = translator.vocabularies.target.label_names
    checked = labelled((Pair(*pair) for pair in pairs), targets, what, "line", before + 1)
    for number, pair in enumerate(checked, before + 1):
        for label in {*pair.target.split()} - {*known}:
            raise unknown_label(label, known, f"{what}, line {number}")
        yield pair.source, pair.target


def _pair(line: str, number: int) -> tuple[str, str]:
    """The texts of `source TAB target`, line `number` of stdin. DataError names a line that has not exactly one tab."""
    source, tab, target = line.partition("\t")
    if not tab:
        raise DataError(f"stdin:{number}: no tab between source and target")
    if "\t" in target:
        raise DataError(f"stdin:{number}: more than one tab")
    return source, target
