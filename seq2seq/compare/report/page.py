"""The HTML page of a report: the template's places, filled one after the other and never held in memory as a whole."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from seq2seq.compare.report import blocks, data, notes, settings, tables
from seq2seq.compare.report.markup import escaped, paragraphs
from seq2seq.compare.result import Comparison
from seq2seq.utils.files import atomic_write
from seq2seq.utils.page import SHARED, content_security_policy, filled, joined

PAGE = Path(__file__).parent / "page"
STYLES = (PAGE / "report.css", PAGE / "explorer.css", SHARED / "heatmap.css")
SCRIPTS = (  # in order: a script may use those before it
    SHARED / "elements.js",
    PAGE / "page.js",
    PAGE / "table.js",
    PAGE / "chart.js",
    PAGE / "variants.js",
    PAGE / "charts.js",
    SHARED / "words.js",
    SHARED / "heatmap.js",
    PAGE / "sentences.js",
    PAGE / "explorer.js",
)


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
    return filled(PAGE / "template.html", place_content(comparison))


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
