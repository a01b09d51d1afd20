"""The HTML tables of results and of tests."""

import math
from collections.abc import Iterator, Sequence

from seq2seq.compare.columns import COLUMNS
from seq2seq.compare.formats import decimal, format_p_value
from seq2seq.compare.report.markup import disclosure, escaped, wide_table
from seq2seq.compare.report.settings import distinction, seed_ranges
from seq2seq.compare.result import Column, Comparison, Figure, VariantRow
from seq2seq.compare.verdicts import SIGNIFICANCE_LEVEL

LEGEND = (
    "Values are means over seeds ± sample standard deviation; [ ] 95% confidence interval, over seeds as well where "
    f"there are two or more. ▲ better and ▼ worse than the baseline: Holm-corrected p < {SIGNIFICANCE_LEVEL} in every "
    "test, over sentences and over seeds; △ and ▽ “here”: in these runs, not tested over seeds; ? over these sentences,"
    " but the seeds do not bear it out. p is the largest of the tests."
)
MARKS = {  # verdict -> symbol; ? for those that are unsure
    "better": "▲", "worse": "▼", "differs": "≠", "better here": "△", "worse here": "▽", "differs here": "≠",
}  # fmt: skip


def results_table(comparison: Comparison) -> Iterator[str]:
    """A row per variant, a column per measure; cells carry their value for sorting.

    A cell's interval and p-value are in `small` elements, which the page shows if the reader wants them."""
    yield '<table id="results"><thead><tr>\n'
    for head in ("Variant", "What it is", "Seeds"):
        yield f'<th scope="col" aria-sort="none" data-shown="yes"><button type="button">{head}</button></th>\n'
    yield from (column_head(column) for column in comparison.columns)
    yield "</tr></thead><tbody>\n"
    baseline = next((row for row in comparison.rows if row.variant == comparison.baseline), None)
    tested = {key for row in comparison.rows for key, figure in row.figures.items() if figure.corrected}
    for row in comparison.rows:
        yield '<tr class="baseline">' if row is baseline else "<tr>"
        yield row_head(row, comparison.rows, row is baseline) + "\n"
        yield from (results_cell(row.figures.get(c.key), c, c.key in tested) for c in comparison.columns)
        yield "</tr>\n"
    yield "</tbody></table>\n"


def column_head(column: Column) -> str:
    """The heading of a column: a button that sorts by it. The page opens with the columns that a terminal has."""
    title = f"{column.label}: {column.better} is better" if column.better else column.label
    unit = f" <small>{escaped(column.unit)}</small>" if column.unit else ""
    shown = "yes" if column.key not in COLUMNS or COLUMNS[column.key].shown else "no"
    return (
        f'<th scope="col" class="number" data-better="{escaped(column.better)}" data-shown="{shown}" aria-sort="none">'
        f'<button type="button" title="{escaped(title)}">{escaped(column.label)}{unit}</button></th>\n'
    )


def row_head(row: VariantRow, rows: Sequence[VariantRow], is_baseline: bool) -> str:
    """The first cells of a row: the variant, what makes it this variant, its seeds."""
    tag = ' <span class="tag">baseline</span>' if is_baseline else ""
    variant, what, seeds = escaped(row.variant), escaped(distinction(row, rows)), escaped(seed_ranges(row.seeds))
    return (
        f'<th scope="row" data-value="{variant}"><span class="name" dir="auto">{variant}{tag}</span></th>'
        f'<td data-value="{what}"><span class="what" dir="auto" title="{what}">{what}</span></td>'
        f'<td data-value="{seeds}">{seeds}</td>'
    )


def results_cell(figure: Figure | None, column: Column, tested: bool = False) -> str:
    """Value ± deviation and the mark of a difference in one line; then interval and the result of the tests.

    tested: whether any row of the column was, and so may have a mark."""
    if figure is None or math.isnan(figure.value):
        return '<td class="number missing"><span title="not available">–</span></td>\n'
    text = f"<b>{spaced(figure.value, column.digits)}</b>"
    if figure.deviation is not None:
        text += f' <span class="deviation">± {spaced(figure.deviation, column.digits)}</span>'
    if tested:  # an empty mark keeps the numbers of the column aligned
        text += f" {verdict_symbol(figure.verdict)}"
    if figure.interval:
        text += f"<small>[{', '.join(spaced(bound, column.digits) for bound in figure.interval)}]</small>"
    if figure.corrected:
        p = escaped(format_p_value(max(figure.corrected.values())))
        text += f"<small>{significance_mark(figure)}p {p}</small>"
    values = ", ".join(spaced(value, column.digits) for value in figure.values)
    return f'<td class="number" data-value="{float(figure.value)!r}" title="by seed: {values}">{text}</td>\n'


def verdict_symbol(verdict: str) -> str:
    """The symbol of a verdict, with its words for those who cannot see it; empty without one."""
    if not verdict:
        return '<span class="mark"></span>'
    words = escaped(verdict)
    return (
        f'<span class="mark {verdict_class(verdict)}" role="img" aria-label="{words}" title="{words}">'
        f"{MARKS.get(verdict, '?')}</span>"
    )


def significance_mark(figure: Figure) -> str:
    """The verdict of the tests with its symbol; empty without one."""
    if not figure.verdict:
        return ""
    mark = f"{MARKS.get(figure.verdict, '?')} {escaped(figure.verdict)}"
    return f'<span class="mark {verdict_class(figure.verdict)}">{mark}</span> '


def verdict_class(verdict: str) -> str:
    """The class of a verdict's colour: better, worse, differs or unsure."""
    return verdict.split()[0] if verdict in MARKS else "unsure"


def spaced(value: float, digits: int) -> str:
    """A number with narrow spaces between thousands, which cannot be mistaken for a decimal separator."""
    return decimal(value, digits).replace(",", "\u202f")


def tests_table(comparison: Comparison) -> Iterator[str]:
    """Every p-value, before and after correction; nothing without tests."""
    rows = [
        (row.variant, column.label, test, p, figure.corrected.get(test))
        for row in comparison.rows
        for column in comparison.columns
        if (figure := row.figures.get(column.key))
        for test, p in figure.p.items()
    ]
    if not rows:
        return
    heads = ("Variant", "Measure", "Test", "p-value", "p-value, Holm-corrected")
    yield from disclosure("All tests against the baseline", wide_table(heads, (test_cells(*row) for row in rows)))


def test_cells(variant: str, label: str, test: str, p: float, corrected: float | None) -> str:
    """The cells of a row of tests_table."""
    after = "" if corrected is None else escaped(format_p_value(corrected))
    return (
        f'<th scope="row" dir="auto">{escaped(variant)}</th><td>{escaped(label)}</td><td>{escaped(test)}</td>'
        f'<td class="number">{escaped(format_p_value(p))}</td><td class="number">{after}</td>'
    )
