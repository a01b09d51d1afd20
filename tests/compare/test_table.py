"""Do figures read alike in every table?"""

import pytest

from seq2seq.compare.formats import figure_cell, p_value
from seq2seq.compare.report import tables
from seq2seq.compare.result import Column, Figure

COLUMN = Column("bleu", "BLEU", "higher", 1)
FIGURE = Figure(1234.56, (1234.0, 1235.0), 0.71, (-1.0, 2000.04), {}, {"bootstrap": 0.0004, "randomisation": 0.25})


@pytest.mark.parametrize(
    ("p", "words"), [(0.0, "<0.001"), (0.00099, "<0.001"), (0.001, "0.001"), (0.0506, "0.051"), (1.0, "1.000")]
)
def test_a_p_value_has_three_places(p: float, words: str) -> None:
    assert p_value(p) == words


def test_a_figure_of_a_table() -> None:
    assert figure_cell(COLUMN, FIGURE, 1234.56) == (["1,234.6 ± 0.7", "[-1.0, 2,000.0]", "p <0.001 / 0.250"], True)
    assert figure_cell(COLUMN, FIGURE._replace(deviation=None, interval=None, corrected={}), 9.0) == (
        ["1,234.6"],
        False,
    )
    assert figure_cell(COLUMN, None, None).lines == ["-"]


def test_a_figure_of_the_page() -> None:
    """The same with narrow spaces, and the largest p."""
    cell = tables.cell(FIGURE, COLUMN, None)
    assert "<b>1\u202f234.6</b>" in cell
    assert "± 0.7<" in cell
    assert "[-1.0, 2\u202f000.0]" in cell
    assert "p 0.250<" in cell
    assert "p &lt;0.001<" in tables.cell(FIGURE._replace(corrected={"bootstrap": 0.0004}), COLUMN, None)
