"""The data of the page's charts as JSON; texts and attention are in blocks."""

import json
import math
from typing import Any

from seq2seq.compare.report import blocks
from seq2seq.compare.result import Comparison, Figure, Point, VariantRow

MOST_POINTS = 500  # of a curve between validations: about as many pixels as a chart is wide


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
                "figures": {key: figure_data(figure) for key, figure in row.figures.items()},
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


def figure_data(figure: Figure) -> dict[str, Any]:
    """A figure for the charts."""
    return {
        "value": figure.value,
        "interval": figure.interval,
        "values": figure.values,
        "deviation": figure.deviation,
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
