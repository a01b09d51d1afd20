"""How do figures read as HTML? Everything that comes from data is escaped here."""

import html
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from seq2seq.compare.formats import p_value, shown
from seq2seq.compare.report import blocks
from seq2seq.compare.result import Column, Comparison, Figure, Point, VariantRow

LEVEL = 0.05  # of significance, after correction
LEGEND = (
    "Figures are means over the seeds; ± is the standard deviation over the seeds, [ ] the 95 % interval by bootstrap over sentences. "
    f"▲ better and ▼ worse: significantly so than the baseline, p below {LEVEL} after Holm's correction in every test that was made; "
    "p is the largest of these."
)


def text(value: object) -> str:
    """Text that is text and nothing else, also in an attribute."""
    return html.escape(str(value), quote=True)


def paragraphs(sentences: Iterable[str], kind: str = "") -> Iterator[str]:
    """One paragraph a sentence."""
    named = f' class="{kind}"' if kind else ""
    yield from (f'<p{named} dir="auto">{text(sentence)}</p>\n' for sentence in sentences)


def listed(items: Iterable[str]) -> Iterator[str]:
    """A list of HTML."""
    yield "<ul>\n"
    yield from (f"<li>{item}</li>\n" for item in items)
    yield "</ul>\n"


def summary(comparison: Comparison) -> Iterator[str]:
    """What was compared on what."""
    seeds = sorted({len(row.seeds) for row in comparison.rows})
    of = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0] if seeds else 0)
    variants = f"{len(comparison.rows)} variant{'s' * (len(comparison.rows) != 1)}"
    yield from paragraphs(
        [f"{variants}, {of} seed{'s' * (of != '1')} each, on {comparison.sentences:,} sentences of {comparison.test}."],
        "lead",
    )
    yield from paragraphs(comparison.header)
    if comparison.broken:
        yield '<div class="broken"><p>Left out:</p>\n'
        yield from listed(f"<code>{text(run)}</code>: {text(why)}" for run, why in comparison.broken)
        yield "</div>\n"


def main_table(comparison: Comparison) -> Iterator[str]:
    """A row for each variant, a column for each measure; cells carry their value for sorting."""
    yield '<table id="results"><thead><tr>\n<th scope="col" aria-sort="none"><button type="button">Variant</button></th>\n'
    yield from (head(column) for column in comparison.columns)
    yield "</tr></thead><tbody>\n"
    baseline = next((row for row in comparison.rows if row.variant == comparison.baseline), None)
    for row in comparison.rows:
        yield ('<tr class="baseline">' if row is baseline else "<tr>") + name(row, row is baseline) + "\n"
        yield from (cell(row.figures.get(column.key), column, baseline) for column in comparison.columns)
        yield "</tr>\n"
    yield f'</tbody></table>\n<p class="legend">{text(LEGEND)}</p>\n'


def head(column: Column) -> str:
    """The head of a column, a button that sorts by it."""
    better = {"higher": " higher is better", "lower": " lower is better"}.get(column.better, "")
    unit = f" <small>{text(column.unit)}</small>" if column.unit else ""
    return (
        f'<th scope="col" class="number" data-better="{text(column.better)}" aria-sort="none">'
        f'<button type="button" title="{text(column.label + (":" if better else "") + better)}">{text(column.label)}{unit}</button></th>\n'
    )


def name(row: VariantRow, baseline: bool) -> str:
    """The head of a row: the variant, the settings in which it differs, its seeds."""
    mark = ' <span class="tag">baseline</span>' if baseline else ""
    settings = " · ".join(f"{key}={value}" for key, value in row.settings.items())
    seeds = f"seed{'s' * (len(row.seeds) != 1)} " + ", ".join(map(str, row.seeds))
    return (
        f'<th scope="row" data-value="{text(row.variant)}"><span class="variant" dir="auto">{text(row.variant)}</span>{mark}'
        f"<small>{text(settings)}</small><small>{text(seeds)}</small></th>"
    )


def cell(figure: Figure | None, column: Column, baseline: VariantRow | None) -> str:
    """Value ± deviation, interval, and what the tests say of the difference."""
    if figure is None or math.isnan(figure.value):
        return '<td class="number missing"><span title="the runs do not say">–</span></td>\n'
    deviation = (
        ""
        if figure.deviation is None
        else f' <span class="deviation">± {number(figure.deviation, column.digits)}</span>'
    )
    lines = [f"<b>{number(figure.value, column.digits)}</b>{deviation}"]
    if figure.interval:
        lines.append(f"<small>[{', '.join(number(bound, column.digits) for bound in figure.interval)}]</small>")
    if figure.corrected:
        than = baseline.figures.get(column.key) if baseline else None
        lines.append(f"<small>{verdict(figure, column, than)}p {text(p_value(max(figure.corrected.values())))}</small>")
    values = ", ".join(number(value, column.digits) for value in figure.values)
    return f'<td class="number" data-value="{float(figure.value)!r}" title="by seed: {values}">{"".join(lines)}</td>\n'


def verdict(figure: Figure, column: Column, baseline: Figure | None) -> str:
    """In a symbol and a word, where every test says so."""
    if baseline is None or max(figure.corrected.values()) >= LEVEL:
        return ""
    more = figure.value > baseline.value
    kind, mark = {
        "higher": ("better", "▲ better") if more else ("worse", "▼ worse"),
        "lower": ("worse", "▼ worse") if more else ("better", "▲ better"),
    }.get(column.better, ("differs", "≠ differs"))
    return f'<span class="mark {kind}">{mark}</span> '


def number(value: float, digits: int) -> str:
    """With a space where others put a comma or a dot, so that both may be read."""
    return shown(value, digits).replace(",", "\u202f")


def tests(comparison: Comparison) -> Iterator[str]:
    """Every p-value, before and after correction."""
    rows = [
        (row.variant, column.label, test, p, figure.corrected.get(test))
        for row in comparison.rows
        for column in comparison.columns
        if (figure := row.figures.get(column.key))
        for test, p in figure.p.items()
    ]
    if not rows:
        return
    yield '<details><summary>Every test against the baseline</summary><div class="wide"><table><thead><tr>'
    yield "".join(
        f'<th scope="col">{label}</th>' for label in ("Variant", "Measure", "Test", "p", "p after correction")
    )
    yield "</tr></thead><tbody>\n"
    for variant, label, test, p, corrected in rows:
        after = "" if corrected is None else text(p_value(corrected))
        yield f'<tr><th scope="row" dir="auto">{text(variant)}</th><td>{text(label)}</td><td>{text(test)}</td>'
        yield f'<td class="number">{text(p_value(p))}</td><td class="number">{after}</td></tr>\n'
    yield "</tbody></table></div></details>\n"


def notes(comparison: Comparison) -> Iterator[str]:
    """Signatures and what else stands below the table."""
    signed = [
        f"{text(column.title)}: <code>{text(column.signature)}</code>"
        for column in comparison.columns
        if column.signature
    ]
    if signed or comparison.footnotes:
        yield from listed([*map(text, comparison.footnotes), *signed])


def health(comparison: Comparison) -> Iterator[str]:
    """The warnings of each variant."""
    if not comparison.health:
        some = "Nothing in the attention of these variants calls for a warning."
        yield from paragraphs(
            [some if comparison.explained else "No attention was kept, so nothing can be said of it."]
        )
        return
    yield '<dl class="health">\n'
    for row in comparison.rows:
        if said := [warned.sentence for warned in comparison.health if warned.variant == row.variant]:
            yield (
                f'<dt dir="auto">{text(row.variant)}</dt>'
                + "".join(f"<dd>{text(sentence)}</dd>" for sentence in said)
                + "\n"
            )
    yield "</dl>\n"


def versions(comparison: Comparison) -> Iterator[str]:
    """What it was made with."""
    if comparison.versions:
        yield from paragraphs(
            ["Made with " + ", ".join(f"{name} {version}" for name, version in comparison.versions.items()) + "."]
        )


def left_out(notices: Sequence[str]) -> Iterator[str]:
    """What the page would be too large with."""
    yield from paragraphs(notices, "notice")


MOST_POINTS = 500  # of a curve between validations: a chart is hardly as many pixels wide


def as_json(comparison: Comparison) -> str:
    """JSON in which no < can end the element that it stands in."""
    value = plain(described(comparison))
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def described(comparison: Comparison) -> dict[str, Any]:
    """All but the texts and the attention, which are in blocks."""
    explained = list(comparison.explained)
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
                "curves": curves(row),
                "buckets": row.buckets,
                "explained": explained.index(row.variant) if row.variant in explained else None,
                "hypotheses": row.variant in comparison.hypotheses,
                "qualities": row.variant in comparison.qualities,
                "window": comparison.windows.get(row.variant),
            }
            for row in comparison.rows
        ],
    }


def curves(row: VariantRow) -> list[list[Point]]:
    """A curve for each seed: every point with a figure of the dev set, and no more of the others than can be seen. The page draws means
    at updates that all seeds have, so it is these that are thinned."""
    logged = [{point.update for point in curve if not math.isnan(point.loss)} for curve in row.curves]
    common = sorted(set.intersection(*filter(None, logged))) if any(logged) else []
    kept = {*common[:: math.ceil(len(common) / MOST_POINTS) or 1], *common[-1:]}
    return [
        [point for point in curve if point.update in kept or not math.isnan(point.dev_loss + point.dev_score)]
        for curve in row.curves
    ]


def plain(value: Any) -> Any:
    """The same as dicts, lists and numbers, whole ones as they are and others of six digits; what is no number becomes null."""
    if isinstance(value, float):
        return (int(value) if value.is_integer() else float(f"{value:.6g}")) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, str | int) or value is None:
        return value
    return [plain(item) for item in value]
