"""What does `seq2seq plot` do? The attention behind one sentence, in the terminal and as a picture."""

import os
import re
import sys
from pathlib import Path

from seq2seq.commands import Parser
from seq2seq.commands.options import add_machine_options, add_search_options, search_options
from seq2seq.errors import ConfigError, DataError
from seq2seq.utils.files import check_file


def main(argv: list[str]) -> None:
    """`seq2seq plot RUN --sentence TEXT [--target TEXT] [--png FILE]`."""
    parser = Parser("plot", "Show what each target word attended to: a map in the terminal, and as PNG.")
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory")
    parser.add_argument("--sentence", required=True, metavar="TEXT", help="source sentence")
    parser.add_argument("--target", metavar="TEXT", help="its translation; by default the best that the search finds")
    parser.add_argument("--subwords", action="store_true", help="rows and columns are subwords rather than words")
    parser.add_argument(
        "--png",
        type=Path,
        metavar="FILE",
        help="where the picture goes; by default into the run, if matplotlib is installed",
    )
    add_machine_options(parser)
    add_search_options(parser)
    options = parser.parse_args(argv)
    if not options.sentence.strip():
        raise DataError("--sentence is empty: there is nothing to attend to")

    given = search_options(options)
    if options.target is not None and given:
        raise ConfigError(
            f"--{next(iter(given)).replace('_', '-')} would be ignored: --target is given, nothing is searched for"
        )
    if given.get("n_best", 1) != 1:
        raise ConfigError(f"search.n_best={given['n_best']} would be ignored: the best hypothesis is what is shown")

    if options.png:
        check_file(options.png)

    from seq2seq.evaluation import heatmap
    from seq2seq.evaluation.alignment import word_weights
    from seq2seq.translator import Translator

    found = Translator.open(options.run, device=options.device, precision=options.precision, **given).attention(
        options.sentence, options.target
    )
    source, target, weights = (found.source, found.target, found.attention) if options.subwords else word_weights(found)
    print(found.text)
    width = os.get_terminal_size().columns if sys.stdout.isatty() else 100
    print(heatmap.render_text(weights, source, target, width))
    print(heatmap.legend())
    if path := options.png or default_path(options.run, options.sentence):
        heatmap.write_png(path, weights, source, target, found.text, follow=path == options.png)
        print(path)


def default_path(run: Path, sentence: str) -> Path | None:
    """A file in the run named by the sentence; None where no picture can be drawn. RunError where a link leads out of the run."""
    from importlib.util import find_spec

    from seq2seq.runs.directory import inside

    name = re.sub(r"\W+", "-", sentence.lower()).strip("-")[:60]
    return inside(run, "plots") / f"{name or 'sentence'}.png" if find_spec("matplotlib") else None
