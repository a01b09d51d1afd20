"""What does `seq2seq translate` do? Lines from stdin to stdout, one for one, in order."""

import json
import os
import stat
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from seq2seq.commands import Parser
from seq2seq.commands.options import add_machine_options, add_search_options, search_options, stdin_lines, tabbed


def main(argv: list[str]) -> None:
    """`seq2seq translate RUN [RUN ...] < in > out`."""
    parser = Parser("translate", "Translate lines from stdin to stdout; several runs speak as an ensemble.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directory")
    parser.add_argument(
        "--attention", type=Path, metavar="FILE", help="write the attention of each translation as JSON lines"
    )
    parser.add_argument(
        "--alignment",
        action="store_true",
        help="print the word alignment behind each translation: source-target, from 0",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object a line: all hypotheses with scores and subwords"
    )
    add_machine_options(parser)
    add_search_options(parser)
    options = parser.parse_args(argv)
    for path in options.runs:
        if path.is_file():  # the commonest slip of a filter's users
            parser.error(
                f"{path} is a file, not a run directory: text is read from stdin, as in seq2seq translate RUN < {path}"
            )

    from seq2seq.translator import Translator, warn_truncated
    from seq2seq.utils.files import atomic_path, error_filename
    from seq2seq.utils.progress import ProgressCounter

    search = search_options(options)
    if sys.stdin.isatty():
        search["window"] = 1  # answer each line as it comes
    translator = Translator.open(*options.runs, device=options.device, precision=options.precision, **search)
    wanted = options.attention is not None or options.alignment
    total = truncated = 0
    with ExitStack() as stack:
        maps = None
        # counted only where the translations themselves are not on the screen
        progress = stack.enter_context(ProgressCounter("translated")).add if to_file() else None
        if options.attention:
            maps = stack.enter_context(
                stack.enter_context(atomic_path(options.attention, follow=True)).open("w", encoding="utf-8")
            )
        for found in translator.hypotheses(stdin_lines(), attention=wanted, progress=progress):
            total, truncated = total + 1, truncated + found[0].truncated
            for line in shown(found, options, translator.search.n_best):
                print(line, flush=translator.search.window == 1)
            if maps is not None:
                with error_filename(options.attention):
                    maps.write(
                        json.dumps({"line": total, "hypotheses": [attention(h) for h in found]}, ensure_ascii=False)
                        + "\n"
                    )
    warn_truncated(truncated, total, translator.truncate)


def to_file() -> bool:
    """Whether lines come from elsewhere than a keyboard and go to a file, so that nobody sees them."""
    try:
        return not sys.stdin.isatty() and stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):
        return False


def shown(found: list[Any], options: Any, n_best: int) -> list[str]:
    """The lines of output for one line of input: text alone, or number, score, text, alignment of each hypothesis."""
    from seq2seq.evaluation.alignment import word_links

    if options.json:
        return [json.dumps([described(h, options.alignment) for h in found], ensure_ascii=False)]
    links = [[word_links(h)] if options.alignment else [] for h in found]
    if n_best == 1:
        return [tabbed([found[0].text, *links[0]])]
    return [tabbed([rank, h.score, h.text, *more]) for rank, (h, more) in enumerate(zip(found, links, strict=True), 1)]


def described(found: Any, alignment: bool) -> dict[str, Any]:
    """A hypothesis as plain values."""
    from seq2seq.evaluation.alignment import word_links

    plain = {
        "text": found.text,
        "score": found.score,
        "log_prob": found.log_prob,
        "source": found.source,
        "target": found.target,
    }
    return plain | ({"alignment": word_links(found)} if alignment else {})


def attention(found: Any) -> dict[str, Any]:
    """Subwords and attention (target, source), rounded to five places."""
    weights = [] if found.attention is None else [[round(float(w), 5) for w in row] for row in found.attention]
    return {"source": found.source, "target": found.target, "attention": weights}
