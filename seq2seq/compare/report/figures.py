"""What do the charts of the page draw? A comparison's figures as JSON that may stand in HTML."""

import json
import math
from collections.abc import Sequence
from typing import Any

from seq2seq.compare.comparison import Comparison, Point, Row
from seq2seq.compare.report import blocks

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
    """A curve for each seed, with no more points than can be seen. One step is taken for all seeds, so that they keep the same updates."""
    longest = max((len(curve) for curve in row.curves), default=0)
    step = math.ceil(longest / MOST_POINTS) or 1
    return [thinned(curve, step) for curve in row.curves]


def thinned(curve: Sequence[Point], step: int) -> list[Point]:
    """Every `step`-th point, and every one with a figure of the dev set."""
    return [point for i, point in enumerate(curve) if i % step == 0 or not (math.isnan(point.dev_loss) and math.isnan(point.dev_score))]


def plain(value: Any) -> Any:
    """The same as dicts, lists and numbers of six digits; what is no number becomes null."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, str | int) or value is None:
        return value
    return [plain(item) for item in value]
