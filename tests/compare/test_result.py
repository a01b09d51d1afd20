"""Choice of the sentences that a report includes."""

import pytest

from seq2seq.compare.result import Comparison, VariantRow, with_sentences


def ten_sentences() -> Comparison:
    lines = [f"{i}" for i in range(10)]
    rows = [VariantRow("a", "rnn", (1,), ("run",), {}, {})]
    return Comparison(
        "title",
        "test",
        lines,
        [[f"reference {i}" for i in lines]],
        [],
        rows,
        "a",
        hypotheses={"a": [f"hypothesis {i}" for i in lines]},
        attention={"a": [f"attention {i}" for i in lines]},  # type: ignore[dict-item]
        qualities={"a": [float(i) for i in lines]},
    )


def test_sentences_are_evenly_spaced_and_stay_together() -> None:
    whole = ten_sentences()
    few = with_sentences(whole, 4)
    places = [0, 2, 5, 7]
    assert few.sources == [whole.sources[i] for i in places]
    assert few.references == [[lines[i] for i in places] for lines in whole.references]
    for field in ("hypotheses", "attention", "qualities"):
        assert getattr(few, field) == {"a": [getattr(whole, field)["a"][i] for i in places]}
    assert few.numbers == [1, 3, 6, 8]
    assert few.sentences == whole.sentences == 10
    assert few.rows is whole.rows


@pytest.mark.parametrize("count", [0, 10, 11])
def test_all_sentences_are_included_by_default(count: int) -> None:
    whole = ten_sentences()
    assert with_sentences(whole, count) is whole
