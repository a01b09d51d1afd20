"""How is a comparison written? One row of FORMATS each: for a terminal, a README, a spreadsheet, a program, a paper."""

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

ARROWS = {"higher": " ↑", "lower": " ↓", "": ""}


class TableCell(NamedTuple):
    """One figure in words."""

    lines: Sequence[str]  # value and deviation, interval, p; the first alone may be there
    best: bool = False  # of its column


class Table(NamedTuple):
    """A head for each column, the variants' first; a row for each variant."""

    title: str
    heads: Sequence[Sequence[str]]  # lines of each
    rows: Sequence[Sequence[TableCell]]


def main_table(comparison: Comparison, keys: Sequence[str] = ()) -> Table:
    """The columns `keys`, or else those that COLUMNS shows."""
    columns = [c for c in comparison.columns if (c.key in keys if keys else COLUMNS[c.key].shown)]
    columns.sort(key=lambda column: keys.index(column.key) if keys else 0)
    heads = [["variant", "(seeds)"], *(head(column) for column in columns)]
    rows = []
    for row in comparison.rows:
        name = row.variant + " (baseline)" * (row.variant == comparison.baseline and len(comparison.rows) > 1)
        cells = [figure_cell(c, row.figures.get(c.key), best(comparison, c)) for c in columns]
        rows.append([TableCell([name, f"({', '.join(map(str, row.seeds))})"]), *cells])
    return Table(comparison.title, heads, rows)


def bucket_table(comparison: Comparison, key: str) -> Table:
    """One column's figures by source length."""
    column = next(column for column in comparison.columns if column.key == key)
    heads = [["variant"], *([label] for label in comparison.buckets)]
    rows = [
        [TableCell([row.variant]), *(TableCell([f"{value:,.{column.digits}f}"]) for value in row.buckets[key])]
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


def figure_cell(column: Column, figure: Figure | None, winner: float | None) -> TableCell:
    """A figure as lines; a dash where there is none."""
    if figure is None:
        return TableCell(["-"])
    lines = [
        shown(figure.value, column.digits)
        + (f" ± {shown(figure.deviation, column.digits)}" if figure.deviation is not None else "")
    ]
    if figure.interval:
        lines.append(f"[{', '.join(shown(bound, column.digits) for bound in figure.interval)}]")
    if figure.corrected:
        lines.append("p " + " / ".join(p_value(p) for p in figure.corrected.values()))
    return TableCell(lines, figure.value == winner)


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


Keys = Sequence[str]  # of the columns to write; empty: those that a format has by itself


def terminal(comparison: Comparison, keys: Keys, width: int = 0) -> str:
    """Tables of `width` columns, as many as are needed; 0: one table, as wide as it is."""
    from rich.console import Console

    text = io.StringIO()
    console = Console(
        file=text, width=width or 10_000, force_terminal=bool(width), highlight=False, legacy_windows=False
    )
    said = [*comparison.header, *(f"{run} is left out: {why}" for run, why in comparison.broken)]
    console.print(printable_lines([comparison.title, *said]), markup=False)
    for table in tables(comparison, keys):
        console.print("" if table.title == comparison.title else f"\n{printable(table.title)}", markup=False)
        for part in parts(table, width):
            console.print(rich_table(part))
    console.print(printable_lines([*comparison.footnotes, *signatures(comparison, keys)]), markup=False)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def tables(comparison: Comparison, keys: Keys) -> list[Table]:
    """The main one, and that of source lengths."""
    return [main_table(comparison, keys), *(bucket_table(comparison, key) for key in bucketed(comparison, keys))]


def printable_lines(lines: Sequence[str]) -> str:
    """One below the other, without what would move the cursor."""
    return "\n".join(map(printable, lines))


def parts(table: Table, width: int) -> list[Table]:
    """The table in tables of `width` at most, each with the variants; a column is never cut."""
    sizes = [
        max(map(width_of, [*head, *(line for row in table.rows for line in row[i].lines)])) + 2
        for i, head in enumerate(table.heads)
    ]
    groups: list[list[int]] = [[]]
    for i in range(1, len(sizes)):
        if groups[-1] and width and sizes[0] + sum(sizes[j] for j in groups[-1]) + sizes[i] > width:
            groups.append([])
        groups[-1].append(i)
    chosen = [[0, *group] for group in groups]
    return [
        Table(table.title, [table.heads[i] for i in some], [[row[i] for i in some] for row in table.rows])
        for some in chosen
    ]


def rich_table(table: Table) -> Any:
    """Cells of several lines, the best of a column bold."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    made = RichTable(box=box.SIMPLE_HEAD, show_lines=False, pad_edge=False, padding=(0, 2, 0, 0))
    for i, head in enumerate(table.heads):
        made.add_column(Text(printable_lines(head)), justify="right" if i else "left", no_wrap=True)
    for row in table.rows:
        made.add_row(*(Text(printable_lines(cell.lines), style="bold" if cell.best else "") for cell in row))
    return made


def markdown(comparison: Comparison, keys: Keys) -> str:
    """Tables of one line a row, and lists above and below."""
    said = [
        *map(escaped, comparison.header),
        *(f"{code(run)} is left out: {escaped(why)}" for run, why in comparison.broken),
    ]
    blocks = [f"**{escaped(comparison.title)}**", "\n".join(f"* {line}" for line in said)]
    for table in tables(comparison, keys):
        heads = [escaped(" ".join(head)) for head in table.heads]
        lines = [row_of(heads), row_of(["---", *["---:"] * (len(heads) - 1)])]
        lines += [
            row_of([bold(escaped(cell.lines[0]), cell.best, "**", "**") + tail(cell) for cell in row])
            for row in table.rows
        ]
        blocks += [*([f"{escaped(table.title)}:"] if table.title != comparison.title else []), "\n".join(lines)]
    blocks.append(
        "\n".join(
            f"* {line}" for line in [*map(escaped, comparison.footnotes), *map(code, signatures(comparison, keys))]
        )
    )
    return "\n\n".join(block for block in blocks if block) + "\n"


def row_of(cells: Sequence[str]) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def escaped(text: str) -> str:
    """Without what Markdown would read as more than text."""
    return "".join("\\" + c if c in "\\|*_<>`[]" else c for c in one_line(text))


def code(text: str) -> str:
    """As it is, between marks that it cannot end."""
    return "`" + one_line(text).replace("`", "'") + "`"


def one_line(text: str) -> str:
    """Without line breaks, behind which a stranger's words would be more than a comment or a cell."""
    return printable(re.sub(r"\s+", " ", text))


def tail(cell: TableCell) -> str:
    """What stands behind a value, on its line: interval, p."""
    return "".join(f" {line}" if line[0] in "[(" else f" ({line})" for line in cell.lines[1:])


def bold(text: str, best: bool, before: str, behind: str) -> str:
    """Marked where it is the best."""
    return f"{before}{text}{behind}" if best else text


def latex(comparison: Comparison, keys: Keys) -> str:
    """A tabular for the package booktabs; what stands above and below the table is in comments."""
    said = [*comparison.header, *(f"{run} is left out: {why}" for run, why in comparison.broken)]
    lines = [comment(line) for line in [comparison.title, *said]]
    for table in tables(comparison, keys):
        heads = " & ".join(tex(" ".join(head)) for head in table.heads)
        body = [
            " & ".join(bold(tex(c.lines[0]), c.best, r"\textbf{", "}") + tex(tail(c)) for c in row)
            for row in table.rows
        ]
        lines += [] if table.title == comparison.title else [comment(table.title)]
        lines += [rf"\begin{{tabular}}{{l{'r' * (len(table.heads) - 1)}}}", r"\toprule", rf"{heads} \\", r"\midrule"]
        lines += [*(rf"{row} \\" for row in body), r"\bottomrule", r"\end{tabular}"]
    return "\n".join([*lines, *map(comment, [*comparison.footnotes, *signatures(comparison, keys)])]) + "\n"


def comment(line: str) -> str:
    """What LaTeX does not read."""
    return f"% {one_line(line)}"


def tex(text: str) -> str:
    """Every character as LaTeX prints it."""
    return "".join(TEX.get(c, c) for c in one_line(text))


def as_json(comparison: Comparison, keys: Keys) -> str:
    """All figures of all seeds, by source length too; what is long and stands elsewhere is left out: text, curves, attention."""
    return json.dumps(plain(comparison, keys), ensure_ascii=False, indent=1) + "\n"


def plain(comparison: Comparison, keys: Keys) -> dict[str, Any]:
    """The same in plain values."""
    c = comparison
    wanted = {column.key for column in c.columns if not keys or column.key in keys}
    return {
        "title": c.title, "test": c.test, "sentences": len(c.sources), "baseline": c.baseline, "header": list(c.header),
        "footnotes": list(c.footnotes), "broken": [{"run": run, "why": why} for run, why in c.broken], "buckets": list(c.buckets),
        "columns": [column._asdict() for column in c.columns if column.key in wanted], "rows": [plain_row(row, wanted) for row in c.rows],
        "health": [warned._asdict() for warned in c.health], "versions": dict(c.versions),
    }  # fmt: skip


def plain_row(row: VariantRow, wanted: set[str]) -> dict[str, Any]:
    """A row in plain values."""
    figures = {key: plain_figure(figure) for key, figure in row.figures.items() if key in wanted}
    buckets = {key: list(values) for key, values in row.buckets.items() if key in wanted}
    about = {"variant": row.variant, "family": row.family, "seeds": list(row.seeds), "runs": list(row.runs)}
    return about | {"settings": dict(row.settings), "figures": figures, "buckets": buckets}


def plain_figure(figure: Figure) -> dict[str, Any]:
    """A figure in plain values."""
    return {
        name: dict(v) if name in ("p", "corrected") else list(v) if isinstance(v, tuple) else v
        for name, v in figure._asdict().items()
    }


def as_csv(comparison: Comparison, keys: Keys) -> str:
    """A row a variant, a column a number: KEY, KEY.deviation, KEY.low, KEY.high, KEY.p.TEST, KEY.corrected.TEST, KEY.BUCKET."""
    rows = [flat(row, comparison, keys) for row in comparison.rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def flat(row: VariantRow, comparison: Comparison, keys: Keys) -> dict[str, Any]:
    """One row of CSV."""
    seeds, runs = " ".join(map(str, row.seeds)), " ".join(row.runs)
    found: dict[str, Any] = {"variant": row.variant, "family": row.family, "seeds": seeds, "runs": runs}
    for column in comparison.columns:
        key, figure = column.key, row.figures.get(column.key)
        if figure is None or (keys and key not in keys):
            continue
        found |= {key: figure.value, f"{key}.deviation": figure.deviation}
        found |= dict(zip((f"{key}.low", f"{key}.high"), figure.interval, strict=True)) if figure.interval else {}
        found |= {f"{key}.p.{test}": p for test, p in figure.p.items()}
        found |= {f"{key}.corrected.{test}": p for test, p in figure.corrected.items()}
        found |= {
            f"{key}.{label}": value for label, value in zip(comparison.buckets, row.buckets.get(key, ()), strict=False)
        }
    return found


TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}", "±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "<": r"$<$", ">": r"$>$",
}  # fmt: skip

FORMATS: dict[str, Callable[[Comparison, Keys], str]] = {
    "terminal": terminal,
    "markdown": markdown,
    "csv": as_csv,
    "json": as_json,
    "latex": latex,
}
