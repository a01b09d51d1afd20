"""Is everything in the page that was in the comparison, as text and nothing but text? Read with html.parser, without a browser."""

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

from seq2seq.compare.report import blocks, page, write_report
from seq2seq.compare.result import Column, Comparison, Figure, HealthWarning
from seq2seq.evaluation.attention_records import AttentionRecord

Make = Callable[..., Comparison]
EVIL = "</script><img src=x onerror=alert(1)>\"'&<!--"
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Reader(HTMLParser):
    """Elements with their attributes and own text; complains of what is not closed."""

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
    length = int.from_bytes(content[:4], "little")
    return json.loads(content[4 : 4 + length]), content[4 + length :]


def kept(reader: Reader, variant: int, sentences: int, kind: str = "weights") -> list[tuple[Any, np.ndarray]]:
    """Heads and arrays of all sentences, from the blocks alone."""
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


def test_blocks_hold_what_was_looked_at(reader: Reader, comparison: Make) -> None:
    made = comparison(130)
    for variant, explained in enumerate(made.explained.values()):
        for want, (head, weights) in zip(explained, kept(reader, variant, 130), strict=True):
            assert head[0] == list(want.source)
            assert head[1] == list(want.target)
            assert head[3] == [[text, round(score, 4)] for text, score in want.alternatives]
            np.testing.assert_array_equal(weights, want.weights)
            assert (head[2] is None) == (want.centers is None)
            if want.centers is not None:
                np.testing.assert_allclose(head[2], want.centers, atol=5e-4)


def test_maps_are_apart_and_only_of_those_that_have_some(reader: Reader, comparison: Make) -> None:
    made = comparison(130)
    number = list(made.explained).index("transformer")
    for want, (_, maps) in zip(made.explained["transformer"], kept(reader, number, 130, "maps"), strict=True):
        np.testing.assert_array_equal(maps, want.maps)
    assert {e["id"].split("-")[1] for e in reader.tagged("script") if e.get("id", "").startswith("maps-")} == {
        str(number)
    }


def test_texts_and_figures_come_back(reader: Reader, comparison: Make) -> None:
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


def test_the_table_says_every_figure(reader: Reader, comparison: Make) -> None:
    rows = [e["text"] for e in reader.tagged("tr")]
    for row in comparison(130).rows:
        (text,) = [
            text
            for text in rows
            if text.strip().startswith(row.variant + " ") or text.strip().startswith(row.variant + "model")
        ]
        for column in comparison(1).columns:
            if figure := row.figures.get(column.key):
                assert f"{figure.value:,.{column.digits}f}".replace(",", "\u202f") in text
    assert "baseline" in rows[1]
    assert sum("baseline" in text for text in rows) == 1
    values = [float(e["data-value"]) for e in reader.tagged("td") if "data-value" in e]
    assert values == [
        r.figures[c.key].value for r in comparison(1).rows for c in comparison(1).columns if c.key in r.figures
    ]


@pytest.mark.parametrize(
    ("better", "value", "corrected", "said"),
    [
        ("higher", 41.0, {"bootstrap": 0.01, "randomisation": 0.04}, "▲ better"),
        ("higher", 39.0, {"bootstrap": 0.01, "randomisation": 0.04}, "▼ worse"),
        ("lower", 41.0, {"bootstrap": 0.01}, "▼ worse"),
        ("lower", 39.0, {"bootstrap": 0.01}, "▲ better"),
        ("", 39.0, {"bootstrap": 0.01}, "≠ differs"),
        ("higher", 41.0, {"bootstrap": 0.01, "randomisation": 0.06}, ""),  # not by every test
        ("higher", 41.0, {}, ""),
    ],
)
def test_a_difference_is_marked_where_every_test_says_so(
    better: str, value: float, corrected: dict[str, float], said: str, comparison: Make, tmp_path: Path
) -> None:
    made = comparison(1, ("additive", "general"))
    figures = [Figure(40.0, (40.0,)), Figure(value, (value,), corrected=corrected)]
    rows = [replace(row, figures={"x": figure}) for row, figure in zip(made.rows, figures, strict=True)]
    found = read(replace(made, rows=rows, columns=(Column("x", "X", better),)), tmp_path).tagged("td", class_="number")
    marks = [mark for mark in ("▲ better", "▼ worse", "≠ differs") if mark in found[1]["text"]]
    assert marks == ([said] if said else [])
    assert "p" not in found[0]["text"]


def test_broken_runs_warnings_and_notes_are_named(reader: Reader, comparison: Make) -> None:
    (body,) = reader.tagged("body")
    made = comparison(1)
    said = [
        *made.header,
        *made.footnotes,
        *sum(made.broken, ()),
        *(w.sentence for w in made.health),
        *(c.signature for c in made.columns),
    ]
    assert all(sentence in body["text"] for sentence in said)


def evil(comparison: Make) -> Comparison:
    """Markup in every text of a comparison."""
    made = comparison(12, ("additive", "local_p"))
    named = {"additive": EVIL, "local_p": EVIL + "2"}
    rows = [
        replace(row, variant=named[row.variant], settings={EVIL: EVIL}, buckets={EVIL: (1.0,) * 4}) for row in made.rows
    ]
    explained = AttentionRecord((EVIL, ""), (EVIL,), np.full((1, 2), 127, np.uint8), alternatives=((EVIL, -1.0),))  # type: ignore[arg-type]
    rename: Callable[[Any], Any] = lambda mapping: {named[key]: value for key, value in mapping.items()}  # noqa: E731
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
        broken=[(EVIL, EVIL)],
        buckets=[EVIL] * 4,
        health=[HealthWarning(EVIL, EVIL)],
        hypotheses=rename(made.hypotheses),
        qualities=rename(made.qualities),
        quality=EVIL,
        explained={name: [explained] * 12 for name in named.values()},
        windows={EVIL: 3},
        versions={EVIL: EVIL},
    )


def test_nothing_from_data_is_markup(comparison: Make, tmp_path: Path) -> None:
    """The elements are those of a harmless comparison of the same shape."""
    reader = read(evil(comparison), tmp_path)
    assert not reader.tagged("img")
    assert not [e for e in reader.all if any(key.startswith("on") for key in e)]
    assert reader.tagged("h1")[0]["text"] == EVIL
    assert json.loads(reader.block("sources")) == [EVIL] * 12
    styles = [e for e in reader.all if "style" in e or e["tag"] == "style"]
    assert [e["tag"] for e in styles] == ["style"]
    scripts = [e for e in reader.tagged("script") if "type" not in e]
    assert len(scripts) == 1
    assert EVIL not in scripts[0]["text"]


def test_the_page_asks_for_nothing_and_runs_only_its_own(reader: Reader) -> None:
    for element in reader.all:
        assert not {"src", "data", "action", "srcset", "poster"} & element.keys(), element
        assert element.get("href", "#").startswith("#")
    (script,) = [e["text"] for e in reader.tagged("script") if "type" not in e]
    (style,) = [e["text"] for e in reader.tagged("style")]
    assert not re.search(r"https?:|url\(|@import|import\(|fetch\(|XMLHttp|innerHTML|eval\(", script + style)
    (policy,) = [e["content"] for e in reader.tagged("meta") if e.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert f"'{page.sha256(script)}'" in policy
    assert f"'{page.sha256(style)}'" in policy


def test_labels_and_ids(reader: Reader) -> None:
    ids = [e["id"] for e in reader.all if "id" in e]
    assert len(ids) == len(set(ids))
    for element in reader.all:
        for key in ("aria-labelledby", "href"):
            assert element.get(key, ids[0]).lstrip("#") in ids
    assert all(e.get("scope") for e in reader.tagged("th"))


def test_the_largest_are_left_out_and_the_page_says_so(
    comparison: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read(comparison(60), tmp_path)
    monkeypatch.setattr(blocks, "WEIGHTS_CHUNK", 10)
    sizes = {
        kind: sum(len(e["text"]) for e in whole.tagged("script") if e.get("id", "").startswith(kind))
        for kind in ("weights", "maps")
    }
    monkeypatch.setattr(blocks, "LARGEST", sizes["weights"] + sizes["maps"] // 2)
    few = read(comparison(60), tmp_path)
    number = 3
    assert few.has(f"maps-{number}-0")
    assert not few.has(f"maps-{number}-5")
    assert few.has(f"weights-{number}-5")
    (notice,) = [e["text"] for e in few.tagged("p", class_="notice") if "first" in e["text"]]
    of = int(re.findall(r"first (\d+) of 60 sentences", notice)[0])
    assert notice.startswith("Maps of layers and heads")
    assert few.has(f"maps-{number}-{of // 10 - 1}")
    assert not few.has(f"maps-{number}-{of // 10}")
    monkeypatch.setattr(blocks, "WEIGHTS_AT_MOST", sizes["weights"] // 2)
    fewer = read(comparison(60), tmp_path)
    assert not fewer.has("weights-0-5")
    assert len([e for e in fewer.tagged("p", class_="notice") if "first" in e["text"]]) == 2
    assert not [e for e in whole.tagged("p", class_="notice") if "first" in e["text"]]


def test_each_sentence_is_asked_for_once_and_once_more_for_its_maps(comparison: Make, tmp_path: Path) -> None:
    made = comparison(30, ("additive", "transformer"))
    write_report(made, tmp_path / "report.html")
    assert [explained.asked for explained in made.explained.values()] == [30, 60]  # type: ignore[attr-defined]


def test_it_is_written_as_a_stream(comparison: Make, tmp_path: Path) -> None:
    """The memory does not grow with the number of sentences, the page does."""
    explained = comparison(8).explained["transformer"][7]
    peaks, sizes = [], []
    for sentences in (100, 100, 400):  # what is imported and kept comes with the first
        made = comparison(
            1, ("transformer",), sources=[""] * sentences, explained={"transformer": [explained] * sentences}
        )
        tracemalloc.start()
        write_report(made, tmp_path / "report.html")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        sizes.append((tmp_path / "report.html").stat().st_size)
    assert sizes[2] > 3 * sizes[1]
    assert peaks[2] < 1.1 * peaks[1]


def test_a_failed_page_leaves_the_old_one(comparison: Make, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    with pytest.raises(AssertionError):
        write_report(
            comparison(5, explained={"additive": [AttentionRecord(("a",), ("b",), np.zeros((2, 2), np.uint8))] * 5}),
            tmp_path / "report.html",
        )
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("report.html", "old")]


@pytest.mark.parametrize(
    "changes",
    [{"rows": [], "explained": {}, "columns": (), "baseline": ""}, {"sources": [], "references": []}, {"health": ()}],
)
def test_a_comparison_with_little_in_it(changes: dict[str, Any], comparison: Make, tmp_path: Path) -> None:
    assert read(comparison(3, **changes), tmp_path).tagged("table", id="results")


def test_half_a_surrogate_pair_is_written(comparison: Make, tmp_path: Path) -> None:
    made = read(comparison(3, sources=["\ud800", "b", "c"], title="\udcff"), tmp_path)
    assert json.loads(made.block("sources")) == ["\ud800", "b", "c"]
