"""Does a page with few sentences to read say what the whole said?"""

from collections.abc import Callable
from pathlib import Path

import pytest

from seq2seq.cli import main
from seq2seq.compare.report import write_report
from seq2seq.compare.result import Comparison, with_sentences

Make = Callable[..., Comparison]


def test_the_sentences_are_evenly_spaced_and_stay_together(comparison: Make) -> None:
    whole = comparison(sentences=10)
    few = with_sentences(whole, 4)
    places = [0, 2, 5, 7]
    assert few.sources == [whole.sources[i] for i in places]
    assert few.references == [[lines[i] for i in places] for lines in whole.references]
    for name in whole.hypotheses:
        assert few.hypotheses[name] == [whole.hypotheses[name][i] for i in places]
        assert few.qualities[name] == [whole.qualities[name][i] for i in places]
        assert [seen.source for seen in few.explained[name]] == [whole.explained[name][i].source for i in places]
    assert few.numbers == [1, 3, 6, 8]
    assert few.rows is whole.rows


@pytest.mark.parametrize("count", [0, 10, 11])
def test_nothing_is_lost_where_all_are_asked_for(count: int, comparison: Make) -> None:
    whole = comparison(sentences=10)
    assert with_sentences(whole, count) is whole


def test_the_page_says_how_many_there_are_and_of_how_many(comparison: Make, tmp_path: Path) -> None:
    write_report(with_sentences(comparison(sentences=250), 20), tmp_path / "few.html")
    page = (tmp_path / "few.html").read_text(encoding="utf-8")
    assert "on 250 sentences of test_2016_flickr" in page
    assert "20 of the 250 sentences" in page


@pytest.mark.parametrize(
    ("words", "said"), [(["5"], "would be ignored"), (["-1", "--report", "x.html"], "is too small")]
)
def test_what_cannot_be_is_one_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "nowhere", "--sentences", *words]) == 2
    assert said in capsys.readouterr().err
