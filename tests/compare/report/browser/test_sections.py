"""Do the table and the charts of the page work in a browser, how soon is a large page there, and can hostile text do anything?"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seq2seq.compare.report import write_report
from seq2seq.compare.result import Comparison, Figure, Point
from seq2seq.evaluation.attention_records import AttentionRecord

Make = Callable[..., Comparison]
SECONDS = 3  # from asking for the page of 10,000 sentences to its first map
HEADS = "[...document.querySelectorAll('#results thead th')]"


def column(page: Any, number: int) -> list[str]:
    return list(
        page.js(f"[...document.querySelectorAll('#results tbody tr')].map(r => r.cells[{number}].dataset.value ?? '')")
    )


@pytest.mark.parametrize("number", range(8))
def test_a_click_on_a_head_sorts_best_first_then_the_other_way(number: int, page: Any, comparison: Make) -> None:
    """What is missing comes last either way."""
    better = "lower" if number == 0 else comparison(1).columns[number - 1].better
    original = column(page, number)
    known = sorted((value for value in original if value), key=(lambda v: v) if number == 0 else float)  # type: ignore[arg-type]
    missing = [""] * (len(original) - len(known))
    best = known[::-1] if better == "higher" else known
    for want, direction in ((best, better == "higher"), (best[::-1], better != "higher")):
        page.js(f"{HEADS}[{number}].querySelector('button').click()")
        assert column(page, number) == [*want, *missing]
        sorts = page.js(f"{HEADS}.map(h => h.getAttribute('aria-sort'))")
        assert sorts[number] == ("descending" if direction else "ascending")
        assert sorts.count("none") == 7


def test_a_head_can_be_sorted_by_keys(page: Any, comparison: Make) -> None:
    page.js(f"{HEADS}[1].querySelector('button').focus()")
    page.key("Enter")
    values = [row.figures["bleu"].value for row in comparison(1).rows]
    assert [float(value) for value in column(page, 1)] == sorted(values, reverse=True)


@pytest.mark.parametrize("x", ["update", "seconds", "processor_seconds"])
@pytest.mark.parametrize("y", ["dev_score", "dev_loss", "loss"])
def test_curves_are_means_over_the_seeds(x: str, y: str, page: Any, comparison: Make) -> None:
    """A NumPy twin: at the updates that all three seeds have, of which one goes on longer than another."""
    for number, row in enumerate(comparison(1).rows):
        seeds = [{p.update: p for p in curve if not np.isnan(getattr(p, y))} for curve in row.curves]
        updates = sorted(set.intersection(*map(set, seeds)))
        values = np.array([[getattr(seed[update], y) for update in updates] for seed in seeds])
        places = np.array([[getattr(seed[update], x) for update in updates] for seed in seeds])
        found = page.js(f"meanCurve(data.variants[{number}].curves, '{x}', '{y}')")
        assert [point["update"] for point in found] == updates
        for name, want in (
            ("x", places.mean(0)),
            ("y", values.mean(0)),
            ("low", values.min(0)),
            ("high", values.max(0)),
        ):
            np.testing.assert_allclose([point[name] for point in found], want, rtol=1e-5)
    page.js(f"drawCurves('{x}', '{y}')")
    assert page.js("document.querySelectorAll('#curve-chart .line').length") == 5
    assert not page.js("document.querySelector('main').innerHTML.includes('NaN')")


def test_every_chart_names_its_variants_inside_it(page: Any) -> None:
    for chart in ("curve", "length", "speed", "size"):
        names = page.js(
            f"[...document.querySelectorAll('#{chart}-chart .name')].map(e => e.querySelector('title').textContent).sort()"
        )
        assert names == ["additive", "general", "local_p", "none", "transformer"]
        boxes = page.js(f"""[...document.querySelectorAll('#{chart}-chart svg, #{chart}-chart .name')]
            .map(e => e.getBoundingClientRect()).map(b => [b.left, b.top, b.right, b.bottom])""")
        whole, texts = boxes[0], boxes[1:]
        for i, box in enumerate(texts):
            assert box[0] >= whole[0]
            assert box[2] <= whole[2] + 1
            assert not [
                o for o in texts[:i] if box[0] < o[2] and box[2] > o[0] and box[1] < o[3] - 2 and box[3] - 2 > o[1]
            ], chart


def test_many_variants_and_lone_points(shown: Any, comparison: Make) -> None:
    """Twenty variants on the same place, one point each."""
    made = comparison(1, ("additive",))
    rows = [
        replace(made.rows[0], variant=f"a rather long name of variant {i}", curves=((Point(1, 1, 1, 2.0, 2.0, 30.0),),))
        for i in range(20)
    ]
    page = shown(1, ("additive",), rows=rows, baseline=rows[0].variant)
    places = page.js("[...document.querySelectorAll('#curve-chart .name')].map(e => Number(e.getAttribute('y')))")
    assert len(places) == 20
    assert min(np.diff(sorted(places))) > 10
    assert (
        len(set(page.js("[...document.querySelectorAll('#curve-chart .name')].map(e => e.lastChild.textContent)")))
        == 20
    )
    assert page.complaints() == []


def test_names_and_ticks_that_would_read_alike_are_told_apart(shown: Any, comparison: Make) -> None:
    """Long names that differ in the middle alone; numbers of parameters that do from the fourth digit on."""
    sizes = {128: 1_602_000, 256: 1_611_000, 512: 1_634_000}
    names = [f"rnn-general hidden={hidden} label_smoothing=0.1 dropout=0.2" for hidden in sizes]
    rows = [
        replace(row, variant=name, figures={**row.figures, "parameters": Figure(size, (size,))})
        for row, name, size in zip(comparison(2).rows, names, sizes.values(), strict=False)
    ]
    page = shown(2, rows=rows, baseline=rows[0].variant, attention={}, hypotheses={}, qualities={})
    for chart in ("curve", "length", "speed", "size"):
        assert (
            page.js(f"[...document.querySelectorAll('#{chart}-chart .name')].map(e => e.lastChild.textContent).sort()")
            == names
        )
        right, *ends = page.js(
            f"[...document.querySelectorAll('#{chart}-chart svg, #{chart}-chart .name')].map(e => e.getBoundingClientRect().right)"
        )
        assert max(ends) <= right + 1
        for anchor in ("centre", "end"):
            ticks = page.js(f"[...document.querySelectorAll('#{chart}-chart .tick.{anchor}')].map(e => e.textContent)")
            assert len(ticks) == len(set(ticks)) > 1
    options = page.js(
        "[...document.querySelectorAll('#cost-controls select')].map(e => [...e.options].map(o => o.text))"
    )
    assert all(len(texts) == len(set(texts)) for texts in options)
    assert page.complaints() == []


def test_nothing_to_draw(shown: Any, comparison: Make) -> None:
    bare = [replace(row, curves=(), buckets={}, figures={}) for row in comparison(1).rows]
    page = shown(3, rows=bare, attention={}, hypotheses={}, qualities={}, columns=())
    assert page.js("document.querySelectorAll('.nothing').length") == 4
    page.key("ArrowRight")
    assert page.js("state.number") == 1
    assert page.complaints() == []


def test_hostile_names_stay_text(shown: Any, comparison: Make) -> None:
    evil = "</script><img src=x onerror=alert(1)>\"'<!--"
    made = comparison(2, ("additive",))
    explained = {evil: [AttentionRecord((evil, ""), (evil,), np.full((1, 2), 99, np.uint8))] * 2}
    page = shown(
        2,
        ("additive",),
        title=evil,
        baseline=evil,
        rows=[replace(made.rows[0], variant=evil)],
        sources=[evil] * 2,
        attention=explained,
    )
    assert page.js("document.title") == evil
    assert page.js("document.images.length") == 0
    assert page.js("document.querySelector('.panel h3').textContent") == evil
    assert page.js("document.querySelector('.row').textContent") == evil
    assert page.complaints() == []


def test_what_was_left_out_is_said_where_it_is_missed(shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from seq2seq.compare.report import blocks

    monkeypatch.setattr(blocks, "WEIGHTS_LIMIT", 100_000)
    monkeypatch.setattr(blocks, "ATTENTION_LIMIT", 120_000)
    page = shown(400, ("additive", "transformer"))
    page.js("choose(399)")
    assert (
        page.js("[...document.querySelectorAll('.panel .nothing')].map(e => e.textContent)")
        == ["The weights of this sentence were left out to keep the page small."] * 2
    )
    page.js("choose(99)")
    assert page.js("[...document.querySelectorAll('.panel .nothing')].map(e => e.textContent)") == [
        "Its layers and heads were left out to keep the page small."
    ]
    assert page.complaints() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_colour_schemes(scheme: str, page: Any) -> None:
    """At least 4.5 to 1 between text and what it stands on, 3 to 1 for lines of charts (WCAG 2, 1.4.3 and 1.4.11)."""
    page.scheme(scheme)
    names = [
        "paper",
        "field",
        "warn-field",
        "ink",
        "soft",
        "accent",
        "better",
        "worse",
        *(f"series-{n}" for n in range(7)),
    ]
    colours = page.js(
        f"Object.fromEntries({names}.map(n => [n, getComputedStyle(document.documentElement).getPropertyValue('--' + n).trim()]))"
    )

    def luminance(name: str) -> float:
        channels = np.array([int(colours[name][i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    def contrast(one: str, other: str) -> float:
        dark, light = sorted((luminance(one), luminance(other)))
        return (light + 0.05) / (dark + 0.05)

    for name in names[3:]:
        for paper in ("paper", "field") if name != "ink" else ("paper", "field", "warn-field"):
            assert contrast(name, paper) >= (3 if name.startswith("series") else 4.5), (name, paper)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_thousand_sentences_are_there_soon(browser: Any, comparison: Make, tmp_path: Path) -> None:
    made = comparison(10_000, ("additive", "general", "local_p", "transformer"))
    write_report(made, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 60_000_000
    assert min(browser.open(tmp_path / "report.html") for _ in range(3)) < SECONDS
    browser.js("choose(9999)")
    assert browser.js("document.querySelectorAll('.panel canvas').length") == 3
    assert browser.complaints() == []
