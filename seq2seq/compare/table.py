"""Which words stand in a comparison's table? Heads and cells as plain text, for every format that is read by people."""

from collections.abc import Sequence
from typing import NamedTuple

from seq2seq.compare.columns import COLUMNS
from seq2seq.compare.result import Column, Comparison, Figure

ARROWS = {"higher": " ↑", "lower": " ↓", "": ""}


class Cell(NamedTuple):
    """One figure in words."""

    lines: Sequence[str]  # value and deviation, interval, p; the first alone may be there
    best: bool = False  # of its column


class Table(NamedTuple):
    """A head for each column, the variants' first; a row for each variant."""

    title: str
    heads: Sequence[Sequence[str]]  # lines of each
    rows: Sequence[Sequence[Cell]]


def main_table(comparison: Comparison, keys: Sequence[str] = ()) -> Table:
    """The columns `keys`, or else those that COLUMNS shows."""
    columns = [c for c in comparison.columns if (c.key in keys if keys else COLUMNS[c.key].shown)]
    columns.sort(key=lambda column: keys.index(column.key) if keys else 0)
    heads = [["variant", "(seeds)"], *(head(column) for column in columns)]
    rows = []
    for row in comparison.rows:
        name = row.variant + " (baseline)" * (row.variant == comparison.baseline and len(comparison.rows) > 1)
        cells = [figure_cell(c, row.figures.get(c.key), best(comparison, c)) for c in columns]
        rows.append([Cell([name, f"({', '.join(map(str, row.seeds))})"]), *cells])
    return Table(comparison.title, heads, rows)


def bucket_table(comparison: Comparison, key: str) -> Table:
    """One column's figures by source length."""
    column = next(column for column in comparison.columns if column.key == key)
    heads = [["variant"], *([label] for label in comparison.buckets)]
    rows = [
        [Cell([row.variant]), *(Cell([f"{value:,.{column.digits}f}"]) for value in row.buckets[key])]
        for row in comparison.rows
        if key in row.buckets
    ]
    return Table(f"{column.label} by source length in words", heads, rows)


def bucketed(comparison: Comparison, keys: Sequence[str]) -> list[str]:
    """The columns to show by source length: of those that are shown the first that has such figures."""
    shown = [c.key for c in comparison.columns if (c.key in keys if keys else COLUMNS[c.key].shown)]
    return [key for key in shown if any(key in row.buckets for row in comparison.rows)][: len(comparison.buckets) > 1]


def head(column: Column) -> list[str]:
    """Label and unit, and which way is better."""
    return [column.label + ARROWS[column.better], *([column.unit] if column.unit else [])]


def figure_cell(column: Column, figure: Figure | None, winner: float | None) -> Cell:
    """A figure as lines; a dash where there is none."""
    if figure is None:
        return Cell(["-"])
    lines = [shown(figure.value, column.digits) + (f" ± {shown(figure.deviation, column.digits)}" if figure.deviation is not None else "")]
    if figure.interval:
        lines.append(f"[{', '.join(shown(bound, column.digits) for bound in figure.interval)}]")
    if figure.corrected:
        lines.append("p " + " / ".join(p_value(p) for p in figure.corrected.values()))
    return Cell(lines, figure.value == winner)


def shown(value: float, digits: int) -> str:
    """With thousands apart."""
    return f"{value:,.{digits}f}"


def p_value(p: float) -> str:
    """Three places; below that nobody should care."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def best(comparison: Comparison, column: Column) -> float | None:
    """The best value of a column; None where no value is better than another."""
    values = [row.figures[column.key].value for row in comparison.rows if column.key in row.figures]
    if not column.better or len(set(values)) < 2:
        return None
    return max(values) if column.better == "higher" else min(values)


def signatures(comparison: Comparison, keys: Sequence[str] = ()) -> list[str]:
    """How each column that is shown was measured."""
    columns = [c for c in comparison.columns if (c.key in keys if keys else COLUMNS[c.key].shown)]
    return [f"{column.title}: {column.signature}" for column in columns if column.signature]
