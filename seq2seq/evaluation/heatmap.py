"""Where did the model look? Attention weights as text for a terminal, or as a PNG.

Rows are T target words, columns S source words, weights from 0 to 1.
"""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seq2seq.errors import ConfigError, DataError
from seq2seq.evaluation.alignment import to_numpy
from seq2seq.evaluation.score import Array
from seq2seq.utils.files import atomic_write

SHADES = ((0.8, "█"), (0.6, "▓"), (0.4, "▒"), (0.2, "░"), (0.05, "·"), (0.0, " "))  # the least weight of each


def shade(weight: float, width: int) -> str:
    """The weight as characters of growing blackness, for any terminal, file or mail."""
    return next((mark for least, mark in SHADES if weight >= least), " ") * width


def text(weights: Any, source: Sequence[str], target: Sequence[str], width: int = 80) -> str:
    """A map of `width` columns at most, 20 or more: each source word heads a column, each target word a row.

    Too wide: source words are cut, all to one length as large as fits, then the last source words are left out, and a
    line says how many. Target words get a quarter of the width at most. Raises DataError if weights are not (T, S).
    """
    array = _checked(weights, source, target)
    names, heads = [printable(word) for word in target], [printable(word) for word in source]
    margin = min(max((columns(name) for name in names), default=0), max(width // 4, 1))
    shown = heads[: max((width - margin) // 2, 1)]
    longest = next(
        (cut for cut in range(max(map(columns, heads), default=1), 0, -1) if _wide(shown, cut) <= width - margin), 1
    )
    heads = [fit(head, min(columns(head), longest) or 1) for head in shown]
    lines = [" ".join(["".ljust(margin), *heads])]
    for name, row in zip(names, array, strict=True):
        cells = (shade(float(weight), columns(head)) for head, weight in zip(heads, row, strict=False))
        lines.append(" ".join([fit(name, margin), *cells]))
    if left_out := len(source) - len(shown):
        lines.append(f"(+{left_out} source words)")
    return "\n".join(line.rstrip() for line in lines)


def legend() -> str:
    """What the characters of `shade` stand for."""
    return "  ".join(f"{mark} from {least:g}" for least, mark in reversed(SHADES) if mark.strip())


def png(
    path: Path, weights: Any, source: Sequence[str], target: Sequence[str], title: str = "", follow: bool = True
) -> None:
    """Draw the map into a PNG file, written whole or not at all; `follow` as in `files.atomic_write`.

    Raises ConfigError without matplotlib, an optional extra; DataError if weights are not (T, S).
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


def _wide(heads: Sequence[str], cut: int) -> int:
    """Columns of the header, a space before each word, if no word may have more than `cut`."""
    return sum(1 + max(min(columns(head), cut), 1) for head in heads)


def columns(word: str) -> int:
    """Columns of a terminal: two for a wide character, none for one that combines with the last."""
    return sum(_columns(character) for character in word)


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(word: str, width: int) -> str:
    """The word in exactly `width` columns: padded, or cut; three columns and more end the cut in an ellipsis."""
    if (short := width - columns(word)) >= 0:
        return word + " " * short
    kept, end = "", "…" * (width > 2)
    for character in word:
        if columns(kept + character + end) > width:
            break
        kept += character
    return fit(kept + end, width)


def printable(word: str) -> str:
    """The word without what would move the cursor or turn the direction of writing."""
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in TURNING else c for c in word)


TURNING = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
