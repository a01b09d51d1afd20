"""Table formats of a comparison: terminal, Markdown, CSV, JSON and LaTeX. `FORMATS` lists them."""

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from seq2seq.compare.columns import COLUMNS
from seq2seq.compare.result import Column, Comparison, Figure, VariantRow
from seq2seq.evaluation.heatmap import display_width as width_of
from seq2seq.evaluation.heatmap import printable

Keys = Sequence[str]  # of the columns to write; empty: the default of the format
WIDTH = 100  # of the tables where no terminal sets it
ARROWS = {"higher": " ↑", "lower": " ↓", "": ""}
LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}", "±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "<": r"$<$", ">": r"$>$",
}  # fmt: skip


# The table as text, whatever the format


class TableCell(NamedTuple):
    """One figure as text."""

    lines: Sequence[str]  # value ± deviation; then, where they exist, interval, largest p-value and verdict
    best: bool = False  # of its column


class Table(NamedTuple):
    """A table of text; the first column names the variants."""

    title: str
    heads: Sequence[Sequence[str]]  # the lines of each column heading
    rows: Sequence[Sequence[TableCell]]


def tables(comparison: Comparison, keys: Keys) -> list[Table]:
    """The main table, and one by source length for the first column that has such figures."""
    main = main_table(comparison, keys)
    if len(comparison.buckets) < 2:
        return [main]
    for column in chosen_columns(comparison, keys):
        if any(column.key in row.buckets for row in comparison.rows):
            return [main, bucket_table(comparison, column)]
    return [main]


def chosen_columns(comparison: Comparison, keys: Keys) -> list[Column]:
    """The columns with the given keys, or those that COLUMNS shows by default, in the order of the comparison."""
    return [c for c in comparison.columns if (c.key in keys if keys else COLUMNS[c.key].shown)]


def main_table(comparison: Comparison, keys: Keys = ()) -> Table:
    """One row per variant, one column per measure, in the order of `keys`."""
    columns = chosen_columns(comparison, keys)
    if keys:
        columns.sort(key=lambda column: keys.index(column.key))
    heads = [["variant", "(seeds)"], *(column_heading(column) for column in columns)]
    rows = []
    for row in comparison.rows:
        is_baseline = row.variant == comparison.baseline and len(comparison.rows) > 1
        seeds = f"({', '.join(map(str, row.seeds))})" + (" baseline" if is_baseline else "")
        cells = [figure_cell(c, row.figures.get(c.key), best_value(comparison, c)) for c in columns]
        rows.append([TableCell([row.variant, seeds]), *cells])
    return Table(comparison.title, heads, rows)


def bucket_table(comparison: Comparison, column: Column) -> Table:
    """The figures of one column by source length."""
    heads = [["variant"], *([label] for label in comparison.buckets)]
    rows = [
        [TableCell([row.variant]), *(TableCell([decimal(value, column.digits)]) for value in row.buckets[column.key])]
        for row in comparison.rows
        if column.key in row.buckets
    ]
    return Table(f"{column.label} by source length in words", heads, rows)


def column_heading(column: Column) -> list[str]:
    """Label with an arrow towards better values, and unit."""
    label = column.label + ARROWS[column.better]
    return [label, column.unit] if column.unit else [label]


def figure_cell(column: Column, figure: Figure | None, best: float | None) -> TableCell:
    """A figure as lines of text; a dash where there is none."""
    if figure is None:
        return TableCell(["-"])
    value = decimal(figure.value, column.digits)
    if figure.deviation:  # without it, all seeds have the same value
        value += f" ± {decimal(figure.deviation, column.digits)}"
    lines = [value]
    if figure.interval:
        lines.append(f"[{', '.join(decimal(bound, column.digits) for bound in figure.interval)}]")
    if figure.corrected:
        lines.append(f"p {format_p_value(max(figure.corrected.values()))}")
    if figure.verdict:
        lines.append(figure.verdict)
    return TableCell(lines, figure.value == best)


def decimal(value: float, digits: int) -> str:
    """A number with thousands separators."""
    return f"{value:,.{digits}f}"


def format_p_value(p: float) -> str:
    """Three decimals, or "<0.001"."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def best_value(comparison: Comparison, column: Column) -> float | None:
    """The best value of a column; None where all are equal or neither direction is better."""
    values = [row.figures[column.key].value for row in comparison.rows if column.key in row.figures]
    if not column.better or len(set(values)) < 2:
        return None
    return max(values) if column.better == "higher" else min(values)


def header_lines(comparison: Comparison) -> list[str]:
    """The sentences above the table, skipped runs included."""
    return [*comparison.header, *(f"{run} is left out: {reason}" for run, reason in comparison.skipped)]


def signatures(comparison: Comparison, keys: Keys) -> list[str]:
    """How each column that is shown was measured."""
    return [f"{c.title}: {c.signature}" for c in chosen_columns(comparison, keys) if c.signature]


def one_line(text: str) -> str:
    """Text without line breaks, which could end a comment or a table cell, and without control characters."""
    return printable(re.sub(r"\s+", " ", text))


def after_value(cell: TableCell) -> str:
    """What follows the value, to be written on the same line: brackets as they are, p and verdict in parentheses."""
    bracketed = [line for line in cell.lines[1:] if line[0] in "[("]
    words = ", ".join(line for line in cell.lines[1:] if line not in bracketed)
    return "".join(f" {part}" for part in [*bracketed, f"({words})" if words else ""] if part)


# Terminal


def terminal(comparison: Comparison, keys: Keys, width: int = 0) -> str:
    """Tables of at most `width` columns of text, split where they are wider; 0: WIDTH, and plain text for a file."""
    from rich.console import Console

    text = io.StringIO()
    console = Console(
        file=text, width=width or 10_000, force_terminal=bool(width), highlight=False, legacy_windows=False
    )
    console.print(printable_lines([comparison.title, *header_lines(comparison)]), markup=False)
    for table in tables(comparison, keys):
        console.print("" if table.title == comparison.title else f"\n{printable(table.title)}", markup=False)
        for part in split_table(table, width or WIDTH):
            console.print(rich_table(part))
    notes = [*comparison.findings, *comparison.footnotes, *signatures(comparison, keys)]
    console.print(printable_lines(notes), markup=False)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def printable_lines(lines: Sequence[str]) -> str:
    """Lines without the control characters that would move the cursor."""
    return "\n".join(map(printable, lines))


def split_table(table: Table, width: int) -> list[Table]:
    """Tables of at most `width`, each with the names of the variants; a column is never cut."""
    sizes = [
        max(map(width_of, [*head, *(line for row in table.rows for line in row[i].lines)])) + 2
        for i, head in enumerate(table.heads)
    ]
    groups: list[list[int]] = [[]]
    for i in range(1, len(sizes)):
        if groups[-1] and 1 + sizes[0] + sum(sizes[j] for j in groups[-1]) + sizes[i] > width:
            groups.append([])
        groups[-1].append(i)
    chosen = [[0, *group] for group in groups]
    return [
        Table(table.title, [table.heads[i] for i in indices], [[row[i] for i in indices] for row in table.rows])
        for indices in chosen
    ]


def rich_table(table: Table) -> Any:
    """A rich.table.Table with cells of several lines, the best of each column in bold."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    result = RichTable(box=box.SIMPLE_HEAD, show_lines=False, pad_edge=False, padding=(0, 1, 0, 0))
    for i, head in enumerate(table.heads):
        result.add_column(Text(printable_lines(head)), justify="right" if i else "left", no_wrap=True)
    for row in table.rows:
        result.add_row(*(Text(printable_lines(cell.lines), style="bold" if cell.best else "") for cell in row))
    return result


# Markdown


def markdown(comparison: Comparison, keys: Keys) -> str:
    """Tables of one line per row, with lists above and below."""
    header = [escape_markdown(line) for line in comparison.header]
    header += [f"{code(run)} is left out: {escape_markdown(reason)}" for run, reason in comparison.skipped]
    blocks = [f"**{escape_markdown(comparison.title)}**", "\n".join(f"* {line}" for line in header)]
    for table in tables(comparison, keys):
        heads = [escape_markdown(" ".join(head)) for head in table.heads]
        lines = [markdown_row(heads), markdown_row(["---", *["---:"] * (len(heads) - 1)])]
        lines += [markdown_row([markdown_cell(cell) for cell in row]) for row in table.rows]
        if table.title != comparison.title:
            blocks.append(f"{escape_markdown(table.title)}:")
        blocks.append("\n".join(lines))
    notes = [escape_markdown(line) for line in [*comparison.findings, *comparison.footnotes]]
    notes += map(code, signatures(comparison, keys))
    blocks.append("\n".join(f"* {line}" for line in notes))
    return "\n\n".join(block for block in blocks if block) + "\n"


def markdown_row(cells: Sequence[str]) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |"


def markdown_cell(cell: TableCell) -> str:
    """A figure, the best of a column in bold."""
    value = escape_markdown(cell.lines[0])
    return (f"**{value}**" if cell.best else value) + after_value(cell)


def escape_markdown(text: str) -> str:
    """Text in which nothing is markup."""
    return "".join("\\" + c if c in "\\|*_<>`[]" else c for c in one_line(text))


def code(text: str) -> str:
    """Inline code that its content cannot end."""
    return "`" + one_line(text).replace("`", "'") + "`"


# LaTeX


def latex(comparison: Comparison, keys: Keys) -> str:
    """A tabular for the booktabs package; header and footnotes are comments."""
    lines = [latex_comment(line) for line in [comparison.title, *header_lines(comparison)]]
    for table in tables(comparison, keys):
        heads = " & ".join(escape_latex(" ".join(head)) for head in table.heads)
        if table.title != comparison.title:
            lines.append(latex_comment(table.title))
        lines += [rf"\begin{{tabular}}{{l{'r' * (len(table.heads) - 1)}}}", r"\toprule", rf"{heads} \\", r"\midrule"]
        lines += [" & ".join(map(latex_cell, row)) + r" \\" for row in table.rows]
        lines += [r"\bottomrule", r"\end{tabular}"]
    notes = [*comparison.findings, *comparison.footnotes, *signatures(comparison, keys)]
    lines += [latex_comment(line) for line in notes]
    return "\n".join(lines) + "\n"


def latex_cell(cell: TableCell) -> str:
    """A figure, the best of a column in bold."""
    value = escape_latex(cell.lines[0])
    return (rf"\textbf{{{value}}}" if cell.best else value) + escape_latex(after_value(cell))


def latex_comment(line: str) -> str:
    """A line that LaTeX ignores."""
    return f"% {one_line(line)}"


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(LATEX.get(c, c) for c in one_line(text))


# JSON


def comparison_json(comparison: Comparison, keys: Keys) -> str:
    """All figures of all seeds, by source length too; without texts, learning curves and attention."""
    return json.dumps(json_values(comparison, keys), ensure_ascii=False, indent=1) + "\n"


def json_values(comparison: Comparison, keys: Keys) -> dict[str, Any]:
    """A comparison as plain values."""
    c = comparison
    wanted = {column.key for column in c.columns if not keys or column.key in keys}
    return {
        "title": c.title,
        "test": c.test,
        "sentences": len(c.sources),
        "baseline": c.baseline,
        "header": list(c.header),
        "findings": list(c.findings),
        "footnotes": list(c.footnotes),
        "broken": [{"run": run, "why": reason} for run, reason in c.skipped],
        "buckets": list(c.buckets),
        "columns": [column._asdict() for column in c.columns if column.key in wanted],
        "rows": [json_row(row, wanted) for row in c.rows],
        "health": [warning._asdict() for warning in c.health],
        "versions": dict(c.versions),
    }


def json_row(row: VariantRow, wanted: set[str]) -> dict[str, Any]:
    """A row as plain values, with the columns that are wanted."""
    return {
        "variant": row.variant,
        "family": row.family,
        "seeds": list(row.seeds),
        "runs": list(row.runs),
        "settings": dict(row.settings),
        "figures": {key: json_figure(figure) for key, figure in row.figures.items() if key in wanted},
        "buckets": {key: list(values) for key, values in row.buckets.items() if key in wanted},
    }


def json_figure(figure: Figure) -> dict[str, Any]:
    """A figure as plain values."""
    return {
        "value": figure.value,
        "values": list(figure.values),
        "deviation": figure.deviation,
        "interval": list(figure.interval) if figure.interval else None,
        "p": dict(figure.p),
        "corrected": dict(figure.corrected),
        "verdict": figure.verdict,
    }


# CSV


def comparison_csv(comparison: Comparison, keys: Keys) -> str:
    """A row per variant, with the columns KEY and KEY.NAME of each measure.

    NAME is deviation, low, high, p.TEST, corrected.TEST, verdict or a bucket."""
    rows = [csv_row(row, comparison, keys) for row in comparison.rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def csv_row(row: VariantRow, comparison: Comparison, keys: Keys) -> dict[str, Any]:
    """Column name of the CSV file -> value, for one variant."""
    seeds, runs = " ".join(map(str, row.seeds)), " ".join(row.runs)
    values: dict[str, Any] = {"variant": row.variant, "family": row.family, "seeds": seeds, "runs": runs}
    for column in comparison.columns:
        key, figure = column.key, row.figures.get(column.key)
        if figure is None or (keys and key not in keys):
            continue
        values |= {key: figure.value, f"{key}.deviation": figure.deviation}
        if figure.interval:
            values[f"{key}.low"], values[f"{key}.high"] = figure.interval
        values |= {f"{key}.p.{test}": p for test, p in figure.p.items()}
        values |= {f"{key}.corrected.{test}": p for test, p in figure.corrected.items()}
        if figure.corrected:
            values[f"{key}.verdict"] = figure.verdict
        buckets = zip(comparison.buckets, row.buckets.get(key, ()), strict=False)
        values |= {f"{key}.{label}": value for label, value in buckets}
    return values


FORMATS: dict[str, Callable[[Comparison, Keys], str]] = {
    "terminal": terminal,
    "markdown": markdown,
    "csv": comparison_csv,
    "json": comparison_json,
    "latex": latex,
}
