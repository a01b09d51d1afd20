"""`seq2seq plot`: the attention behind one translation, in the terminal and as a picture."""

import argparse
import logging
import os
import re
import sys
from pathlib import Path

from seq2seq.commands.options import (
    add_device_options,
    add_search_options,
    open_translator,
    search_options,
    text_argument,
)
from seq2seq.errors import ConfigError, DataError
from seq2seq.runtime.arguments import Parser
from seq2seq.runtime.words import is_blank
from seq2seq.utils.files import check_output

log = logging.getLogger("seq2seq")


def main(argv: list[str]) -> None:
    """`seq2seq plot RUN --sentence TEXT [--target TEXT] [--png FILE]`."""
    options = _parse(argv)
    search = search_options(options)
    if is_blank(options.sentence):
        raise DataError("--sentence is empty: there is nothing to attend to")
    if options.target is not None and search:
        option = next(iter(search)).replace("_", "-")
        raise ConfigError(f"--{option} would be ignored: with --target there is no search")
    if search.get("n_best", 1) != 1:
        raise ConfigError(f"search.n_best={search['n_best']} would be ignored: only the best hypothesis is shown")

    from seq2seq.evaluation import heatmap, picture
    from seq2seq.evaluation.alignment import word_weights
    from seq2seq.runs.directory import is_artifact

    if options.png:
        check_output("--png", options.png)
        picture.picture_format(options.png)
    translator = open_translator(options.run, device=options.device, precision=options.precision, **search)
    found = translator.attention(options.sentence, options.target)
    source, target, weights = (found.source, found.target, found.attention) if options.subwords else word_weights(found)
    print(found.text)
    width = os.get_terminal_size().columns if sys.stdout.isatty() else 100
    print(heatmap.render_text(weights, source, target, width))
    print(heatmap.legend())
    artifact = is_artifact(options.run)
    if path := options.png or (None if artifact else _default_path(options.run, options.sentence)):
        picture.write_picture(path, weights, source, target, found.text, follow=path == options.png)
        print(path)
    elif artifact:
        log.info("no picture was written: a bundle has no folder for it; --png FILE names one")
    else:
        log.info("no picture was written: matplotlib is not installed (pip install 'seq2seq[plot]')")


def _parse(argv: list[str]) -> argparse.Namespace:
    """The options, unchecked."""
    parser = Parser(
        "plot",
        "Translate a sentence and show how much each target word attended to each source word: as a map in the"
        " terminal, and as a PNG if matplotlib is installed.",
        usage="seq2seq plot [OPTIONS] RUN --sentence TEXT",
        example='RUN --sentence "The old teacher opens the window."',
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory or bundle")
    parser.add_argument("--sentence", type=text_argument, required=True, metavar="TEXT", help="source sentence")
    parser.add_argument(
        "--target",
        type=text_argument,
        metavar="TEXT",
        help="its translation (default: the best that the search finds)",
    )
    parser.add_argument("--subwords", action="store_true", help="rows and columns are subwords instead of words")
    parser.add_argument(
        "--png",
        type=Path,
        metavar="FILE",
        help="picture, a PNG or what its suffix names, such as .pdf or .svg (default: a PNG in RUN/plots, named after"
        " the sentence; of a bundle none)",
    )
    add_device_options(parser)
    add_search_options(parser)
    return parser.parse_args(argv)


def _default_path(run: Path, sentence: str) -> Path | None:
    """RUN/plots/SENTENCE.png; None without matplotlib. RunError if RUN/plots is a link that leads out of the run."""
    from importlib.util import find_spec

    from seq2seq.runs.directory import path_inside

    name = re.sub(r"\W+", "-", sentence.lower()).strip("-")[:60].encode()[:150].decode(errors="ignore")
    name = os.fsdecode(name.encode()) or "sentence"  # as bytes, where the locale has no such letters
    return path_inside(run, "plots") / f"{name}.png" if find_spec("matplotlib") else None
