"""Tables of people's own: headers, quotes, columns; and a row that is no pair is refused, never learned as text."""

import csv
import io
from pathlib import Path

import pytest

from seq2seq.data.readers import READERS, FileLayout, Pair
from seq2seq.errors import DataError

PAIRS = [Pair("A man.", "Ein Mann."), Pair("No", "Nein"), Pair("in", "de")]


def table(rows: list[tuple[str, ...]], kind: str) -> str:
    """Rows as a spreadsheet writes them."""
    if kind == "tsv":
        return "".join("\t".join(row) + "\n" for row in rows)
    csv.writer(out := io.StringIO()).writerows(rows)
    return out.getvalue()


def read(text: str | bytes, kind: str, root: Path, *columns: int, source: str = "en", target: str = "de") -> list[Pair]:
    path = root / f"train.{kind}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(READERS[kind]([path.name], FileLayout(root, source, target, columns, breaks=" ")))


@pytest.mark.parametrize("kind", ["tsv", "csv"])
@pytest.mark.parametrize(
    ("header", "source", "target"),
    [
        (("en", "de"), "en", "de"),
        (("id", " en", "de ", "checked by"), "en", "de"),
        (("de", "note", "en"), "en", "de"),
        (("English text", "German text"), "English text", "German text"),
        (("source", "target", "source.1"), "source", "target"),
    ],
)
def test_header_row_chooses_the_columns(
    kind: str, header: tuple[str, ...], source: str, target: str, tmp_path: Path
) -> None:
    rows = [tuple({source: p.source, target: p.target}.get(name.strip(), "7") for name in header) for p in PAIRS]
    assert read(table([header, *rows], kind), kind, tmp_path, source=source, target=target) == PAIRS


@pytest.mark.parametrize("kind", ["tsv", "csv"])
def test_table_without_header(kind: str, tmp_path: Path) -> None:
    assert read(table([*PAIRS], kind), kind, tmp_path) == PAIRS
    wide = [("1", p.target, p.source, "me") for p in PAIRS]
    assert read(table([*wide], kind), kind, tmp_path, 2, 1) == PAIRS
    header = [Pair("en", "de"), *PAIRS]
    assert read(table([*header], kind), kind, tmp_path, 0, 1) == header  # on request it is a pair as any other


@pytest.mark.parametrize("kind", ["tsv", "csv"])
@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([("a", "b"), ("c", "d", "e")], (), ":2: 3 fields, but line 1 has 2"),
        ([("a", "b", "x"), ("c", "d")], (0, 1), ":2: 2 fields, but line 1 has 3"),
        ([("a", "b"), ("c",)], (), ":2: 1 field, but line 1 has 2"),
        ([("en", "de"), ("c", "d", "e")], (), ":2: 3 fields, but line 1 has 2"),
        ([("a", "b", "c")], (), ":1: 3 fields: choose two, either by data.columns=[0,1]"),
        ([("a",)], (), ":1: 1 field, but two are needed"),
        ([("a", "b")], (0, 2), ":1: 2 fields, but data.columns=[0,2]"),
        ([("en", "de", "en")], (), ":1: the header has 2 columns 'en'"),
        ([("English", "German")], (), ":1: this looks like a header, with the columns English, German, but lacks 'en'"),
        ([("id", "English", "German", "checked by")], (), "or 'de' (did you mean 'English' and 'German'?): set data.s"),
        ([("id", "French", "German")], (), "but lacks 'en' or 'de': set data.source"),
        ([("EN", "DE")], (), "looks like a header, with the columns EN, DE, but lacks 'en' or 'de'"),
        ([("source", "target_text")], (), "looks like a header"),
        ([("src", "tgt")], (), "looks like a header"),
        ([("source_text", "target_text")], (), "data.columns=[0,1]"),
        ([("de", "fr")], (), "lacks 'en' or 'de'"),
    ],
)
def test_row_that_is_no_pair_is_refused(
    kind: str, rows: list[tuple[str, ...]], columns: tuple[int, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        read(table(rows, kind), kind, tmp_path, *columns)
    assert f"train.{kind}:" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "pairs",
    [
        [Pair("Hi", "Hallo")],
        [Pair("No.", "Nein."), Pair("en", "de")],
        [Pair("I speak English", "Ich spreche Deutsch")],
        [Pair("text", "Wort")],
    ],
)
def test_first_pairs_that_are_text_are_read(pairs: list[Pair], tmp_path: Path) -> None:
    assert read(table([*pairs], "tsv"), "tsv", tmp_path) == pairs


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ('"a, b","c ""d"" e"\r\nf,g', [Pair("a, b", 'c "d" e'), Pair("f", "g")]),
        ('"two\nlines","zwei\r\nZeilen"\n', [Pair("two lines", "zwei Zeilen")]),
        ("\ufeffen,de\na,b\n", [Pair("a", "b")]),
        ('\ufeff"en","de"\n"a","b"\n', [Pair("a", "b")]),
        ("en;de\na, b;c, d\n", [Pair("a, b", "c, d")]),
        ('en\tde\n"a"\tb\n', [Pair("a", "b")]),
        ('"a, b, c";d\n', [Pair("a, b, c", "d")]),
        ('a, "b, c"\n', [Pair("a", "b, c")]),
        ("a,b\n\n\nc,d\n\n", [Pair("a", "b"), Pair("c", "d")]),
        (",\na,\n", [Pair("", ""), Pair("a", "")]),
        ("a\u2028b,c\u0085d\x0c\n", [Pair("a\u2028b", "c\u0085d\x0c")]),
        (f"{'a' * 200_000},b\n", [Pair("a" * 200_000, "b")]),
        ("", []),
    ],
)
def test_csv_as_programs_write_it(text: str, pairs: list[Pair], tmp_path: Path) -> None:
    assert read(text, "csv", tmp_path) == pairs


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a,b\n"c,d\ne,f\n', 2),
        ('a,b\nc,"d" e\n', 2),
        ('a,"b\nb"\nc,d\n"e"f,g\n', 4),
        ("a,b\rc,d\r", 1),
        ('a,b\n"' + "c" * (1 << 24) + "\n" + "d\n", 2),
    ],
)
def test_csv_that_is_not_valid_is_refused(text: str, line: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"train\.csv:{line}: not valid CSV: a quote is not closed"):
        read(text, "csv", tmp_path)


def test_quotes_in_tsv_are_text(tmp_path: Path) -> None:
    assert read('"a"\tb "c\n', "tsv", tmp_path) == [Pair('"a"', 'b "c')]
