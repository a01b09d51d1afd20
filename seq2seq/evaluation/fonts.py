"""Fonts for the text of a picture: matplotlib's default first, then installed ones for the characters it lacks."""

import unicodedata
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

NAMED_CHARACTERS = 8  # of each script, in a message
NOTO = dict.fromkeys(("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"), "Noto Sans CJK") | {"symbols": "Noto Emoji"}


def choose_fonts(text: str) -> tuple[list[str], str]:
    """Font families that together have the characters of `text`, as far as such fonts are installed; the others.

    The families are for matplotlib's `fontfamily`, which takes each character from the first that has it."""
    from matplotlib import font_manager

    default = font_manager.FontProperties()
    families = list(default.get_family())
    missing = without_glyphs(visible(text), font_manager.findfont(default))
    for entry in _installed(font_manager) if missing else ():
        left = without_glyphs(missing, entry.fname)
        if len(left) < len(missing):
            families.append(entry.name)
            missing = left
        if not missing:
            break
    return families, "".join(sorted(missing))


def visible(text: str) -> set[str]:
    """The characters that need a glyph."""
    return {c for c in text if not c.isspace() and unicodedata.category(c) not in ("Cf", "Cc", "Cs")}


def without_glyphs(characters: Iterable[str], path: str) -> set[str]:
    """Those that the font in the file `path` lacks; all of them if it has no outlines or cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path)
        return {c for c in characters if not font.scalable or not font.get_char_index(ord(c))}
    except (OSError, RuntimeError):  # FreeType's errors
        return set(characters)


def _installed(font_manager: Any) -> list[Any]:
    """The system's fonts, upright and regular ones first; matplotlib's own are for formulas, or have boxes only."""
    import matplotlib

    manager = font_manager.fontManager
    known = {entry.fname for entry in manager.ttflist}
    for path in font_manager.findSystemFonts():
        if path not in known:  # installed since matplotlib made its list
            try:
                manager.addfont(path)
            except (OSError, RuntimeError):
                continue
    own = Path(matplotlib.get_data_path())
    entries = [entry for entry in manager.ttflist if own not in Path(entry.fname).parents]
    return sorted(
        entries, key=lambda e: (e.style != "normal", str(e.weight) not in ("400", "normal"), "Noto" not in e.name)
    )


def missing_sentence(missing: str) -> str:
    """What a picture lacks, by script, and fonts that have it: "no installed font has CJK (我的朋友) ..."."""
    scripts = {script: "".join(found) for script, found in groupby(sorted(missing, key=script_of), script_of)}
    parts = []
    for script, characters in scripts.items():
        more = len(characters) - NAMED_CHARACTERS
        shown = characters[:NAMED_CHARACTERS] + (f" and {more} more" if more > 0 else "")
        parts.append(f"{script if script == 'CJK' else script.capitalize()} ({shown})")
    fonts = dict.fromkeys(NOTO.get(script, f"Noto Sans {script.capitalize()}") for script in scripts)
    return (
        f"no installed font has these characters, and the picture shows boxes in their place: {', '.join(parts)}; "
        f"fonts that have them: {', '.join(fonts)}"
    )


def script_of(character: str) -> str:
    """The first word of the character's Unicode name, which is its script for letters; "symbols" for signs."""
    if unicodedata.category(character)[0] not in "LMN":
        return "symbols"
    return unicodedata.name(character, "unnamed").split()[0]
