"""What do the charts of the page draw? A comparison's figures as JSON that may stand in HTML."""

import json
import math
from typing import Any

from seq2seq.compare.report import blocks
from seq2seq.compare.result import Comparison, Point, Row

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


def curves(row: Row) -> list[list[Point]]:
    """A curve for each seed: every point with a figure of the dev set, and no more of the others than can be seen. The page draws means
    at updates that all seeds have, so it is these that are thinned."""
    logged = [{point.update for point in curve if not math.isnan(point.loss)} for curve in row.curves]
    common = sorted(set.intersection(*filter(None, logged))) if any(logged) else []
    kept = {*common[:: math.ceil(len(common) / MOST_POINTS) or 1], *common[-1:]}
    return [[point for point in curve if point.update in kept or not math.isnan(point.dev_loss + point.dev_score)] for curve in row.curves]


def plain(value: Any) -> Any:
    """The same as dicts, lists and numbers, whole ones as they are and others of six digits; what is no number becomes null."""
    if isinstance(value, float):
        return (int(value) if value.is_integer() else float(f"{value:.6g}")) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, str | int) or value is None:
        return value
    return [plain(item) for item in value]
