"""`seq2seq attentions`: lists the parts of an attention from the tables of nn.attention, and the variants of conf/."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from seq2seq.launch.compose import conf_dir
from seq2seq.runtime.arguments import Parser

Row = Sequence[str]


class AttentionTable(NamedTuple):
    """A table of text with three columns."""

    header: Row
    rows: Sequence[Row]


def main(argv: list[str]) -> None:
    """`seq2seq attentions [--markdown]`."""
    parser = Parser(
        "attentions",
        "List the attention scores, windows and normalizers, which combine freely, with formula and source; the"
        " poolings of texts that are labelled; and the named variants for model/attention=NAME.",
    )
    parser.add_argument("--markdown", action="store_true", help="as Markdown tables")
    show = _markdown if parser.parse_args(argv).markdown else _aligned
    print("\n\n".join(show(table) for table in attention_tables()))


def attention_tables() -> list[AttentionTable]:
    """A table each of scores, windows, normalizers, poolings and named variants, with three columns."""
    from seq2seq.nn.attention.normalizers import NORMALIZERS
    from seq2seq.nn.attention.pooling import POOLINGS
    from seq2seq.nn.attention.scorers import SCORERS
    from seq2seq.nn.attention.windows import WINDOWS

    parts: dict[str, Mapping[str, Any]] = {
        "attention.scorer": SCORERS,
        "attention.window": WINDOWS,
        "attention.normalizer": NORMALIZERS,
        "pooling": POOLINGS,
    }
    tables = []
    for part, table in parts.items():
        rows = [(name, *_formula(cls)) for name, cls in table.items()]
        tables.append(AttentionTable((f"model.{part}", "formula", "source"), rows))
    files = sorted((conf_dir() / "model" / "attention").glob("*.yaml"))
    variants = [_variant(path) for path in files]
    return [*tables, AttentionTable(("model/attention", "settings", "what it is"), variants)]


def _formula(part: Callable[..., Any]) -> tuple[str, str]:
    """Formula and source, from the first paragraph of a docstring: `formula (source).`"""
    paragraph = " ".join(str(part.__doc__).split("\n\n")[0].split())
    text, _, source = paragraph.rstrip(".").rpartition(" (")
    return text, source.removesuffix(")")


def _variant(path: Path) -> Row:
    """Name, settings and comment of a file of conf/model/attention."""
    text = path.read_text(encoding="utf-8")
    settings = []
    for key, value in yaml.safe_load(text).items():
        settings.append(f"{key}={str(value).lower() if isinstance(value, bool) else value}")
    return path.stem, " ".join(settings), text.splitlines()[0].removeprefix("# ")


def _aligned(table: AttentionTable) -> str:
    """Columns padded to the same width."""
    rows = [table.header, *table.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[text.ljust(width) for text, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join("  ".join(row).rstrip() for row in padded)


def _markdown(table: AttentionTable) -> str:
    """GitHub's Markdown; formulas may contain |, which separates its columns and is escaped."""
    rows = [table.header, ["---"] * len(table.header)]
    rows += [[f"`{name}`", f"`{formula}`", text] for name, formula, text in table.rows]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in row) + " |" for row in rows)
