"""What does `seq2seq score` do? Log-probabilities of given translations."""

from collections.abc import Iterator
from pathlib import Path

from seq2seq.commands import Parser
from seq2seq.commands.options import add_machine_options, stdin_lines, tabbed
from seq2seq.errors import DataError


def main(argv: list[str]) -> None:
    """`seq2seq score RUN --source F --target F`, or tab-separated pairs on stdin."""
    parser = Parser(
        "score", "Print the log-probability of each given translation: natural logarithm, end of sentence included."
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directory; several speak as an ensemble")
    parser.add_argument(
        "--source", type=Path, metavar="FILE", help="source lines; without it stdin holds `source TAB target`"
    )
    parser.add_argument("--target", type=Path, metavar="FILE", help="target lines")
    parser.add_argument(
        "--per-token", action="store_true", help="print also the mean over the subwords and their number"
    )
    add_machine_options(parser)
    options = parser.parse_args(argv)
    if (options.source is None) != (options.target is None):
        parser.error("--source and --target belong together")

    from seq2seq.data.readers import read_parallel
    from seq2seq.translator import Translator, warn_truncated

    pairs = read_parallel(options.source, options.target) if options.source else tabbed_pairs()
    translator = Translator.open(*options.runs, device=options.device, precision=options.precision)
    total = truncated = 0
    for found in translator.forced_decode(pairs):
        total, truncated = total + 1, truncated + found.truncated
        more = [found.log_prob / max(len(found.target), 1), len(found.target)] if options.per_token else []
        print(tabbed([found.log_prob, *more]))
    warn_truncated(truncated, total, translator.truncate)


def tabbed_pairs() -> Iterator[tuple[str, str]]:
    """`source TAB target` from stdin. DataError names a line without a tab."""
    for number, line in enumerate(stdin_lines(), 1):
        source, tab, target = line.partition("\t")
        if not tab:
            raise DataError(f"stdin:{number}: no tab between source and target")
        if "\t" in target:
            raise DataError(f"stdin:{number}: more than one tab")
        yield source, target
