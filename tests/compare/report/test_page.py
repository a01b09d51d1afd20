"""The report page as HTML, read with html.parser: complete, without markup from data, self-contained, and streamed."""

import base64
import json
import re
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seq2seq.compare.report import blocks, write_report
from seq2seq.compare.result import Column, Comparison, HealthWarning, with_sentences
from seq2seq.evaluation.attention_records import AttentionRecord
from seq2seq.utils.page import sha256

Make = Callable[..., Comparison]
EVIL = "</script><img src=x onerror=alert(1)>\"'&<!--"
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Reader(HTMLParser):
    """The elements of a page with their attributes and text; AssertionError if one is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[dict[str, Any]] = []
        self.all: list[dict[str, Any]] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = {"tag": tag, "text": "", **dict(attrs)}
        self.all.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element["text"] += data

    def tagged(self, tag: str, **attributes: str) -> list[dict[str, Any]]:
        return [
            e
            for e in self.all
            if e["tag"] == tag and all(e.get(key.rstrip("_")) == value for key, value in attributes.items())
        ]

    def block(self, name: str) -> bytes:
        (element,) = self.tagged("script", id=name)
        return zlib.decompress(base64.b64decode(element["text"]))

    def has(self, name: str) -> bool:
        return bool(self.tagged("script", id=name))


def read(comparison: Comparison, folder: Path) -> Reader:
    write_report(comparison, folder / "report.html")
    return Reader((folder / "report.html").read_text(encoding="utf-8"))


def unframed(content: bytes) -> tuple[Any, bytes]:
    """The JSON head and the bytes after it."""
    length = int.from_bytes(content[:4], "little")
    return json.loads(content[4 : 4 + length]), content[4 + length :]


def read_blocks(reader: Reader, variant: int, sentences: int, kind: str = "weights") -> list[tuple[Any, np.ndarray]]:
    """The head and the array of every sentence, from the blocks alone."""
    size = {"weights": blocks.WEIGHTS_CHUNK, "maps": blocks.MAPS_CHUNK}[kind]
    found = []
    for chunk in range(-(-sentences // size)):
        heads, body = unframed(reader.block(f"{kind}-{variant}-{chunk}"))
        shapes = [(len(head[1]), len(head[0])) if kind == "weights" else head for head in heads]
        ends = np.cumsum([0, *[int(np.prod(shape)) for shape in shapes]])
        assert ends[-1] == len(body)
        for head, shape, (start, end) in zip(heads, shapes, pairwise(ends), strict=True):
            found.append((head, np.frombuffer(body[start:end], np.uint8).reshape(shape)))
    return found


@pytest.fixture(scope="module")
def reader(comparison: Make, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return read(comparison(130), tmp_path_factory.mktemp("report"))


def test_blocks_hold_the_attention_records(reader: Reader, comparison: Make) -> None:
    made = comparison(130)
    for variant, records in enumerate(made.attention.values()):
        for record, (head, weights) in zip(records, read_blocks(reader, variant, 130), strict=True):
            assert head[0] == list(record.source)
            assert head[1] == list(record.target)
            assert head[3] == [[text, round(score, 4)] for text, score in record.alternatives]
            np.testing.assert_array_equal(weights, record.weights)
            assert (head[2] is None) == (record.centers is None)
            if record.centers is not None:
                np.testing.assert_allclose(head[2], record.centers, atol=5e-4)


def test_maps_are_blocks_of_the_variants_that_have_some(reader: Reader, comparison: Make) -> None:
    made = comparison(130)
    number = list(made.attention).index("transformer")
    for record, (_, maps) in zip(made.attention["transformer"], read_blocks(reader, number, 130, "maps"), strict=True):
        np.testing.assert_array_equal(maps, record.maps)
    ids = [element.get("id", "") for element in reader.tagged("script")]
    assert {name.split("-")[1] for name in ids if name.startswith("maps-")} == {str(number)}


def test_texts_and_variants_are_in_the_page(reader: Reader, comparison: Make) -> None:
    made = comparison(130)
    assert json.loads(reader.block("sources")) == made.sources
    assert json.loads(reader.block("references-0")) == made.references[0]
    for number, row in enumerate(made.rows):
        assert json.loads(reader.block(f"hypotheses-{number}")) == made.hypotheses[row.variant]
        np.testing.assert_allclose(
            json.loads(reader.block(f"qualities-{number}")), made.qualities[row.variant], atol=0.005
        )
    (data,) = reader.tagged("script", id="comparison")
    assert [variant["name"] for variant in json.loads(data["text"])["variants"]] == [row.variant for row in made.rows]


def test_table_has_every_figure(reader: Reader, comparison: Make) -> None:
    rows = [e["text"] for e in reader.tagged("tr")]
    for row in comparison(130).rows:
        text = next(text for text in rows if text.strip().startswith(row.variant))
        for column in comparison(1).columns:
            if figure := row.figures.get(column.key):
                assert f"{figure.value:,.{column.digits}f}".replace(",", "\u202f") in text
    assert "baseline" in rows[1]
    assert sum("baseline" in text for text in rows) == 1
    values = [float(e["data-value"]) for e in reader.tagged("td", class_="number") if "data-value" in e]
    assert values == [
        r.figures[c.key].value for r in comparison(1).rows for c in comparison(1).columns if c.key in r.figures
    ]


def test_chart_of_the_variants_is_first_then_table_and_explorer(reader: Reader) -> None:
    names = ["variant-chart", "results", "sentence-list", "curve-chart", "length-chart", "speed-chart"]
    assert [e["id"] for e in reader.all if e.get("id") in names] == names


def test_no_row_repeats_the_settings(reader: Reader, comparison: Make) -> None:
    """A row has a few words; all settings, and all run directories, are in disclosures below the table."""
    made = comparison(130)
    rows = [e["text"] for e in reader.tagged("tr")][1 : 1 + len(made.rows)]
    names = {name for row in made.rows for name in row.settings}
    runs = {run for row in made.rows for run in row.runs}
    assert not [row for row in rows if any(word in row for word in names | runs)]
    heads = [e["text"] for e in reader.tagged("th", scope="row")]
    assert all(heads.count(name) == 1 for name in names)
    assert sorted(e["text"] for e in reader.tagged("code") if e["text"] in runs) == sorted(runs)


def test_long_and_many_notes_are_disclosed(comparison: Make, tmp_path: Path) -> None:
    runs = ", ".join(f"runs/variant-{i}-s{seed}" for i in range(9) for seed in (1, 2, 3))
    header = [
        "Short.",
        f"Training is not finished: {runs}.",
        f"{'many words ' * 40}end.",
        "Third.",
        "Fourth.",
        "Fifth.",
    ]
    made = read(comparison(3, header=header), tmp_path)
    summaries = [e["text"].strip() for e in made.tagged("summary")]
    assert summaries[0] == "Training is not finished …"
    assert summaries[1].startswith("many words")
    assert len(summaries[1]) < 170
    assert summaries[2:4] == ["2 more notes", "2 runs left out"]
    (body,) = made.tagged("body")
    assert all(sentence in body["text"] for sentence in header)


def test_findings_are_below_the_table(comparison: Make, tmp_path: Path) -> None:
    made = read(comparison(3, findings=["additive against none: the seeds disagree in BLEU."]), tmp_path)
    (details,) = [e for e in made.tagged("details") if "1 finding about" in e["text"]]
    assert "the seeds disagree in BLEU." in details["text"]


def test_skipped_runs_warnings_and_notes_are_in_the_page(reader: Reader, comparison: Make) -> None:
    (body,) = reader.tagged("body")
    made = comparison(1)
    expected = [
        *made.header,
        *made.footnotes,
        *sum(made.skipped, ()),
        *(warning.sentence for warning in made.health),
        *(column.signature for column in made.columns),
    ]
    assert all(sentence in body["text"] for sentence in expected)


def hostile_comparison(comparison: Make) -> Comparison:
    """EVIL in every text of a comparison."""
    made = comparison(12, ("additive", "local_p"))
    named = {"additive": EVIL, "local_p": EVIL + "2"}
    rows = [
        replace(row, variant=named[row.variant], settings={EVIL: EVIL}, buckets={EVIL: (1.0,) * 4}) for row in made.rows
    ]
    weights = np.full((1, 2), 127, np.uint8)
    record = AttentionRecord((EVIL, ""), (EVIL,), weights, alternatives=((EVIL, -1.0),))  # type: ignore[arg-type]

    def rename(mapping: Any) -> Any:
        return {named[key]: value for key, value in mapping.items()}

    return replace(
        made,
        title=EVIL,
        test=EVIL,
        rows=rows,
        baseline=EVIL,
        sources=[EVIL] * 12,
        references=[[EVIL] * 12],
        columns=(*made.columns[:2], Column("aer", EVIL, "lower", 2, EVIL, EVIL)),
        header=[EVIL],
        footnotes=[EVIL],
        skipped=[(EVIL, EVIL)],
        buckets=[EVIL] * 4,
        health=[HealthWarning(EVIL, EVIL)],
        hypotheses=rename(made.hypotheses),
        qualities=rename(made.qualities),
        quality=EVIL,
        attention={name: [record] * 12 for name in named.values()},
        windows={EVIL: 3},
        versions={EVIL: EVIL},
    )


def test_nothing_from_data_is_markup(comparison: Make, tmp_path: Path) -> None:
    reader = read(hostile_comparison(comparison), tmp_path)
    assert not reader.tagged("img")
    assert not [e for e in reader.all if any(key.startswith("on") for key in e)]
    assert reader.tagged("h1")[0]["text"] == EVIL
    assert json.loads(reader.block("sources")) == [EVIL] * 12
    styles = [e for e in reader.all if "style" in e or e["tag"] == "style"]
    assert [e["tag"] for e in styles] == ["style"]
    scripts = [e for e in reader.tagged("script") if "type" not in e]
    assert len(scripts) == 1
    assert EVIL not in scripts[0]["text"]


def test_page_makes_no_requests_and_allows_only_its_own_script_and_style(reader: Reader) -> None:
    for element in reader.all:
        assert not {"src", "data", "action", "srcset", "poster"} & element.keys(), element
        assert element.get("href", "#").startswith("#")
    (script,) = [e["text"] for e in reader.tagged("script") if "type" not in e]
    (style,) = [e["text"] for e in reader.tagged("style")]
    assert not re.search(r"https?:|url\(|@import|import\(|fetch\(|XMLHttp|innerHTML|eval\(", script + style)
    (policy,) = [e["content"] for e in reader.tagged("meta") if e.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert f"'{sha256(script)}'" in policy
    assert f"'{sha256(style)}'" in policy


def test_ids_are_unique_and_references_to_them_resolve(reader: Reader) -> None:
    ids = [e["id"] for e in reader.all if "id" in e]
    assert len(ids) == len(set(ids))
    for element in reader.all:
        for key in ("aria-labelledby", "href"):
            assert element.get(key, ids[0]).lstrip("#") in ids
    assert all(e.get("scope") for e in reader.tagged("th"))


def test_attention_beyond_the_limits_is_left_out_with_a_notice(
    comparison: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read(comparison(60), tmp_path)
    monkeypatch.setattr(blocks, "WEIGHTS_CHUNK", 10)
    sizes = {
        kind: sum(len(e["text"]) for e in whole.tagged("script") if e.get("id", "").startswith(kind))
        for kind in ("weights", "maps")
    }
    monkeypatch.setattr(blocks, "ATTENTION_LIMIT", sizes["weights"] + sizes["maps"] // 2)
    few = read(comparison(60), tmp_path)
    number = 3
    assert few.has(f"maps-{number}-0")
    assert not few.has(f"maps-{number}-5")
    assert few.has(f"weights-{number}-5")
    (notice,) = [e["text"] for e in few.tagged("p", class_="notice") if "first" in e["text"]]
    included = int(re.findall(r"first (\d+) of 60 sentences", notice)[0])
    assert notice.startswith("Maps of layers and heads")
    assert few.has(f"maps-{number}-{included // 10 - 1}")
    assert not few.has(f"maps-{number}-{included // 10}")
    monkeypatch.setattr(blocks, "WEIGHTS_LIMIT", sizes["weights"] // 2)
    fewer = read(comparison(60), tmp_path)
    assert not fewer.has("weights-0-5")
    assert len([e for e in fewer.tagged("p", class_="notice") if "first" in e["text"]]) == 2
    assert not [e for e in whole.tagged("p", class_="notice") if "first" in e["text"]]


def test_records_are_read_once_and_once_more_for_their_maps(comparison: Make, tmp_path: Path) -> None:
    made = comparison(30, ("additive", "transformer"))
    write_report(made, tmp_path / "report.html")
    assert [records.reads for records in made.attention.values()] == [30, 60]  # type: ignore[attr-defined]


def test_page_is_streamed(comparison: Make, tmp_path: Path) -> None:
    """Memory does not grow with the number of sentences, although the page does."""
    record = comparison(8).attention["transformer"][7]
    peaks, sizes = [], []
    for sentences in (100, 100, 400):  # the first includes imports and caches
        made = comparison(
            1, ("transformer",), sources=[""] * sentences, attention={"transformer": [record] * sentences}
        )
        tracemalloc.start()
        write_report(made, tmp_path / "report.html")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        sizes.append((tmp_path / "report.html").stat().st_size)
    assert sizes[2] > 3 * sizes[1]
    assert peaks[2] < 1.1 * peaks[1]


def test_failure_leaves_the_old_page(comparison: Make, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    with pytest.raises(AssertionError):
        write_report(
            comparison(5, attention={"additive": [AttentionRecord(("a",), ("b",), np.zeros((2, 2), np.uint8))] * 5}),
            tmp_path / "report.html",
        )
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("report.html", "old")]


@pytest.mark.parametrize(
    "changes",
    [{"rows": [], "attention": {}, "columns": (), "baseline": ""}, {"sources": [], "references": []}, {"health": ()}],
)
def test_comparison_with_empty_fields(changes: dict[str, Any], comparison: Make, tmp_path: Path) -> None:
    assert read(comparison(3, **changes), tmp_path).tagged("table", id="results")


def test_lone_surrogates_are_written(comparison: Make, tmp_path: Path) -> None:
    made = read(comparison(3, sources=["\ud800", "b", "c"], title="\udcff"), tmp_path)
    assert json.loads(made.block("sources")) == ["\ud800", "b", "c"]


def test_page_with_some_of_the_sentences(comparison: Make, tmp_path: Path) -> None:
    """It names the size of the whole test set and the number of sentences included."""
    (body,) = read(with_sentences(comparison(sentences=250), 20), tmp_path).tagged("body")
    assert "on 250 sentences of test_2016_flickr" in body["text"]
    assert "20 of the 250 sentences" in body["text"]
