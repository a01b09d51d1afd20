"""What stands where in the page? The template's places, filled one after the other, so that the page is never in memory as a whole."""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from seq2seq.compare.report import blocks, tables
from seq2seq.compare.result import Comparison
from seq2seq.utils.files import atomic_write

PAGE = Path(__file__).parent / "page"
STYLES = ("report.css", "explorer.css")
SCRIPTS = (
    "page.js",
    "table.js",
    "chart.js",
    "charts.js",
    "words.js",
    "heatmap.js",
    "sentences.js",
    "explorer.js",
)  # each may use those before it
PLACE = re.compile(r"\$\{(\w+)\}")


def write_report(comparison: Comparison, path: Path) -> None:
    """One HTML file with everything in it: tables, curves, and what each variant looked at in each sentence.

    Attention beyond blocks.LARGEST bytes is left out, last sentences first, and the page says so. OSError where nothing can be written.
    """
    with (
        atomic_write(path, follow=True) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file,
    ):
        file.writelines(page(comparison))


def page(comparison: Comparison) -> Iterator[str]:
    """The text of the page, piece by piece."""
    places = parts(comparison)
    template = (PAGE / "template.html").read_text(encoding="utf-8")
    for number, piece in enumerate(PLACE.split(template)):
        if number % 2:
            yield from places[piece]()
        else:
            yield piece


def parts(comparison: Comparison) -> dict[str, Callable[[], Iterable[str]]]:
    """Name of a place in the template -> what to write there."""
    style, script = joined(STYLES), joined(SCRIPTS)
    attention = blocks.AttentionBlock(list(comparison.explained.values()), len(comparison.sources))
    return {
        "title": lambda: [tables.text(comparison.title)],
        "policy": lambda: [policy(style, script)],
        "style": lambda: [style],
        "script": lambda: [script],
        "summary": lambda: tables.summary(comparison),
        "table": lambda: tables.main_table(comparison),
        "tests": lambda: tables.tests(comparison),
        "notes": lambda: tables.notes(comparison),
        "health": lambda: tables.health(comparison),
        "versions": lambda: tables.versions(comparison),
        "data": lambda: [tables.as_json(comparison)],
        "texts": lambda: blocks.texts(comparison),
        "attention": attention.blocks,
        "left_out": lambda: tables.left_out(attention.notices()),
    }


def joined(names: Iterable[str]) -> str:
    """Files of the page, one after the other."""
    return "\n".join((PAGE / name).read_text(encoding="utf-8") for name in names)


def policy(style: str, script: str) -> str:
    """What the browser may run: this style and this script, known by their hashes; it may load nothing."""
    return (
        f"default-src 'none'; script-src '{sha256(script)}'; style-src '{sha256(style)}'; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )


def sha256(text: str) -> str:
    """The hash as the policy writes it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
