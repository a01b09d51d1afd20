"""Is text of runs nothing but text, wherever it stands in a table?"""

import re

from seq2seq.compare.formats import latex, markdown, terminal
from seq2seq.compare.result import Column, Comparison, Figure, VariantRow

EVIL = "cpu\n\\input{/etc/passwd}\u2028<img src=x onerror=alert(1)>\r```\x1b[2J|\x85* [a](b)"


def spoiled() -> Comparison:
    """Whatever may come from a run says the same."""
    row = VariantRow(
        EVIL, "rnn", (1,), (EVIL,), {EVIL: EVIL}, {"bleu": Figure(20.0, (20.0,))}, buckets={"bleu": (19.0, 21.0)}
    )
    return Comparison(
        EVIL, EVIL, ["a", "b"], [["a", "b"]], [Column("bleu", "BLEU", signature=EVIL)], [row], EVIL,
        header=[EVIL], footnotes=[EVIL], broken=[(EVIL, EVIL)], buckets=[EVIL, "2"],
    )  # fmt: skip


def test_nothing_of_a_run_stands_outside_a_comment_or_a_cell_of_latex() -> None:
    for line in latex(spoiled(), []).splitlines():
        assert re.match(r"% |\\(begin|end)\{tabular\}|\\(top|mid|bottom)rule$|.*\\\\$", line), line
        assert line.startswith("%") or "\\input" not in line
    assert latex(spoiled(), []).count("% cpu \\input{/etc/passwd} ") == 4  # title, header, broken, footnote


def test_nothing_of_a_run_is_markup_in_markdown() -> None:
    said = markdown(spoiled(), [])
    for line in said.splitlines():
        assert re.match(r"\*\*cpu |\* |\| |BLEU by source length|$", line), line
        outside = re.sub(r"`[^`]*`", "", line.replace("\\`", ""))  # of code, in which nothing is markup
        assert not re.search(r"(?<!\\)(<|>|`|\[)", outside), outside
    assert "\x1b" not in said


def test_the_terminal_shows_no_other_lines_than_ours() -> None:
    assert "\x1b" not in terminal(spoiled(), [])
    assert not any(line.startswith(("\\input", "<img")) for line in terminal(spoiled(), []).splitlines())
