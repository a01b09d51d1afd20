"""Which attention variants are there? A table made from the tables of nn and from conf/model/attention."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from seq2seq.commands import Parser
from seq2seq.launch.compose import conf_dir

Row = Sequence[str]


def main(argv: list[str]) -> None:
    """`seq2seq attentions [--markdown]`."""
    parser = Parser(
        "attentions",
        "List the scores, windows and normalisers that combine freely, and the combinations that have a name.",
    )
    parser.add_argument("--markdown", action="store_true", help="as tables for a README")
    show = markdown if parser.parse_args(argv).markdown else plain
    print("\n\n".join(show(header, rows) for header, rows in tables()))


def tables() -> list[tuple[Row, list[Row]]]:
    """(header, rows) of the three tables of parts and of the named variants."""
    from seq2seq.nn.attention.normalizers import NORMALIZERS
    from seq2seq.nn.attention.scorers import SCORERS
    from seq2seq.nn.attention.windows import WINDOWS

    parts: dict[str, Mapping[str, Any]] = {"scorer": SCORERS, "window": WINDOWS, "normalizer": NORMALIZERS}
    named = [variant(path) for path in sorted((conf_dir() / "model" / "attention").glob("*.yaml"))]
    free: list[tuple[Row, list[Row]]] = [
        ((f"model.attention.{kind}", "formula", "source"), [(name, *formula(row)) for name, row in table.items()])
        for kind, table in parts.items()
    ]
    return [*free, (("model/attention", "settings", "what it is"), named)]


def formula(part: Callable[..., Any]) -> tuple[str, str]:
    """Formula and source, from the first paragraph `formula (source).` of a docstring."""
    paragraph = " ".join(str(part.__doc__).split("\n\n")[0].split())
    text, _, source = paragraph.rstrip(".").rpartition(" (")
    return text, source.removesuffix(")")


def variant(path: Path) -> Row:
    """Name, settings and comment of a file of conf/model/attention."""
    text = path.read_text(encoding="utf-8")
    settings = {
        key: str(value).lower() if isinstance(value, bool) else value for key, value in yaml.safe_load(text).items()
    }
    return (
        path.stem,
        " ".join(f"{key}={value}" for key, value in settings.items()),
        text.splitlines()[0].removeprefix("# "),
    )


def plain(header: Row, rows: Sequence[Row]) -> str:
    """Aligned columns."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    )


def markdown(header: Row, rows: Sequence[Row]) -> str:
    """A table of GitHub's Markdown; a formula may hold the bar that separates its cells."""
    cells = (
        [header[0], *header[1:]],
        ["---"] * len(header),
        *([f"`{name}`", f"`{what}`", text] for name, what, text in rows),
    )
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells)
