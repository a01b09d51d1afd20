"""Translates stdin to stdout with a bundle, and each line as it comes where the input pauses; without torch."""

import argparse
import json
import sys
from pathlib import Path

from .arguments import Parser, add_number, add_search_settings, add_threads, search_settings, tab_separated
from .bounds import SHORTLIST
from .errors import ConfigError, RunError, is_utf8, quoted
from .program import exit_code
from .stdin import stdin_windows


def main(argv: list[str]) -> None:
    """`python -m seq2seq.runtime BUNDLE [BUNDLE ...] < in > out`, or `python -m seq2seq.runtime verify BUNDLE`."""
    if argv[:1] == ["verify"]:
        _verify(argv[1:])
        return
    if argv == ["--version"]:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(__package__, version(__package__.partition(".")[0]))
        except PackageNotFoundError:
            print(__package__, "of a checkout that is not installed")
        return
    options = _parse(argv)

    from .translation import as_values, output_fields, warn_truncated
    from .translator import Translator

    translator = Translator.open(
        *options.bundles, threads=options.threads, shortlist=options.shortlist, **search_settings(options)
    )
    total = truncated = 0
    for window in stdin_windows(translator.search.window, lambda line, _: line):
        for found in translator.hypotheses(window):
            total, truncated = total + 1, truncated + found[0].truncated
            if options.json:
                print(json.dumps([as_values(one) for one in found], ensure_ascii=False))
                continue
            for rank, one in enumerate(found, 1):
                print(tab_separated(output_fields(one, rank, translator.search.n_best)))
        print(end="", flush=True)
    warn_truncated(truncated, total, translator.truncate)


def _verify(argv: list[str]) -> None:
    """Compare what a bundle gives now with what it gave when it was exported."""
    parser = Parser(
        "verify",
        "Check the files of a bundle, translate the sentences that its export was proved with, and compare with the"
        " output of the checkpoint, in float32, or else with that of the bundle itself at the export, whose BLEU was"
        " measured then. `seq2seq verify` measures it again.",
        program=f"python -m {__package__}",
        example="translator.s2s",
    )
    parser.add_argument("bundle", type=_bundle, metavar="BUNDLE", help="a folder or .s2s file")
    path = parser.parse_args(argv).bundle

    from .bundle import Bundle
    from .parity import SETTINGS, bundle_record, outputs, verify_lines
    from .translator import Translator

    record = bundle_record(Bundle.open(path))
    found = outputs(Translator.open(path, **SETTINGS), [one.source for one in record.sentences])
    lines, failure = verify_lines(record, found)
    print("\n".join(lines))
    if failure:
        raise RunError(f"{path} does not translate as when it was exported: {failure}")
    print(f"verified: {path}, {record.dtype}")


def _parse(argv: list[str]) -> argparse.Namespace:
    """The options."""
    parser = Parser(
        "",
        "Translate lines from stdin to stdout, in order, with a bundle that `seq2seq export` has made; where a pipe"
        " pauses, what has come is answered. With --n-best N the output has N lines for each line, with the fields"
        " rank, score and text, separated by tabs.",
        program=f"python -m {__package__}",
        usage=f"python -m {__package__} [OPTIONS] BUNDLE [BUNDLE ...] < INPUT > OUTPUT\n"
        f"       python -m {__package__} verify BUNDLE\n"
        f"       python -m {__package__} --version",
        example="translator.s2s --beam 10 < test.en > test.out",
    )
    parser.add_argument(
        "bundles", nargs="+", type=_bundle, metavar="BUNDLE", help="a folder or .s2s file; several are an ensemble"
    )
    add_threads(parser)
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON array for each line: its hypotheses, as objects with scores and subwords",
    )
    group = add_search_settings(parser, "bundle")
    add_number(
        group,
        "--shortlist",
        SHORTLIST,
        default=0,
        help="only the N likeliest translations of each source subword, if the bundle has a table of them: faster, and"
        " changes a few translations (default: 0, the whole vocabulary)",
    )
    return parser.parse_args(argv)


def _bundle(name: str) -> Path:
    """The type of an argument that is a path: one that is not UTF-8 is refused, as messages could not name it; so is
    an empty one, which would be the current folder."""
    if not name:
        raise ConfigError("BUNDLE is empty: it has to name a file or folder")
    if not is_utf8(name):
        raise ConfigError(f"{quoted(name)} is not UTF-8: all text on the command line has to be, names of files too")
    return Path(name)


def command() -> int:
    """What the shell calls; returns the exit code."""
    return exit_code(lambda: main(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(command())
