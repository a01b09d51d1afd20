"""Pictures of attention heatmaps, by matplotlib. Rows are T target words, columns S source words, weights from 0 to 1.

Sizes are in inches and depend on the numbers of words; a word is shortened and a title is wrapped to fit them.
"""

import logging
import warnings
from collections.abc import Sequence
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from seq2seq.errors import ConfigError
from seq2seq.evaluation.fonts import choose_fonts, missing_sentence
from seq2seq.evaluation.heatmap import checked, display_width, printable, shorten_middle, wrap_columns
from seq2seq.evaluation.scores import Array
from seq2seq.utils.files import atomic_write

log = logging.getLogger("seq2seq")

FORMATS = ("png", "pdf", "svg", "jpg", "jpeg", "webp", "tif", "tiff", "eps", "ps")  # suffixes that matplotlib writes
DPI = 150
CELL = 0.3  # of a word's row or column; smaller where there are more than MAX_SIDE holds
MIN_SIDE, MAX_SIDE = 1.6, 24.0  # of the map; 24 inches are 3,600 pixels
FONT, SMALLEST_FONT, TITLE_FONT = 10.0, 6.0, 12.0  # points
BAR = 0.2  # width of the colour bar
MAX_WORD = 24  # columns of a terminal
MIN_WIDTH = 5.0  # of the picture, so that a title has room
TITLE_LINES = 4


class Axis(NamedTuple):
    """How the words of one side are laid out."""

    side: float  # inches of the map
    font: float  # points
    step: int  # every step-th word is written
    words: list[str]  # shortened
    margin: float  # inches that the longest word takes


def write_picture(
    path: Path, weights: Any, source: Sequence[str], target: Sequence[str], title: str = "", follow: bool = True
) -> None:
    """Write the heatmap of weights (T, S) as a picture, atomically; `follow` as in `files.atomic_write`.

    The suffix of `path`, one of FORMATS, is its format; without a suffix it is a PNG. Characters that no installed font
    has are logged. Raises ConfigError without matplotlib, an optional extra, and for another suffix; DataError for
    weights of another shape.
    """
    suffix = picture_format(path)
    array = checked(weights, source, target)
    source, target = [printable(word) for word in source], [printable(word) for word in target]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # one line about all of them is logged instead
        figure = _figure(array, source, target, printable(title))
        picture = BytesIO()  # matplotlib seeks in the file, which a pipe cannot
        figure.savefig(picture, format=suffix, dpi=DPI)
    with atomic_write(path, follow) as temporary:
        temporary.write_bytes(picture.getvalue())


def picture_format(path: Path) -> str:
    """The format that the suffix of `path` names: "png" without one. ConfigError for one that matplotlib lacks."""
    suffix = path.suffix[1:].lower()
    if suffix and suffix not in FORMATS:
        raise ConfigError(f"{path}: no picture can be written as .{suffix}; choose one of: .{', .'.join(FORMATS)}")
    return suffix or "png"


def _figure(array: Array, source: Sequence[str], target: Sequence[str], title: str) -> Any:
    """A matplotlib Figure without pyplot, so that no display, backend or global state is touched."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("a picture needs matplotlib, which is not installed: pip install 'seq2seq[plot]'") from error
    columns, rows = lay_out(source), lay_out(target)
    width = max(rows.margin + columns.side + 1.4, MIN_WIDTH)  # with the colour bar
    lines = wrap_title(title, width)
    height = columns.margin + rows.side + 0.4 + 0.25 * len(lines)
    families, missing = choose_fonts("".join([*columns.words, *rows.words, *lines]))
    if missing:
        log.warning("%s", missing_sentence(missing))
    # A $ in a word is no formula.
    text: dict[str, Any] = {"fontfamily": families, "parse_math": False}
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    # The default extent, but also of a translation without words, where that would be empty.
    extent = (-0.5, max(len(source), 1) - 0.5, max(len(target), 1) - 0.5, -0.5)
    image = axes.imshow(array, cmap="Greys", vmin=0, vmax=1, aspect="auto", interpolation="nearest", extent=extent)
    axes.xaxis.tick_top()
    for axis, set_ticks, rotation in ((columns, axes.set_xticks, 90), (rows, axes.set_yticks, 0)):
        ticks = range(0, len(axis.words), axis.step)
        set_ticks(ticks, axis.words[:: axis.step], fontsize=axis.font, rotation=rotation, **text)
    shrink_to_fit(figure.suptitle("\n".join(lines), fontsize=TITLE_FONT, **text))
    figure.colorbar(image, label="attention weight", fraction=BAR / columns.side, aspect=1.3 * rows.side / BAR)
    return figure


def shrink_to_fit(title: Any) -> None:
    """A smaller font for a title of wide letters that would leave the picture."""
    share = title.get_window_extent().width / (0.97 * title.figure.bbox.width)
    title.set_fontsize(TITLE_FONT / max(share, 1))


def lay_out(words: Sequence[str]) -> Axis:
    """Font, shortened words and sizes for one side of the map, so that no word covers another."""
    side = min(max(CELL * len(words), MIN_SIDE), MAX_SIDE)
    cell = side / max(len(words), 1)
    font = min(FONT, max(SMALLEST_FONT, 0.75 * 72 * cell))
    step = ceil(font / (0.85 * 72 * cell))
    shown = [shorten_middle(word, MAX_WORD) for word in words]
    return Axis(side, font, step, shown, max(map(display_width, shown), default=0) * column_width(font))


def column_width(font: float) -> float:
    """Inches that a terminal's column takes in the picture: 0.6 of the font's size, as in DejaVu Sans."""
    return 0.6 * font / 72


def wrap_title(title: str, width: float) -> list[str]:
    """At most TITLE_LINES lines that fit into `width` inches; a longer title is shortened in its middle."""
    columns = int((width - 0.3) / column_width(TITLE_FONT))
    lines = wrap_columns(title, columns)
    for room in range(TITLE_LINES * columns, 0, -columns // 4):
        if len(lines) <= TITLE_LINES:
            break
        lines = wrap_columns(shorten_middle(title, room), columns)
    return lines
