"""The HTML tables and notes of a report, and the data of its charts as JSON. All text from runs is escaped here."""

import html
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

from seq2seq.compare.formats import decimal, format_p_value
from seq2seq.compare.report import blocks
from seq2seq.compare.result import Column, Comparison, Figure, Point, VariantRow
from seq2seq.compare.verdicts import SIGNIFICANCE_LEVEL

LEGEND = (
    "Values are means over seeds ± sample standard deviation; [ ] 95% confidence interval, over seeds as well where "
    f"there are two or more. ▲ better and ▼ worse than the baseline: Holm-corrected p < {SIGNIFICANCE_LEVEL} in every "
    "test, over sentences and over seeds; “here”: in these runs, not tested over seeds. p is the largest of the tests."
)
MARKS = {"better": "▲ ", "worse": "▼ ", "differs": "≠ "}  # first word of a verdict -> symbol
MOST_POINTS = 500  # of a curve between validations: about as many pixels as a chart is wide


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


def plural(count: object, noun: str) -> str:
    """ "1 seed", "2 seeds", "1 to 3 seeds"."""
    return f"{count} {noun}" if str(count) == "1" else f"{count} {noun}s"


def summary(comparison: Comparison) -> Iterator[str]:
    """Number of variants, seeds and sentences; the header; the runs that were left out."""
    counts = sorted({len(row.seeds) for row in comparison.rows}) or [0]
    seeds = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
    size = f"{plural(len(comparison.rows), 'variant')}, {plural(seeds, 'seed')} each"
    yield from paragraphs([f"{size}, on {comparison.sentences:,} sentences of {comparison.test}."], "lead")
    yield from paragraphs(comparison.header)
    if comparison.skipped:
        yield '<div class="skipped"><p>Runs left out:</p>\n'
        yield from html_list(f"<code>{escaped(run)}</code>: {escaped(reason)}" for run, reason in comparison.skipped)
        yield "</div>\n"


def results_table(comparison: Comparison) -> Iterator[str]:
    """A row per variant, a column per measure; cells carry their value for sorting."""
    yield '<table id="results"><thead><tr>\n'
    yield '<th scope="col" aria-sort="none"><button type="button">Variant</button></th>\n'
    yield from (column_head(column) for column in comparison.columns)
    yield "</tr></thead><tbody>\n"
    baseline = next((row for row in comparison.rows if row.variant == comparison.baseline), None)
    for row in comparison.rows:
        yield ('<tr class="baseline">' if row is baseline else "<tr>") + row_head(row, row is baseline) + "\n"
        yield from (results_cell(row.figures.get(column.key), column) for column in comparison.columns)
        yield "</tr>\n"
    yield f'</tbody></table>\n<p class="legend">{escaped(LEGEND)}</p>\n'


def column_head(column: Column) -> str:
    """The heading of a column: a button that sorts by it."""
    title = f"{column.label}: {column.better} is better" if column.better else column.label
    unit = f" <small>{escaped(column.unit)}</small>" if column.unit else ""
    return (
        f'<th scope="col" class="number" data-better="{escaped(column.better)}" aria-sort="none">'
        f'<button type="button" title="{escaped(title)}">{escaped(column.label)}{unit}</button></th>\n'
    )


def row_head(row: VariantRow, is_baseline: bool) -> str:
    """The heading of a row: the variant, the settings in which it differs, its seeds."""
    tag = ' <span class="tag">baseline</span>' if is_baseline else ""
    settings = " · ".join(f"{key}={value}" for key, value in row.settings.items())
    seeds = ("seed " if len(row.seeds) == 1 else "seeds ") + ", ".join(map(str, row.seeds))
    variant = escaped(row.variant)
    return (
        f'<th scope="row" data-value="{variant}"><span class="variant" dir="auto">{variant}</span>{tag}'
        f"<small>{escaped(settings)}</small><small>{escaped(seeds)}</small></th>"
    )


def results_cell(figure: Figure | None, column: Column) -> str:
    """Value ± deviation, interval, and the result of the tests."""
    if figure is None or math.isnan(figure.value):
        return '<td class="number missing"><span title="not available">–</span></td>\n'
    value = f"<b>{spaced(figure.value, column.digits)}</b>"
    if figure.deviation is not None:
        value += f' <span class="deviation">± {spaced(figure.deviation, column.digits)}</span>'
    lines = [value]
    if figure.interval:
        lines.append(f"<small>[{', '.join(spaced(bound, column.digits) for bound in figure.interval)}]</small>")
    if figure.corrected:
        p = escaped(format_p_value(max(figure.corrected.values())))
        lines.append(f"<small>{significance_mark(figure)}p {p}</small>")
    values = ", ".join(spaced(value, column.digits) for value in figure.values)
    return f'<td class="number" data-value="{float(figure.value)!r}" title="by seed: {values}">{"".join(lines)}</td>\n'


def significance_mark(figure: Figure) -> str:
    """The verdict of the tests, with a symbol where they find a difference; empty without one."""
    if not figure.verdict:
        return ""
    word = figure.verdict.split()[0]
    css_class = word if word in MARKS else "unsure"
    return f'<span class="mark {css_class}">{MARKS.get(word, "")}{escaped(figure.verdict)}</span> '


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
    yield '<details><summary>All tests against the baseline</summary><div class="wide"><table><thead><tr>'
    heads = ("Variant", "Measure", "Test", "p-value", "p-value, Holm-corrected")
    yield "".join(f'<th scope="col">{head}</th>' for head in heads)
    yield "</tr></thead><tbody>\n"
    for variant, label, test, p, corrected in rows:
        after = "" if corrected is None else escaped(format_p_value(corrected))
        yield f'<tr><th scope="row" dir="auto">{escaped(variant)}</th><td>{escaped(label)}</td><td>{escaped(test)}</td>'
        yield f'<td class="number">{escaped(format_p_value(p))}</td><td class="number">{after}</td></tr>\n'
    yield "</tbody></table></div></details>\n"


def notes(comparison: Comparison) -> Iterator[str]:
    """Footnotes and the signatures of the measures."""
    signatures = [
        f"{escaped(column.title)}: <code>{escaped(column.signature)}</code>"
        for column in comparison.columns
        if column.signature
    ]
    sentences = [*comparison.findings, *comparison.footnotes]
    if signatures or sentences:
        yield from html_list([*map(escaped, sentences), *signatures])


def health(comparison: Comparison) -> Iterator[str]:
    """The warnings of each variant."""
    if not comparison.health:
        checked = "No problems were found in the outputs and the attention of these variants."
        yield from paragraphs(
            [
                checked
                if comparison.attention
                else "No problems were found in the outputs of these variants. No attention was stored, so none was checked."
            ]
        )
        return
    yield '<dl class="health">\n'
    for row in comparison.rows:
        if sentences := [warning.sentence for warning in comparison.health if warning.variant == row.variant]:
            yield f'<dt dir="auto">{escaped(row.variant)}</dt>'
            yield "".join(f"<dd>{escaped(sentence)}</dd>" for sentence in sentences) + "\n"
    yield "</dl>\n"


def versions(comparison: Comparison) -> Iterator[str]:
    """The versions of the software."""
    if comparison.versions:
        named = ", ".join(f"{name} {version}" for name, version in comparison.versions.items())
        yield from paragraphs([f"Made with {named}."])


def page_json(comparison: Comparison) -> str:
    """The data of the page as JSON in which no < can end the surrounding element."""
    value = json_ready(page_data(comparison))
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def page_data(comparison: Comparison) -> dict[str, Any]:
    """What the scripts need, except texts and attention, which are in blocks."""
    with_attention = list(comparison.attention)
    return {
        "sentences": len(comparison.sources),
        "numbers": comparison.numbers,
        "references": len(comparison.references),
        "columns": [column._asdict() for column in comparison.columns],
        "buckets": comparison.buckets,
        "baseline": comparison.baseline,
        "quality": comparison.quality,
        "chunks": {"weights": blocks.WEIGHTS_CHUNK, "maps": blocks.MAPS_CHUNK},
        "variants": [
            {
                "name": row.variant,
                "figures": {key: (figure.value, figure.interval) for key, figure in row.figures.items()},
                "curves": thinned_curves(row),
                "buckets": row.buckets,
                "attention": with_attention.index(row.variant) if row.variant in with_attention else None,
                "hypotheses": row.variant in comparison.hypotheses,
                "qualities": row.variant in comparison.qualities,
                "window": comparison.windows.get(row.variant),
            }
            for row in comparison.rows
        ],
    }


def thinned_curves(row: VariantRow) -> list[list[Point]]:
    """One curve per seed: every point with a dev figure, and about MOST_POINTS of the others.

    The page draws means at updates that all seeds have, so these are the updates that are thinned."""
    logged = [{point.update for point in curve if not math.isnan(point.loss)} for curve in row.curves]
    common = sorted(set.intersection(*filter(None, logged))) if any(logged) else []
    step = math.ceil(len(common) / MOST_POINTS) or 1
    included = {*common[::step], *common[-1:]}
    return [
        [point for point in curve if point.update in included or not math.isnan(point.dev_loss + point.dev_score)]
        for curve in row.curves
    ]


def json_ready(value: Any) -> Any:
    """Nested dicts and lists: floats rounded to six digits, or integers where they are whole; null for inf and nan."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() else float(f"{value:.6g}")
    if isinstance(value, dict):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, str | int) or value is None:
        return value
    return [json_ready(item) for item in value]
