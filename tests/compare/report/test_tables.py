"""Cells of the results table, and significance marks."""

import pytest

from seq2seq.compare.report.tables import results_cell, significance_mark
from seq2seq.compare.result import Column, Figure

FIGURE = Figure(1234.56, (1234.0, 1235.0), 0.71, (-1.0, 2000.04), {}, {"bootstrap": 0.0004, "randomisation": 0.25})


def test_cell_has_value_interval_and_the_largest_p() -> None:
    """With narrow spaces between thousands."""
    column = Column("bleu", "BLEU", "higher", 1)
    cell = results_cell(FIGURE, column)
    assert "<b>1\u202f234.6</b>" in cell
    assert "± 0.7<" in cell
    assert "[-1.0, 2\u202f000.0]" in cell
    assert "p 0.250<" in cell
    assert "p &lt;0.001<" in results_cell(FIGURE._replace(corrected={"bootstrap": 0.0004}), column)


@pytest.mark.parametrize(
    ("verdict", "mark"),
    [
        ("better", 'better">▲ better<'),
        ("worse here", 'worse">▽ worse here<'),
        ("differs", 'differs">≠ differs<'),
        ("seeds disagree", 'unsure">? seeds disagree<'),
    ],
)
def test_verdict_is_shown_with_its_symbol(verdict: str, mark: str) -> None:
    assert mark in significance_mark(Figure(41.0, (41.0,), verdict=verdict))
    assert significance_mark(Figure(41.0, (41.0,))) == ""


def test_line_of_a_cell_has_the_symbol_of_its_verdict() -> None:
    """With its words as a label; an empty place where others of the column have one."""
    column = Column("bleu", "BLEU", "higher", 1)
    found = [results_cell(FIGURE._replace(verdict=verdict), column, tested=True) for verdict in ("not over seeds", "")]
    assert (
        '<span class="mark unsure" role="img" aria-label="not over seeds" title="not over seeds">?</span>' in found[0]
    )
    assert '<span class="mark"></span>' in found[1]
    assert "mark" not in results_cell(FIGURE, column)


def test_cell_without_tests_has_no_p() -> None:
    cell = results_cell(Figure(41.0, (41.0,)), Column("x", "X", "higher"))
    assert "p " not in cell
    assert "▲" not in cell
