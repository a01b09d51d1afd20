"""The HTML page of a report: the template's places, filled one after the other and never held in memory as a whole."""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from seq2seq.compare.report import blocks, data, notes, settings, tables
from seq2seq.compare.report.markup import escaped, paragraphs
from seq2seq.compare.result import Comparison
from seq2seq.utils.files import atomic_write

PAGE = Path(__file__).parent / "page"
STYLES = ("report.css", "explorer.css")
SCRIPTS = (  # in order: a script may use those before it
    "page.js",
    "table.js",
    "chart.js",
    "variants.js",
    "charts.js",
    "words.js",
    "heatmap.js",
    "sentences.js",
    "explorer.js",
)
PLACE = re.compile(r"\$\{(\w+)\}")


def write_report(comparison: Comparison, path: Path) -> None:
    """Write a self-contained HTML file with tables, learning curves, and every variant's attention in each sentence.

    Attention beyond blocks.ATTENTION_LIMIT bytes is left out, last sentences first, and the page says so.
    Raises OSError if the file cannot be written."""
    with (
        atomic_write(path, follow=True) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file,
    ):
        file.writelines(page(comparison))


def page(comparison: Comparison) -> Iterator[str]:
    """The HTML in pieces."""
    content = place_content(comparison)
    template = (PAGE / "template.html").read_text(encoding="utf-8")
    for number, piece in enumerate(PLACE.split(template)):
        if number % 2:  # the name of a place
            yield from content[piece]()
        else:
            yield piece


def place_content(comparison: Comparison) -> dict[str, Callable[[], Iterable[str]]]:
    """Name of a place in the template -> function that returns its content."""
    style, script = joined(STYLES), joined(SCRIPTS)
    attention = blocks.AttentionBlocks(list(comparison.attention.values()), len(comparison.sources))
    return {
        "title": lambda: [escaped(comparison.title)],
        "policy": lambda: [content_security_policy(style, script)],
        "style": lambda: [style],
        "script": lambda: [script],
        "summary": lambda: notes.summary(comparison),
        "table": lambda: tables.results_table(comparison),
        "legend": lambda: paragraphs([tables.LEGEND], "legend"),
        "findings": lambda: notes.findings(comparison.findings),
        "settings": lambda: settings.settings_table(comparison),
        "runs": lambda: settings.runs_table(comparison),
        "tests": lambda: tables.tests_table(comparison),
        "notes": lambda: notes.notes(comparison),
        "health": lambda: notes.health(comparison),
        "versions": lambda: notes.versions(comparison),
        "data": lambda: [data.page_json(comparison)],
        "texts": lambda: blocks.text_blocks(comparison),
        "attention": attention.blocks,
        "left_out": lambda: paragraphs(attention.notices(), "notice"),
    }


def joined(names: Iterable[str]) -> str:
    """The content of several files of the page folder."""
    return "\n".join((PAGE / name).read_text(encoding="utf-8") for name in names)


def content_security_policy(style: str, script: str) -> str:
    """A policy that allows this style and this script, by their hashes, and no requests."""
    return (
        f"default-src 'none'; script-src '{sha256(script)}'; style-src '{sha256(style)}'; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )


def sha256(text: str) -> str:
    """SHA-256 of a text, in the notation of the policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
