"""The report: differences of texts, lossy lines and overlap of training and test sources."""

import pytest

from seq2seq.data.readers import Pair
from seq2seq.data.report import Overlap, RoundTrip, text_differences


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("a\u00a0b", "a b", ["U+00A0 -> ' '"]),
        ("a☃b", "a⁇b", ["U+2603 -> '⁇'"]),
        ("a  b", "a b", ["' ' -> ''"]),
        ("same", "same", []),
        ("x\ty\tz", "x y z", ["U+0009 -> ' '"] * 2),
    ],
)
def test_text_differences(before: str, after: str, shown: list[str]) -> None:
    assert text_differences(before, after) == shown


def test_round_trip_and_overlap_counts() -> None:
    round_trip = RoundTrip()
    for text, back in [("a", "a"), ("b\u00a0", "b "), ("c\u00a0", "c ")]:
        round_trip.add(text, back)
    assert (round_trip.lines, round_trip.lossy, round_trip.differences) == (3, 2, {"U+00A0 -> ' '": 2})
    overlap = Overlap({"dev": [Pair("x", "1"), Pair("y", "2"), Pair("x", "3")], "test": []})
    for source in ("x", "z"):
        overlap.add(source)
    assert overlap.counts() == {"dev": [2, 3], "test": [0, 0]}
