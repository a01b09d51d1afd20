"""Attention heatmaps as text for a terminal, or as a PNG.

Rows are T target words, columns S source words, weights from 0 to 1.
"""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wcwidth import iter_graphemes, wcswidth

from seq2seq.errors import ConfigError, DataError
from seq2seq.evaluation.alignment import to_numpy
from seq2seq.evaluation.scores import Array
from seq2seq.utils.files import atomic_write

SHADES = ((0.8, "█"), (0.6, "▓"), (0.4, "▒"), (0.2, "░"), (0.05, "·"), (0.0, " "))  # the least weight of each
BIDI_CONTROLS = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def render_text(weights: Any, source: Sequence[str], target: Sequence[str], width: int = 80) -> str:
    """The heatmap of weights (T, S) as lines of at most `width` columns, which should be 20 or more.

    If it is too wide, source words are cut, all to one length that is as large as fits; if it still is, the last source
    words are left out, and a line gives their number. Target words get at most a quarter of the width. Raises DataError
    for weights of another shape.
    """
    array = _checked(weights, source, target)
    names, heads = [printable(word) for word in target], [printable(word) for word in source]
    margin = min(max((display_width(name) for name in names), default=0), max(width // 4, 1))
    shown = heads[: max((width - margin) // 2, 1)]
    cut = max(map(display_width, heads), default=1)
    while cut > 1 and _header_width(shown, cut) > width - margin:
        cut -= 1
    heads = [fit_width(head, min(display_width(head), cut) or 1) for head in shown]
    lines = [" ".join(["".ljust(margin), *heads])]
    for name, row in zip(names, array, strict=True):
        cells = (shade(float(weight), display_width(head)) for head, weight in zip(heads, row, strict=False))
        lines.append(" ".join([fit_width(name, margin), *cells]))
    if left_out := len(source) - len(shown):
        lines.append(f"(+{left_out} source words)")
    return "\n".join(line.rstrip() for line in lines)


def shade(weight: float, width: int) -> str:
    """`width` block characters that are the darker, the larger the weight is."""
    return next((mark for least, mark in SHADES if weight >= least), " ") * width


def legend() -> str:
    """The least weight of each character of `shade`, in one line."""
    return "  ".join(f"{mark} from {least:g}" for least, mark in reversed(SHADES) if mark.strip())


def write_png(
    path: Path, weights: Any, source: Sequence[str], target: Sequence[str], title: str = "", follow: bool = True
) -> None:
    """Write the heatmap of weights (T, S) as a PNG file, atomically; `follow` as in `files.atomic_write`.

    Raises ConfigError without matplotlib, an optional extra; DataError for weights of another shape.
    """
    array = _checked(weights, source, target)
    figure = _figure(array, [printable(word) for word in source], [printable(word) for word in target], title)
    with atomic_write(path, follow) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def _figure(array: Array, source: Sequence[str], target: Sequence[str], title: str) -> Any:
    """A matplotlib Figure without pyplot, so that no display, backend or global state is touched."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("a PNG needs matplotlib, which is not installed: pip install 'seq2seq[plot]'") from error
    width, height = (min(2 + 0.35 * len(words), 100) for words in (source, target))  # inches
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(array, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(source)), source, rotation=90, parse_math=False)  # a $ in a word is no formula
    axes.set_yticks(range(len(target)), target, parse_math=False)
    axes.set_title(title, parse_math=False)
    figure.colorbar(image, label="attention weight")
    return figure


def _checked(weights: Any, source: Sequence[str], target: Sequence[str]) -> Array:
    array = to_numpy(weights)
    if array.shape != (len(target), len(source)):
        raise DataError(
            f"weights of shape {array.shape} do not fit {len(target)} target and {len(source)} source words"
        )
    return array


def _header_width(heads: Sequence[str], cut: int) -> int:
    """Columns of the header, with a space before each word, if words are cut to `cut` columns."""
    return sum(1 + max(min(display_width(head), cut), 1) for head in heads)


def display_width(word: str) -> int:
    """Columns of a terminal that the word takes: two for a wide character, none for a combining or invisible one.

    An emoji of several characters and a syllable of Hangul letters take two. Control characters take none."""
    return max(wcswidth(word), 0)


def fit_width(word: str, width: int) -> str:
    """The word in exactly `width` columns: padded with spaces, or cut, with an ellipsis from three columns on."""
    if (free := width - display_width(word)) >= 0:
        return word + " " * free
    kept, end = "", "…" if width > 2 else ""
    for character in iter_graphemes(word):  # with its combining marks
        if display_width(kept + character + end) > width:
            break
        kept += character
    return fit_width(kept + end, width)


def printable(word: str) -> str:
    """The word with a replacement character for each that would move the cursor or change the direction of writing."""
    return "".join(
        "\ufffd" if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in BIDI_CONTROLS else c for c in word
    )
