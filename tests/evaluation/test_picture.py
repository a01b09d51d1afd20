"""Pictures of heatmaps: sizes, labels and titles of any length, formats, and text that matplotlib could misread."""

import logging
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seq2seq.errors import ConfigError, DataError
from seq2seq.evaluation import picture
from seq2seq.evaluation.picture import write_picture

URL = "https://example.org/a/very/long/address?" + "parameter=value&" * 9
LONG = {  # source words, target words, title
    "address": (["see", URL, "now"], ["siehe", URL], f"siehe {URL}"),
    "no spaces": (["我的朋友喜欢两个苹果" * 5], ["私の友達はリンゴが好きです" * 5], "私の友達はリンゴが好きです" * 9),
    "wide letters": (["W" * 30, "m" * 24] * 5, ["W" * 30, "m" * 24] * 5, "W" * 300),
    "many words": (["the", "old", "teacher"] * 25, ["der", "alte", "Lehrer"] * 9, "der alte Lehrer " * 60),
    "one word": (["a"], ["x"], ""),
}


def random_weights(rows: int, cells: int) -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.full(cells, 0.1), rows)


def drawn_figure(source: list[str], target: list[str], title: str) -> Any:
    """The figure, laid out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = picture._figure(random_weights(len(target), len(source)), source, target, title)
        figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize("case", LONG)
def test_no_text_is_cut_off_or_covers_another(case: str) -> None:
    pytest.importorskip("matplotlib")
    figure = drawn_figure(*LONG[case])
    axes, _ = figure.axes
    assert all(size < 32 for size in figure.get_size_inches())
    box = axes.get_window_extent()
    assert box.width > 0.2 * figure.bbox.width  # the map is not squashed
    assert box.height > 0.2 * figure.bbox.height
    labels = [[t.get_window_extent() for t in axis.get_ticklabels()] for axis in (axes.xaxis, axes.yaxis)]
    for extent in (*labels[0], *labels[1], figure._suptitle.get_window_extent()):
        assert -1 <= extent.x0 <= extent.x1 <= figure.bbox.width + 1
        assert -1 <= extent.y0 <= extent.y1 <= figure.bbox.height + 1
    assert all(one.x1 <= other.x0 + 1 for one, other in pairwise(labels[0]))
    assert all(other.y1 <= one.y0 + 1 for one, other in pairwise(labels[1]))
    assert all(extent.y1 <= figure._suptitle.get_window_extent().y0 + 1 for extent in labels[0] if LONG[case][2])


def test_picture_has_no_size_without_bound() -> None:
    """300 by 200 words."""
    columns, rows = picture.lay_out(["word"] * 300), picture.lay_out(["word"] * 200)
    assert columns.side == rows.side == picture.MAX_SIDE
    assert columns.step == 2
    assert len(picture.wrap_title("word " * 9999, 6)) == picture.TITLE_LINES


def test_characters_without_a_font_are_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("matplotlib")
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        write_picture(tmp_path / "a.png", np.eye(2), ["\U00013000", "a\U00013001\u200d"], ["x", "\ue000"], "\U00013000")
    (message,) = caplog.messages
    assert "boxes" in message
    assert "Egyptian (\U00013000\U00013001)" in message
    assert "Noto Sans Egyptian" in message


ALIASES = ("jpeg", "tif", "ps")  # of other formats


@pytest.mark.parametrize(
    "suffix",
    [
        *(pytest.param(name, marks=pytest.mark.slow if name in ALIASES else ()) for name in picture.FORMATS),
        "PNG",
        "",
    ],
)
@pytest.mark.fast("png", "pdf", "jpg", "PNG", "")
def test_suffix_is_the_format(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"a.{suffix}".rstrip(".")
    write_picture(path, np.eye(1), ["a"], ["x"])
    start = {"pdf": b"%PDF", "eps": b"%!PS", "ps": b"%!PS", "svg": b"<?xml", "jpg": b"\xff\xd8", "jpeg": b"\xff\xd8"}
    start |= {"webp": b"RIFF", "tif": b"II", "tiff": b"II"}
    assert path.read_bytes().startswith(start.get(suffix, b"\x89PNG"))


@pytest.mark.parametrize("name", ["a.xyz", "a.b.gz", "a.PNGX"])
def test_another_suffix_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no picture can be written as \.(xyz|gz|pngx); choose one of: \.png"):
        write_picture(tmp_path / name, np.eye(1), ["a"], ["x"])


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="do not fit 1 target and 2 source words"):
        write_picture(tmp_path / "x.png", np.eye(2), ["a", "b"], ["x"])


def test_png_of_words_with_dollar_signs(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    before = "matplotlib.pyplot" in sys.modules
    write_picture(tmp_path / "map.png", random_weights(2, 3), ["$a_{$", "b$", "c"], ["x", "$y^$"], title="$_{$")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_png_shows_large_weights_darker(tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image")
    write_picture(tmp_path / "map.png", np.array([[1.0, 0.0]]), ["a", "b"], ["x"])
    drawn = image.imread(tmp_path / "map.png")[:, :, 0]
    middle = drawn[drawn.shape[0] // 2]
    first, second = (middle[int(share * len(middle)) :][:10] for share in (0.25, 0.5))
    assert (first < 0.05).all()
    assert (second > 0.95).all()


def test_failed_png_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space left"):
        write_picture(tmp_path / "map.png", np.eye(1), ["a"], ["x"])
    assert not list(tmp_path.iterdir())


def test_missing_matplotlib_is_an_error_that_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r"pip install 'seq2seq\[plot\]'"):
        write_picture(tmp_path / "map.png", np.eye(1), ["a"], ["x"])
    assert not list(tmp_path.iterdir())
