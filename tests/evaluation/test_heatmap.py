"""Heatmaps as text: layout, width, and text that a terminal could misread."""

import io
import re

import numpy as np
import pytest

from seq2seq.errors import DataError
from seq2seq.evaluation import heatmap
from tests.each import each

ENGLISH = "a man in a blue shirt is standing on a ladder cleaning a window"
GERMAN = "ein Mann in einem blauen Hemd steht auf einer Leiter und putzt ein Fenster"
SOURCE, TARGET = ENGLISH.split(), GERMAN.split()
MIXED = [
    "我们",
    "cafe\u0301",
    "नमस्ते",
    "x",
    "👋",
    "\uff46\uff4c",
    "\u200b",
    "",
]  # wide, combining, wide forms, of no width


def random_weights(rows: int, cells: int) -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.full(cells, 0.1), rows)


def test_render_text_by_hand() -> None:
    drawn = heatmap.render_text(np.array([[1.0, 0.0, 0.1], [0.25, 0.45, 0.65]]), ["the", "big", "dog"], ["der", "Hund"])
    assert drawn == "     the big dog\nder  ███     ···\nHund ░░░ ▒▒▒ ▓▓▓"


def columns_before(line: str, mark: str) -> int:
    return heatmap.display_width(line[: line.index(mark)])


def from_column(line: str, column: int) -> str:
    """The text from a column on, where a word starts."""
    line = line.ljust(400)
    return next(
        line[i:] for i in range(1, len(line)) if line[i - 1] == " " and heatmap.display_width(line[:i]) == column
    )


@pytest.mark.parametrize("width", [20, 33, 80, 200])
@pytest.mark.parametrize("source", [SOURCE, MIXED, SOURCE * 5], ids=["latin", "mixed", "long"])
def test_text_keeps_to_the_width_and_cells_stand_below_their_words(source: list[str], width: int) -> None:
    lines = heatmap.render_text(np.eye(len(source)), source, ["w"] * len(source), width).split("\n")
    assert max(map(heatmap.display_width, lines)) <= width
    rows = [line for line in lines if "█" in line]
    starts = [columns_before(row, "█") for row in rows]
    widths = [row.count("█") for row in rows]
    for word, start, wide in zip(source, starts, widths, strict=False):
        assert from_column(lines[0], start).startswith(heatmap.fit_width(word, wide).rstrip())
    assert all(start + wide + 1 == after for start, wide, after in zip(starts, widths, starts[1:], strict=False))
    assert len(rows) == len(source) or lines[-1] == f"(+{len(source) - len(rows)} source words)"


def test_words_are_cut_to_the_largest_length_that_fits() -> None:
    header = heatmap.render_text(random_weights(len(TARGET), len(SOURCE)), SOURCE, TARGET, 60).split("\n")[0]
    assert " ".join(header.split()) == "a man in a blue shi… is sta… on a lad… cle… a win…"


def test_display_width_by_hand() -> None:
    assert [heatmap.display_width(word) for word in MIXED] == [4, 4, 4, 1, 2, 4, 0, 0]


COLUMNS = {  # of scripts with marks, conjuncts and wide characters, and of emoji
    "नमस्ते": 4, "किताब": 5, "สวัสดี": 4, "น้ำ": 2, "مُحَمَّد": 4, "שָׁלוֹם": 4, "漢字": 4, "한국어": 6, "\u1112\u1161\u11ab": 2,
    "👨\u200d👩\u200d👧": 2, "👍🏽": 2, "🇩🇪": 2, "❤\ufe0f": 2, "e\u0301": 1, "a\u200bb": 2, "ｆｕｌｌ": 8, "ﾊﾝ": 2,
}  # fmt: skip


@each("word", COLUMNS)
def test_display_width_of_every_script(word: str) -> None:
    assert heatmap.display_width(word) == COLUMNS[word]
    for width in range(1, 9):
        cut = heatmap.fit_width(word, width)
        assert heatmap.display_width(cut) == width
        assert not cut.startswith(("\u0301", "\u200d"))


@each("word", [*SOURCE, *MIXED])
def test_fit_width_is_exact(word: str) -> None:
    for width in range(1, 9):
        assert heatmap.display_width(heatmap.fit_width(word, width)) == width


def test_shades_darken_with_the_weight() -> None:
    marks = [heatmap.shade(weight, 1) for weight in np.linspace(0, 1, 101)]
    order = [mark for _, mark in reversed(heatmap.SHADES)]
    assert [order.index(mark) for mark in marks] == sorted(order.index(mark) for mark in marks)
    assert set(marks) == set(order)
    assert all(mark in heatmap.legend() for mark in order if mark != " ")


def test_control_characters_are_replaced() -> None:
    weights = np.eye(2)
    assert "\x1b" not in heatmap.render_text(weights, ["a\x1b[31m", "b\nc"], ["\u202ex", "\ty"])
    assert heatmap.render_text(weights, ["a\nb", "c"], ["x", "y"]).count("\n") == 2


@pytest.mark.parametrize("shape", [(2, 2), (1, 3), (6,)])
def test_weights_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="do not fit 1 target and 2 source words"):
        heatmap.render_text(np.ones(shape), ["a", "b"], ["x"])


def test_shorten_middle_by_hand() -> None:
    shortened = [
        heatmap.shorten_middle(word, 7) for word in ("seventy", "Kindergarten", "我们昨天在花园里", "e\u0301" * 9)
    ]
    assert shortened == ["seventy", "Kin…ten", "我…园里"[:2] + "里", "e\u0301" * 3 + "…" + "e\u0301" * 3]


@each("word", [*SOURCE, *MIXED, "https://example.org/" * 9, "我们" * 40, "e\u0301" * 40])
def test_shortened_words_fit(word: str) -> None:
    for width in range(1, 30):
        shown = heatmap.shorten_middle(word, width)
        assert heatmap.display_width(shown) <= width
        assert (shown == word) == (heatmap.display_width(word) <= width)


@each("text", [" ".join(SOURCE), "https://example.org/" * 9, "我们" * 40, "", "a " * 90])
@each("width", [2, 3, 10, 40])
def test_wrapped_lines_fit_and_keep_the_text(text: str, width: int) -> None:
    lines = heatmap.wrap_columns(text, width)
    assert all(0 < heatmap.display_width(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


class Stream(io.StringIO):
    """A stand-in for a terminal, or for a file with an encoding."""

    def __init__(self, terminal: bool, encoding: str) -> None:
        super().__init__()
        self.terminal, self.name = terminal, encoding

    encoding = property(lambda self: self.name)  # type: ignore[assignment]

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize(
    ("terminal", "encoding", "variables", "cell"),
    [
        (True, "utf-8", {"TERM": "xterm-256color"}, heatmap.colour_shade),
        (True, "utf-8", {"TERM": "xterm", "COLORTERM": "truecolor"}, heatmap.colour_shade),
        (True, "utf-8", {"TERM": "xterm-256color", "NO_COLOR": "1"}, heatmap.shade),
        (True, "utf-8", {"TERM": "dumb"}, heatmap.shade),
        (True, "latin-1", {"TERM": "dumb"}, heatmap.plain_shade),
        (False, "utf-8", {"TERM": "xterm-256color"}, heatmap.shade),
        (False, "ascii", {}, heatmap.plain_shade),
    ],
)
def test_cells_are_what_the_stream_can_show(
    terminal: bool, encoding: str, variables: dict[str, str], cell: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TERM", "COLORTERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert heatmap.cell_style(Stream(terminal, encoding)) is cell


def test_cells_of_all_styles_have_the_same_width_and_order() -> None:
    weights = [least for least, _ in heatmap.SHADES]
    for cell in (heatmap.shade, heatmap.plain_shade, heatmap.colour_shade):
        assert len({cell(weight, 1) for weight in weights}) == len(weights)
        widths = [len(re.sub("\x1b[^m]*m", "", cell(weight, 7))) for weight in weights]
        assert widths == [7] * len(weights)
        assert heatmap.legend(cell).count("from") == len(weights) - 1
    picture = heatmap.render_text([[0.9, 0.1]], ["a", "b"], ["c"], 40, heatmap.plain_shade)
    assert picture.splitlines()[1] == "c # ."
