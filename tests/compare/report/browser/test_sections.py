"""The table and the charts of the page in a browser, hostile text, contrast, and the loading time of a large page."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seq2seq.compare.report import blocks, write_report
from seq2seq.compare.result import Comparison, Figure, Point
from seq2seq.evaluation.attention_records import AttentionRecord

Make = Callable[..., Comparison]
SECONDS = 3  # from the request for a page of 10,000 sentences to its first map
HEADS = "[...document.querySelectorAll('#results thead th')]"
CHARTS = ("curve", "length", "speed", "size")
TEXTS = 3  # columns before the measures: variant, what it is, seeds


def column_values(page: Any, number: int) -> list[str]:
    """The values of a column of the results, from top to bottom."""
    rows = "[...document.querySelectorAll('#results tbody tr')]"
    return list(page.js(f"{rows}.map(r => r.cells[{number}].dataset.value ?? '')"))


def elements(selector: str) -> str:
    """JavaScript for an array of the matching elements."""
    return f"[...document.querySelectorAll({selector!r})]"


def test_click_on_a_head_sorts_best_first_and_then_reverses(page: Any, comparison: Make) -> None:
    """Whatever the table was sorted by before. Missing values come last in both orders."""
    for number in range(10):
        better = "lower" if number < TEXTS else comparison(1).columns[number - TEXTS].better
        original = column_values(page, number)
        present = [value for value in original if value]
        ascending = sorted(present) if number < TEXTS else sorted(present, key=float)
        missing = [""] * (len(original) - len(present))
        best_first = ascending[::-1] if better == "higher" else ascending
        for expected, descending in ((best_first, better == "higher"), (best_first[::-1], better != "higher")):
            page.js(f"{HEADS}[{number}].querySelector('button').click()")
            assert column_values(page, number) == [*expected, *missing], number
            sorts = page.js(f"{HEADS}.map(h => h.getAttribute('aria-sort'))")
            assert sorts[number] == ("descending" if descending else "ascending")
            assert sorts.count("none") == 9


def test_enter_key_on_a_head_sorts(page: Any, comparison: Make) -> None:
    page.js(f"{HEADS}[{TEXTS}].querySelector('button').focus()")
    page.key("Enter")
    values = [row.figures["bleu"].value for row in comparison(1).rows]
    assert [float(value) for value in column_values(page, TEXTS)] == sorted(values, reverse=True)


def visible_heads(page: Any) -> list[str]:
    return list(page.js(f"{HEADS}.filter(h => !h.hidden).map(h => h.textContent.trim().split(' ')[0])"))


def test_rows_are_one_line_until_intervals_are_wanted(page: Any) -> None:
    heights = f"{elements('#results tbody tr')}.map(r => r.offsetHeight)"
    assert max(page.js(heights)) < 45
    page.mouse("#show-details", "click")
    assert min(page.js(heights)) > 45


def test_table_and_page_fit_the_window(page: Any, report: Path) -> None:
    """Wide content scrolls inside its own box; the chart and the first measure need no scrolling."""
    try:
        for width in (1400, 1000, 400):
            page.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
            page.open(report)
            page.js(f"{elements('details')}.forEach(d => d.open = true)")
            assert page.js("document.documentElement.scrollWidth") <= width
            for wide in (
                "document.querySelector('#results').parentElement",
                "document.querySelector('#variant-chart')",
            ):
                assert page.js(f"(t => t.scrollWidth <= t.clientWidth)({wide})"), (wide, width)
            assert visible_heads(page)[:1] == ["Variant"]
            assert "BLEU" in visible_heads(page)
            assert page.problems() == []
    finally:
        page.send("Emulation.clearDeviceMetricsOverride")


def test_reader_chooses_the_columns(page: Any) -> None:
    page.js("document.querySelector('#columns').open = true")
    before = visible_heads(page)
    for expected in ([head for head in before if head != "AER"], before):
        page.js(f"{elements('#columns label')}.find(l => l.textContent.startsWith('AER')).click()")
        assert visible_heads(page) == expected


def test_chart_of_the_variants_has_every_seed_best_first(page: Any, comparison: Make) -> None:
    made = comparison(1)
    names = page.js(f"{elements('#variant-chart .name')}.map(e => e.lastChild.textContent)")
    assert names == [row.variant for row in sorted(made.rows, key=lambda row: -row.figures["bleu"].value)]
    assert page.js("document.querySelectorAll('#variant-chart .seed').length") == 3 * len(made.rows)
    assert page.js("document.querySelectorAll('#variant-chart .reference').length") == 1
    page.js("drawVariants('aer')")  # lower is better; one variant has none
    names = page.js(f"{elements('#variant-chart .name')}.map(e => e.lastChild.textContent)")
    rows = [row for row in made.rows if "aer" in row.figures]
    assert names == [row.variant for row in sorted(rows, key=lambda row: row.figures["aer"].value)]


@pytest.mark.parametrize("count", [9, 40])
def test_names_of_points_in_one_place_do_not_overlap(count: int, shown: Any, comparison: Make) -> None:
    made = comparison(1, ("additive",))
    rows = [replace(made.rows[0], variant=f"general variant {i}") for i in range(count)]
    page = shown(1, ("additive",), rows=rows, baseline=rows[0].variant, attention={}, hypotheses={}, qualities={})
    for chart in CHARTS:
        boxes = page.js(
            f"{elements(f'#{chart}-chart .name')}.map(e => e.getBoundingClientRect())"
            ".map(b => [b.left, b.top, b.right, b.bottom])"
        )
        assert len(boxes) == count
        assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if overlap(a, b)], chart
    assert page.problems() == []


def test_curves_are_means_over_seeds(page: Any, comparison: Make) -> None:
    """As computed by NumPy, at the updates that all three seeds have; one seed trains longer than the others."""
    for x, y in product(("update", "seconds", "processor_seconds"), ("dev_score", "dev_loss", "loss")):
        for number, row in enumerate(comparison(1).rows):
            seeds = [{p.update: p for p in curve if not np.isnan(getattr(p, y))} for curve in row.curves]
            updates = sorted(set.intersection(*map(set, seeds)))
            ys = np.array([[getattr(seed[update], y) for update in updates] for seed in seeds])
            xs = np.array([[getattr(seed[update], x) for update in updates] for seed in seeds])
            found = page.js(f"meanCurve(data.variants[{number}].curves, '{x}', '{y}')")
            assert [point["update"] for point in found] == updates
            for name, expected in (("x", xs.mean(0)), ("y", ys.mean(0)), ("low", ys.min(0)), ("high", ys.max(0))):
                np.testing.assert_allclose([point[name] for point in found], expected, rtol=1e-5)
        page.js(f"drawCurves('{x}', '{y}')")
        assert page.js("document.querySelectorAll('#curve-chart .line').length") == 5
        assert not page.js("document.querySelector('main').innerHTML.includes('NaN')")


def test_charts_name_their_variants_without_overlap(page: Any) -> None:
    for chart in CHARTS:
        labels = elements(f"#{chart}-chart .name")
        names = page.js(f"{labels}.map(e => e.querySelector('title').textContent).sort()")
        assert names == ["additive", "general", "local_p", "none", "transformer"]
        rectangles = f"{elements(f'#{chart}-chart svg, #{chart}-chart .name')}.map(e => e.getBoundingClientRect())"
        whole, *boxes = page.js(f"{rectangles}.map(b => [b.left, b.top, b.right, b.bottom])")
        for i, box in enumerate(boxes):
            assert box[0] >= whole[0]
            assert box[2] <= whole[2] + 1
            assert not [other for other in boxes[:i] if overlap(box, other)], chart


def overlap(box: list[float], other: list[float]) -> bool:
    """Whether two boxes (left, top, right, bottom) overlap, by more than 2 px in height."""
    return box[0] < other[2] and box[2] > other[0] and box[1] < other[3] - 2 and box[3] - 2 > other[1]


def test_twenty_variants_with_one_point_each(shown: Any, comparison: Make) -> None:
    """All on the same place of the chart."""
    made = comparison(1, ("additive",))
    curves = ((Point(1, 1, 1, 2.0, 2.0, 30.0),),)
    rows = [replace(made.rows[0], variant=f"a rather long name of variant {i}", curves=curves) for i in range(20)]
    page = shown(1, ("additive",), rows=rows, baseline=rows[0].variant)
    labels = elements("#curve-chart .name")
    heights = page.js(f"{labels}.map(e => Number(e.getAttribute('y')))")
    assert len(heights) == 20
    assert min(np.diff(sorted(heights))) > 10
    assert len(set(page.js(f"{labels}.map(e => e.lastChild.textContent)"))) == 20
    assert page.problems() == []


def test_similar_names_and_ticks_stay_distinct(shown: Any, comparison: Make) -> None:
    """Long names that differ in the middle alone; numbers of parameters that differ from the fourth digit on."""
    sizes = {128: 1_602_000, 256: 1_611_000, 512: 1_634_000}
    names = [f"rnn-general hidden={hidden} label_smoothing=0.1 dropout=0.2" for hidden in sizes]
    rows = [
        replace(row, variant=name, figures={**row.figures, "parameters": Figure(size, (size,))})
        for row, name, size in zip(comparison(2).rows, names, sizes.values(), strict=False)
    ]
    page = shown(2, rows=rows, baseline=rows[0].variant, attention={}, hypotheses={}, qualities={})
    for chart in CHARTS:
        assert page.js(f"{elements(f'#{chart}-chart .name')}.map(e => e.lastChild.textContent).sort()") == names
        boxes = elements(f"#{chart}-chart svg, #{chart}-chart .name")
        right, *ends = page.js(f"{boxes}.map(e => e.getBoundingClientRect().right)")
        assert max(ends) <= right + 1
        for anchor in ("centre", "end"):
            ticks = page.js(f"{elements(f'#{chart}-chart .tick.{anchor}')}.map(e => e.textContent)")
            assert len(ticks) == len(set(ticks)) > 1
    options = page.js(f"{elements('#cost-controls select')}.map(e => [...e.options].map(o => o.text))")
    assert all(len(texts) == len(set(texts)) for texts in options)
    assert page.problems() == []


def test_page_without_figures(shown: Any, comparison: Make) -> None:
    bare = [replace(row, curves=(), buckets={}, figures={}) for row in comparison(1).rows]
    page = shown(3, rows=bare, attention={}, hypotheses={}, qualities={}, columns=())
    assert page.js("document.querySelectorAll('.nothing').length") == 5
    page.key("ArrowRight")
    assert page.js("state.sentence") == 1
    assert page.problems() == []


def test_hostile_names_stay_text(shown: Any, comparison: Make) -> None:
    evil = "</script><img src=x onerror=alert(1)>\"'<!--"
    rows = [replace(comparison(2, ("additive",)).rows[0], variant=evil)]
    attention = {evil: [AttentionRecord((evil, ""), (evil,), np.full((1, 2), 99, np.uint8))] * 2}
    page = shown(2, ("additive",), title=evil, baseline=evil, rows=rows, sources=[evil] * 2, attention=attention)
    assert page.js("document.title") == evil
    assert page.js("document.images.length") == 0
    assert page.js("document.querySelector('.panel h3').textContent") == evil
    assert page.js("document.querySelector('.row-label').textContent") == evil
    assert page.problems() == []


def test_panels_name_what_was_left_out(shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "WEIGHTS_LIMIT", 100_000)
    monkeypatch.setattr(blocks, "ATTENTION_LIMIT", 120_000)
    page = shown(400, ("additive", "transformer"))
    notes = f"{elements('.panel .nothing')}.map(e => e.textContent)"
    page.js("showSentence(399)")
    assert page.js(notes) == ["The weights of this sentence were left out to keep the page small."] * 2
    page.js("showSentence(99)")
    assert page.js(notes) == ["The layers and heads of this sentence were left out to keep the page small."]
    assert page.problems() == []


def test_contrast_in_both_colour_schemes(page: Any) -> None:
    """At least 4.5 to 1 between text and background, 3 to 1 for the lines of charts (WCAG 2, 1.4.3 and 1.4.11)."""
    backgrounds = ["paper", "field", "warn-field"]
    series = [f"series-{n}" for n in range(7)]
    foregrounds = ["ink", "soft", "accent", "better", "worse", *series]
    style = "getComputedStyle(document.documentElement)"
    entries = f"{backgrounds + foregrounds}.map(n => [n, {style}.getPropertyValue('--' + n).trim()])"

    def luminance(name: str) -> float:
        channels = np.array([int(colours[name][i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    def contrast(one: str, other: str) -> float:
        dark, light = sorted((luminance(one), luminance(other)))
        return (light + 0.05) / (dark + 0.05)

    papers = set()
    for scheme in ("light", "dark"):
        page.scheme(scheme)
        colours = page.js(f"Object.fromEntries({entries})")
        papers.add(colours["paper"])
        for name in foregrounds:
            for background in backgrounds if name == "ink" else backgrounds[:2]:
                assert contrast(name, background) >= (3 if name in series else 4.5), (name, background, scheme)
    assert len(papers) == 2


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_thousand_sentences_load_within_seconds(browser: Any, comparison: Make, tmp_path: Path) -> None:
    made = comparison(10_000, ("additive", "general", "local_p", "transformer"))
    write_report(made, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 60_000_000
    assert min(browser.open(tmp_path / "report.html") for _ in range(3)) < SECONDS
    browser.js("showSentence(9999)")
    assert browser.js("document.querySelectorAll('.panel canvas').length") == 3
    assert browser.problems() == []
