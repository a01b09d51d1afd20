"""Fonts for characters that matplotlib's own lacks."""

from pathlib import Path

import pytest

from seq2seq.evaluation import fonts

font_manager = pytest.importorskip("matplotlib.font_manager")
EGYPTIAN, CUNEIFORM = "\U00013000\U00013001", "\U00012000"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a font with the EGYPTIAN letters, installed after matplotlib made its list of fonts."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.ttLib.tables._g_l_y_f import Glyph

    builder = FontBuilder(1000, isTTF=True)
    names = [".notdef", "a", "b"]
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap(dict(zip(map(ord, EGYPTIAN), names[1:], strict=True)))
    builder.setupGlyf({name: Glyph() for name in names})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (500, 0)))
    builder.setupHorizontalHeader()
    builder.setupNameTable({"familyName": "Small Egyptian", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "egyptian.ttf")
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    files = [str(tmp_path / name) for name in ("broken.ttf", "egyptian.ttf")]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: files)
    monkeypatch.setattr(font_manager.fontManager, "ttflist", list(font_manager.fontManager.ttflist))
    return "Small Egyptian"


def test_text_of_the_default_font_needs_no_other() -> None:
    families, missing = fonts.choose_fonts("Straße \u200d Приве\u0301т αβγ …\n")
    assert families == font_manager.FontProperties().get_family()
    assert missing == ""


def test_installed_font_is_found_for_its_characters(installed: str) -> None:
    families, missing = fonts.choose_fonts(f"a {EGYPTIAN} {CUNEIFORM}")
    assert families == [*font_manager.FontProperties().get_family(), installed]
    assert missing == CUNEIFORM


def test_boxes_of_matplotlib_itself_are_no_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its font of last resort has a box for every character."""
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [
        entry for entry in font_manager.fontManager.ttflist if "mpl-data" in entry.fname
    ])  # fmt: skip
    assert fonts.choose_fonts(EGYPTIAN)[1] == EGYPTIAN


def test_sentence_about_missing_characters() -> None:
    sentence = fonts.missing_sentence("我们昨天在花园里看见ごナनم👋\ue000")
    assert "Arabic (م), CJK (我们昨天在花园里 and 2 more), Devanagari (न), Hiragana (ご), Katakana (ナ)" in sentence
    assert sentence.endswith("Noto Sans Arabic, Noto Sans CJK, Noto Sans Devanagari, Noto Emoji")
