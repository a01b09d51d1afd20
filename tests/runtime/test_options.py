"""Search options: length limits and seeds of single sentences."""

import pytest

from seq2seq.runtime.options import length_limits, sentence_seed


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (0, 25)),  # 3 * 5 + 10
        ({"max_length": 20}, (0, 20)),
        ({"min_length": 40}, (40, 40)),
        ({"min_ratio": 1.5, "max_ratio": 2.0}, (7, 20)),
        ({"min_length": 40, "max_length": 30}, (30, 30)),
    ],
)
def test_length_limits_on_paper(options: dict[str, float], expected: tuple[int, int]) -> None:
    usual = {"min_length": 0, "max_length": 200, "min_ratio": 0.0, "max_ratio": 3.0}
    assert length_limits(5, **usual | options) == expected  # type: ignore[arg-type]


def test_sentence_seed_depends_on_order_and_length() -> None:
    sentences = [[4, 5, 3], [5, 4, 3], [4, 5, 5, 3], [0, 4, 5, 3], [4, 3]]
    assert len({sentence_seed(ids, seed) for ids in sentences for seed in (1, 2)}) == 10
