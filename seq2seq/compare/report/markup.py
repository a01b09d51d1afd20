"""Pieces of HTML. All text from runs is escaped here."""

import html
from collections.abc import Iterable, Iterator


def escaped(value: object) -> str:
    """Text in which nothing is markup, also inside an attribute."""
    return html.escape(str(value), quote=True)


def paragraphs(sentences: Iterable[str], css_class: str = "") -> Iterator[str]:
    """One paragraph per sentence."""
    attribute = f' class="{css_class}"' if css_class else ""
    yield from (f'<p{attribute} dir="auto">{escaped(sentence)}</p>\n' for sentence in sentences)


def html_list(items: Iterable[str]) -> Iterator[str]:
    """An unordered list of HTML items."""
    yield "<ul>\n"
    yield from (f"<li>{item}</li>\n" for item in items)
    yield "</ul>\n"


def disclosure(summary: str, content: Iterable[str]) -> Iterator[str]:
    """HTML content that a reader opens by a click on the text `summary`."""
    yield f'<details><summary dir="auto">{escaped(summary)}</summary>\n'
    yield from content
    yield "</details>\n"


def wide_table(heads: Iterable[str], rows: Iterable[str]) -> Iterator[str]:
    """A table that scrolls in its own box: the texts of its head, and the HTML of each row's cells."""
    yield '<div class="wide" tabindex="0" role="region" aria-label="table"><table><thead><tr>'
    yield "".join(f'<th scope="col" dir="auto">{escaped(head)}</th>' for head in heads)
    yield "</tr></thead><tbody>\n"
    yield from (f"<tr>{row}</tr>\n" for row in rows)
    yield "</tbody></table></div>\n"


def plural(count: object, noun: str) -> str:
    """ "1 seed", "2 seeds", "1 to 3 seeds"."""
    return f"{count} {noun}" if str(count) == "1" else f"{count} {noun}s"
