"""`seq2seq translate`: translates stdin to stdout, in order, and each line as it comes where the input pauses."""

import argparse
import hashlib
import json
import logging
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from seq2seq.commands.devices import add_devices, start_on_devices
from seq2seq.commands.options import (
    add_device_options,
    add_search_options,
    check_gives_labels,
    open_translator,
    search_options,
)
from seq2seq.commands.shards import shard_argument
from seq2seq.commands.terms import TermFinder, add_term_options, with_prefixes
from seq2seq.data.files import read_lines
from seq2seq.runtime.arguments import Parser, add_threads, tab_separated
from seq2seq.runtime.stdin import stdin_windows

if TYPE_CHECKING:
    from seq2seq.runtime.translation import LineTranslator, Translation

log = logging.getLogger("seq2seq")


def main(argv: list[str]) -> None:
    """`seq2seq translate RUN [RUN ...] < in > out`, where a RUN may be a bundle."""
    options = _parse(argv)
    check_gives_labels(options.runs, False)
    if start_on_devices("translate", argv, options):
        return

    from seq2seq.runtime.translation import warn_truncated
    from seq2seq.utils.files import check_output, error_filename
    from seq2seq.utils.progress import ProgressCounter

    search = search_options(options)
    for name in ("attention", "output"):
        if path := getattr(options, name):
            check_output(f"--{name}", path)
    device = {"device": options.device, "precision": options.precision, "threads": options.threads}
    terms = TermFinder(options)
    translator = open_translator(*options.runs, **device, **search)
    if options.shard:
        _translate_shard(translator, terms, options)
        return
    with_attention = options.attention is not None or options.alignment
    total = truncated = 0
    with ExitStack() as stack:
        out = stack.enter_context(_text_file(options.output)) if options.output else None
        shown = options.progress or out or _output_is_hidden()
        progress = stack.enter_context(ProgressCounter("translated")).add if shown else None
        maps = stack.enter_context(_text_file(options.attention)) if options.attention else None
        for window in _windows(options, translator.search.window):
            lines, given = _given(window, terms, options)
            for found in translator.hypotheses(lines, attention=with_attention, progress=progress, **given):
                total, truncated = total + 1, truncated + found[0].truncated
                with error_filename(options.output) if options.output else nullcontext():
                    print(*_output_lines(found, options, translator.search.n_best), sep="\n", file=out)
                if maps is not None:
                    _write_attention(maps, options.attention, total, found)
            print(end="", flush=True)
    warn_truncated(truncated, total, translator.truncate)
    terms.log_applied()


Window = list[tuple[str, str]]  # lines and their prefixes


def _windows(options: argparse.Namespace, size: int) -> Iterator[Window]:
    """Windows of the lines of --input, or of stdin, each with its prefix."""
    windows = stdin_windows(size, lambda line, _: line) if options.input is None else _file_windows(options.input, size)
    return with_prefixes(windows, options.prefix, options.input or "stdin")


def _file_windows(path: Path, size: int) -> Iterator[list[str]]:
    lines = read_lines(path)
    while window := list(islice(lines, size)):
        yield window


def _given(window: Window, terms: TermFinder, options: argparse.Namespace) -> tuple[list[str], dict[str, Any]]:
    """The lines of a window, and what else `hypotheses` is given."""
    lines, given = terms.find([line for line, _ in window])
    return lines, given | ({"prefix": [start for _, start in window]} if options.prefix else {})


def _translate_shard(translator: "LineTranslator", terms: TermFinder, options: argparse.Namespace) -> None:
    """Translate the part --shard of --input to a file beside --output."""
    from seq2seq.commands.shards import write_shard
    from seq2seq.runs.directory import model_hash
    from seq2seq.runtime.translation import warn_truncated
    from seq2seq.utils.progress import ProgressCounter

    shard, search, count = options.shard, translator.search, 0
    text, starts = hashlib.sha256(), hashlib.sha256()
    for line, start in chain.from_iterable(_windows(options, search.window)):
        text.update(f"{line}\n".encode())
        starts.update(f"{start}\n".encode())
        count += 1
    path, part = shard.path(options.output), shard.windows(count, search.window)
    made_of = {
        "text": text.hexdigest(),
        "models": [model_hash(one) for one in options.runs],
        "search": vars(search),
        "output": [options.json, options.alignment, options.shortlist, options.precision],
        **terms.made_of(),
        **({"prefix": starts.hexdigest()} if options.prefix else {}),
    }
    windows = islice(_windows(options, search.window), part.start, part.stop)
    lines = min(count, part.stop * search.window) - min(count, part.start * search.window)
    cut = []
    with ProgressCounter("translated", lines) as progress:

        def translate(window: Window) -> Iterator[str]:
            texts, given = _given(window, terms, options)
            for found in translator.hypotheses(texts, attention=options.alignment, progress=progress.add, **given):
                cut.append(found[0].truncated)
                yield from _output_lines(found, options, search.n_best)

        if write_shard(path, windows, translate, made_of):
            warn_truncated(sum(cut), len(cut), translator.truncate)
            terms.log_applied()
            log.info("wrote %s, %d lines", path, lines)
        else:
            log.info("%s is complete already", path)


def _parse(argv: list[str]) -> argparse.Namespace:
    """The options. A usage error if a file is given as a run directory."""
    parser = Parser(
        "translate",
        "Translate lines from stdin to stdout, in order; where a pipe pauses, what has come is answered. With --n-best"
        " N the output has N lines for each line, with the fields rank, score and text, separated by tabs.",
        usage="seq2seq translate [OPTIONS] RUN [RUN ...] < INPUT > OUTPUT",
        example="runs/toy-demo-s1-bc617b45 --beam 10 < test.en > test.out",
    )
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run directory or bundle; several are an ensemble"
    )
    parser.add_argument("--input", type=Path, metavar="FILE", help="read a file, which may be compressed, not stdin")
    parser.add_argument(
        "--prefix",
        type=Path,
        metavar="FILE",
        help="a file, which may be compressed, with a line for each line of input: what its translation begins with;"
        " where it is empty, the translation is free",
    )
    add_term_options(parser)
    parser.add_argument("--output", type=Path, metavar="FILE", help="write to a file, not to stdout, at the end")
    parser.add_argument(
        "--shard",
        type=shard_argument,
        metavar="N/M",
        help="only part N of M of --input, written to OUTPUT.N-of-M: a call that was interrupted resumes when it is"
        " repeated, and all parts in their order are the output of the whole",
    )
    parser.add_argument(
        "--attention", type=Path, metavar="FILE", help="write the attention of each translation as JSON lines"
    )
    parser.add_argument(
        "--alignment",
        action="store_true",
        help="print the word alignment after each translation: source-target pairs, counted from 0",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON array for each line: its hypotheses, as objects with scores and subwords",
    )
    parser.add_argument(
        "--progress",
        action="store_true",
        help="log on stderr how many lines are translated (default: only where the output is a file)",
    )
    add_device_options(parser)
    add_devices(parser)
    add_threads(parser)
    add_search_options(parser)
    options = parser.parse_args(argv)

    if options.shard and not (options.input and options.output):
        parser.error("--shard needs --input FILE and --output FILE")
    if options.shard and options.attention:
        parser.error("--shard does not work with --attention")

    from seq2seq.runs.directory import is_artifact

    for path in options.runs:
        if path.is_file() and not is_artifact(path):  # the most common mistake: the text in place of a run
            parser.error(
                f"{path} is a file, not a run directory: text is read from stdin, as in seq2seq translate RUN < {path}"
            )
    return options


def _output_is_hidden() -> bool:
    """Whether stdin is not a terminal and stdout is a file, so that progress lines are of use."""
    try:
        return sys.stdin is not None and not sys.stdin.isatty() and stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):
        return False


def _output_lines(found: "Sequence[Translation]", options: argparse.Namespace, n_best: int) -> list[str]:
    """The output for one input line: its text; or rank, score and text of each hypothesis; or JSON."""
    from seq2seq.evaluation.alignment import word_links
    from seq2seq.runtime.translation import output_fields

    if options.json:
        return [json.dumps([_as_dict(one, options.alignment) for one in found], ensure_ascii=False)]
    lines = []
    for rank, one in enumerate(found, 1):
        fields = output_fields(one, rank, n_best)
        if options.alignment:
            fields.append(word_links(one))
        lines.append(tab_separated(fields))
    return lines[:1] if n_best == 1 else lines


def _as_dict(found: "Translation", alignment: bool) -> dict[str, Any]:
    """A hypothesis as plain values."""
    from seq2seq.evaluation.alignment import word_links
    from seq2seq.runtime.translation import as_values

    return as_values(found) | ({"alignment": word_links(found)} if alignment else {})


@contextmanager
def _text_file(path: Path) -> Iterator[IO[str]]:
    """The file of --attention or --output, which replaces `path` when the translation is complete."""
    from seq2seq.utils.files import atomic_path, error_filename

    with atomic_path(path, follow=True) as temporary:
        file = temporary.open("w", encoding="utf-8")
        try:
            yield file
        finally:
            with error_filename(path):  # closing writes the rest; an error in the block may be of stdout
                file.close()


def _write_attention(file: IO[str], path: Path, line: int, found: "Sequence[Translation]") -> None:
    """Write the attention of each hypothesis of a line, counted from 1: subwords, and weights (target, source)."""
    from seq2seq.utils.files import error_filename

    hypotheses = []
    for one in found:
        weights = [] if one.attention is None else [[round(float(w), 5) for w in row] for row in one.attention]
        hypotheses.append({"source": one.source, "target": one.target, "attention": weights})
    with error_filename(path):
        file.write(json.dumps({"line": line, "hypotheses": hypotheses}, ensure_ascii=False) + "\n")
