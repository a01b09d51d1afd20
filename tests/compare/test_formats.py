"""Figures in table cells, and text of runs that must stay text in every table format."""

import json
import re

import pytest

from seq2seq.compare.columns import COLUMNS
from seq2seq.compare.formats import FORMATS, WIDTH, figure_cell, format_p_value, latex, markdown, terminal
from seq2seq.compare.result import Column, Comparison, Figure, VariantRow

EVIL = "cpu\n\\input{/etc/passwd}\u2028<img src=x onerror=alert(1)>\r```\x1b[2J|\x85* [a](b)"
COLUMN = Column("bleu", "BLEU", "higher", 1)
FIGURE = Figure(1234.56, (1234.0, 1235.0), 0.71, (-1.0, 2000.04), {}, {"bootstrap": 0.0004, "randomisation": 0.25})


@pytest.mark.parametrize(
    ("p", "text"), [(0.0, "<0.001"), (0.00099, "<0.001"), (0.001, "0.001"), (0.0506, "0.051"), (1.0, "1.000")]
)
def test_p_value_has_three_decimals(p: float, text: str) -> None:
    assert format_p_value(p) == text


def test_figure_cell_has_value_interval_largest_p_and_verdict() -> None:
    assert figure_cell(COLUMN, FIGURE, 1234.56) == (["1,234.6 ± 0.7", "[-1.0, 2,000.0]", "p 0.250"], True)
    assert figure_cell(COLUMN, FIGURE._replace(verdict="worse here"), None).lines[-1] == "worse here"
    bare = FIGURE._replace(deviation=None, interval=None, corrected={})
    assert figure_cell(COLUMN, bare, 9.0) == (["1,234.6"], False)
    assert figure_cell(COLUMN, None, None).lines == ["-"]


def hostile_comparison() -> Comparison:
    """EVIL in every text that may come from a run."""
    row = VariantRow(
        EVIL, "rnn", (1,), (EVIL,), {EVIL: EVIL}, {"bleu": Figure(20.0, (20.0,))}, buckets={"bleu": (19.0, 21.0)}
    )
    return Comparison(
        EVIL, EVIL, ["a", "b"], [["a", "b"]], [Column("bleu", "BLEU", signature=EVIL)], [row], EVIL,
        header=[EVIL], footnotes=[EVIL], skipped=[(EVIL, EVIL)], buckets=[EVIL, "2"],
    )  # fmt: skip


def test_latex_has_text_of_runs_in_comments_and_cells_only() -> None:
    lines = latex(hostile_comparison(), []).splitlines()
    for line in lines:
        assert re.match(r"% |\\(begin|end)\{tabular\}|\\(top|mid|bottom)rule$|.*\\\\$", line), line
        assert line.startswith("%") or "\\input" not in line
    comments = "\n".join(lines).count("% cpu \\input{/etc/passwd} ")
    assert comments == 4  # title, header, skipped run, footnote


def test_markdown_has_no_markup_from_runs() -> None:
    text = markdown(hostile_comparison(), [])
    for line in text.splitlines():
        assert re.match(r"\*\*cpu |\* |\| |BLEU by source length|$", line), line
        outside_code = re.sub(r"`[^`]*`", "", line.replace("\\`", ""))  # nothing inside inline code is markup
        assert not re.search(r"(?<!\\)(<|>|`|\[)", outside_code), outside_code
    assert "\x1b" not in text


def test_terminal_has_no_control_characters_or_lines_from_runs() -> None:
    text = terminal(hostile_comparison(), [])
    assert "\x1b" not in text
    assert not any(line.startswith(("\\input", "<img")) for line in text.splitlines())


def usual_comparison() -> Comparison:
    """A translation's comparison over seeds, with every column and gold links of one direction."""
    keys = ["bleu", "chrf", "ter", "aer", "entropy", "diagonality", "training_seconds", "peak_memory", "parameters"]
    figure = Figure(
        36.42, (36.0, 36.8), 0.35, (34.87, 37.87), {}, {"bootstrap": 0.5, "seeds": 0.0317}, "seeds disagree"
    )
    figures = dict.fromkeys(keys, figure) | {"parameters": Figure(5995328.0, (5995328.0,) * 3, 0.0)}
    rows = [
        VariantRow(name, "rnn", (1, 2, 3), ("r",), {}, figures) for name in ("rnn-uniform-last", "rnn-general-local_p")
    ]
    columns = [COLUMNS[key].column for key in keys]
    return Comparison(
        "2 variants",
        "test",
        ["a"],
        [["a"]],
        columns,
        rows,
        "rnn-uniform-last",
        findings=["b against a: the seeds disagree."],
    )


def test_default_table_fits_100_characters() -> None:
    """In one piece; with more columns it is split."""
    usual = terminal(usual_comparison(), [])
    assert usual.count("\n variant") == 1
    assert "AER" in usual
    all_of_them = terminal(usual_comparison(), [column.key for column in usual_comparison().columns])
    assert all_of_them.count("\n variant") > 1
    for text in (usual, all_of_them):
        assert max(map(len, text.splitlines())) <= WIDTH == 100


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_that_the_seeds_disagree(name: str) -> None:
    text = FORMATS[name](usual_comparison(), [])
    assert "seeds disagree" in text
    assert ("0.5" if name in ("csv", "json") else "p 0.500") in text
    if name != "csv":
        assert "b against a: the seeds disagree." in text
    if name == "json":
        assert json.loads(text)["rows"][1]["figures"]["bleu"]["verdict"] == "seeds disagree"
