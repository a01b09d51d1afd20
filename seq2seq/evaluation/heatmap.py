"""Attention heatmaps as text for a terminal, and what pictures of them share: shapes, widths, printable words.

Rows are T target words, columns S source words, weights from 0 to 1.
"""

import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, takewhile
from typing import Any

from wcwidth import iter_graphemes, wcswidth

from seq2seq.errors import DataError
from seq2seq.evaluation.alignment import to_numpy
from seq2seq.evaluation.scores import Array

SHADES = ((0.8, "█"), (0.6, "▓"), (0.4, "▒"), (0.2, "░"), (0.05, "·"), (0.0, " "))  # the least weight of each
PLAIN = {"█": "#", "▓": "%", "▒": "+", "░": "-", "·": ".", " ": " "}
COLOURS = {"█": 51, "▓": 45, "▒": 38, "░": 31, "·": 24, " ": 0}  # of 256, from dark to bright blue; 0: none
BIDI_CONTROLS = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def shade(weight: float, width: int) -> str:
    """`width` block characters that are the darker, the larger the weight is."""
    return next((mark for least, mark in SHADES if weight >= least), " ") * width


def plain_shade(weight: float, width: int) -> str:
    """As `shade`, with characters of ASCII."""
    return PLAIN[shade(weight, 1)] * width


def colour_shade(weight: float, width: int) -> str:
    """As `shade`, with `width` spaces on one of a terminal's 256 colours, the brighter, the larger the weight is."""
    colour = COLOURS[shade(weight, 1)]
    return f"\x1b[48;5;{colour}m{' ' * width}\x1b[0m" if colour else " " * width


def cell_style(stream: Any) -> Callable[[float, int], str]:
    """How a stream shows a weight: in colours on a terminal that has 256, unless the variable NO_COLOR is set, in block
    characters where its encoding has them, else in ASCII."""
    colours = "256" in os.environ.get("TERM", "") or os.environ.get("COLORTERM")
    if stream.isatty() and colours and not os.environ.get("NO_COLOR"):
        return colour_shade
    try:
        "".join(PLAIN).encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeError, LookupError):
        return plain_shade
    return shade


def render_text(
    weights: Any,
    source: Sequence[str],
    target: Sequence[str],
    width: int = 80,
    cell: Callable[[float, int], str] = shade,
) -> str:
    """The heatmap of weights (T, S) as lines of at most `width` columns, which should be 20 or more.

    cell: how a weight is shown in so many columns

    If it is too wide, source words are cut, all to one length that is as large as fits; if it still is, the last source
    words are left out, and a line gives their number. Target words get at most a quarter of the width. Raises DataError
    for weights of another shape.
    """
    array = checked(weights, source, target)
    names, heads = [printable(word) for word in target], [printable(word) for word in source]
    margin = min(max((display_width(name) for name in names), default=0), max(width // 4, 1))
    shown = heads[: max((width - margin) // 2, 1)]
    cut = max(map(display_width, heads), default=1)
    while cut > 1 and _header_width(shown, cut) > width - margin:
        cut -= 1
    heads = [fit_width(head, min(display_width(head), cut) or 1) for head in shown]
    lines = [" ".join(["".ljust(margin), *heads])]
    for name, row in zip(names, array, strict=True):
        cells = (cell(float(weight), display_width(head)) for head, weight in zip(heads, row, strict=False))
        lines.append(" ".join([fit_width(name, margin), *cells]))
    if left_out := len(source) - len(shown):
        lines.append(f"(+{left_out} source words)")
    return "\n".join(line.rstrip() for line in lines)


def legend(cell: Callable[[float, int], str] = shade) -> str:
    """The least weight of each mark of `cell`, in one line."""
    return "  ".join(f"{cell(least, 1)} from {least:g}" for least, mark in reversed(SHADES) if mark.strip())


def checked(weights: Any, source: Sequence[str], target: Sequence[str]) -> Array:
    """The weights as a NumPy array. Raises DataError if their shape is not that of the words."""
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
    end = "…" if width > 2 else ""
    return fit_width(_take(list(iter_graphemes(word)), width - len(end)) + end, width)


def shorten_middle(text: str, width: int) -> str:
    """The text in at most `width` columns: both of its ends with an ellipsis between them where it is longer."""
    if display_width(text) <= width:
        return text
    characters = list(iter_graphemes(text))  # with their combining marks
    head = _take(characters, width // 2)
    tail = characters[len(characters) - _count(reversed(characters), width - width // 2 - 1) :]
    return f"{head}…{''.join(tail)}"


def _take(characters: Sequence[str], width: int) -> str:
    """The first characters that fit into `width` columns together."""
    return "".join(characters[: _count(characters, width)])


def _count(characters: Iterable[str], width: int) -> int:
    """How many of the first characters fit into `width` columns."""
    ends = accumulate(map(display_width, characters))
    return sum(1 for _ in takewhile(lambda end: end <= width, ends))


def wrap_columns(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns, broken at spaces where there are some."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        while display_width(joined := f"{line} {word}".lstrip()) > width:
            if line:
                lines.append(line)
                line = ""
            else:
                lines.append(_take(list(iter_graphemes(word)), width) or word[0])
                word = word[len(lines[-1]) :]
        line = joined
    return [*lines, line] if line else lines


def printable(word: str) -> str:
    """The word with a replacement character for each that would move the cursor or change the direction of writing."""
    return "".join(
        "\ufffd" if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in BIDI_CONTROLS else c for c in word
    )
