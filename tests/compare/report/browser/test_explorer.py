"""Does the page do in a browser what it promises? Every test ends with an empty console and no request but for the file."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from seq2seq.compare.result import Comparison
from seq2seq.data.tokenizer import SPACE_MARK
from seq2seq.data.word_links import word_indices, words_from_pieces
from seq2seq.evaluation.alignment import merge
from seq2seq.evaluation.attention_records import AttentionRecord

Make = Callable[..., Comparison]
PIXELS = """JSON.stringify([...document.querySelectorAll('.panel canvas')].map(
    c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]))"""
ROW = ".panel[data-variant='%d'] .row:nth-child(%d)"


def select(page: Any, label: str, value: object, within: str = "document") -> None:
    """Choose a value of the select whose label begins so."""
    page.js(f"""(() => {{
        const labels = [...{within}.querySelectorAll('label')];
        const select = labels.find(l => l.textContent.startsWith({label!r})).querySelector('select');
        select.value = {str(value)!r};
        select.dispatchEvent(new Event('change'));
    }})()""")


def sentence(page: Any) -> int:
    """The number of the sentence whose panels are drawn, once they are."""
    page.until("document.documentElement.dataset.drawn === String(state.number)")
    return int(page.js("state.number"))


def texts(page: Any, selector: str) -> list[str]:
    return list(page.js(f"[...document.querySelectorAll({selector!r})].map(e => e.textContent)"))


def show(page: Any, *variants: int) -> None:
    page.js(f"(state.shown = new Set({list(variants)}), drawPanels())")


def test_it_opens_with_the_first_sentence_and_the_baseline(page: Any) -> None:
    assert sentence(page) == 0
    assert texts(page, ".panel h3") == ["additive", "general", "local_p"]
    assert texts(page, "#sentence dt") == [
        "Source",
        "Reference",
        "additive",
        "general",
        "local_p",
        "transformer",
        "none",
    ]
    assert page.js("document.querySelector('#sentence dd[dir]').textContent") == "The old teacher opens the window ."


def test_another_sentence_has_other_maps(page: Any) -> None:
    before = page.js(PIXELS)
    page.mouse("#entry-2", "click")
    assert sentence(page) == 2
    assert page.js(PIXELS) != before
    assert page.js("document.querySelector('#entry-2').getAttribute('aria-selected')") == "true"


def test_arrows_go_through_the_sentences(page: Any) -> None:
    for key, now in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1)):
        page.key(key)
        assert sentence(page) == now
    page.js("document.querySelector('#sentence-list').focus()")
    for _ in range(40):
        page.key("ArrowDown")
    assert sentence(page) == 41
    inside = "(l, e) => e.top >= l.top - 1 && e.bottom <= l.bottom + 1"
    rectangles = "...['#sentence-list', '#entry-41'].map(s => document.querySelector(s).getBoundingClientRect())"
    page.until(f"document.querySelector('#entry-41') && ({inside})({rectangles})")


def test_pixels_are_the_weights(page: Any, comparison: Make) -> None:
    """In light colours a weight of 0 is paper, of 1 the deepest blue: each pixel lies as far between as its weight."""
    page.scheme("light")
    page.js("state.merged = false")
    page.js("choose(1)")
    for variant, pixels in zip(("additive", "general", "local_p"), json.loads(page.js(PIXELS)), strict=True):
        weights = comparison(130).attention[variant][1].weights.astype(float).ravel() / 255
        reds = np.array(pixels).reshape(-1, 4)[:, 0]
        np.testing.assert_allclose(reds, 255 + (8 - 255) * weights, atol=1)


def test_pointing_at_a_word_shows_what_every_variant_looked_at(page: Any, comparison: Make) -> None:
    page.js("(state.merged = false, choose(1))")
    page.mouse(ROW % (0, 2))
    for variant, name in ((0, "additive"), (1, "general"), (2, "local_p")):
        explained = comparison(130).attention[name][1]
        assert page.js(f"document.querySelector({ROW % (variant, 2)!r}).getAttribute('aria-selected')") == "true"
        figures = texts(page, f".panel[data-variant='{variant}'] .word i")
        row = explained.weights[1] / 255
        assert figures == [f"{weight:.2f}" if weight >= 0.02 else "" for weight in row]
        seen = page.js(f"[...document.querySelectorAll(\".panel[data-variant='{variant}'] .word.seen\")].length")
        assert seen == (row >= 0.02).sum()
    page.mouse("h1")
    assert page.js("document.querySelectorAll('.word.seen').length") == 0


def test_a_word_that_another_does_not_write(shown: Any, comparison: Make) -> None:
    explained = {}
    for number, (name, target) in enumerate(
        {"additive": ("\u2581rot", ""), "general": ("\u2581blau", "\u2581rot", "")}.items()
    ):
        weights = np.full((len(target), 2), 100 + number, np.uint8)
        explained[name] = [AttentionRecord(("\u2581red", ""), target, weights)]
    page = shown(1, ("additive", "general"), attention=explained)
    page.mouse(ROW % (1, 1))
    assert texts(page, ".note") == ["does not write “blau”", "“blau”"]
    page.mouse(ROW % (0, 1))
    assert texts(page, ".note") == ["“rot”", "“rot”"]
    assert page.complaints() == []


def test_a_click_keeps_a_word_and_keys_go_on_from_it(page: Any) -> None:
    page.mouse(ROW % (0, 2), "click")
    page.mouse("h1")
    chosen = "[...document.querySelectorAll(\".panel[data-variant='0'] .row\")].findIndex(r => r.getAttribute('aria-selected') === 'true')"
    assert page.js(chosen) == 1
    page.js("document.querySelector('.panel .rows').focus()")
    page.key("ArrowDown")
    assert page.js(chosen) == 2
    page.key("ArrowRight")
    assert sentence(page) == 1
    assert page.js("document.activeElement.className") == "rows"
    page.key("ArrowDown")
    assert page.js(chosen) == 0
    page.key("Escape")
    assert page.js(chosen) == -1


def test_layers_and_heads_of_a_transformer(page: Any, comparison: Make) -> None:
    page.scheme("light")
    page.js("(state.merged = false, choose(2))")
    show(page, 3)
    panel, drawn = "document.querySelector('.panel')", []
    maps = comparison(130).attention["transformer"][2].maps
    assert maps is not None
    for layer, head, want in [
        ("0", "mean", maps[0].mean(0)),
        ("0", "3", maps[0, 3]),
        ("1", "3", maps[1, 3]),
        ("mean", "mean", maps.mean((0, 1))),
        ("mean", "2", maps[:, 2].mean(0)),
    ]:
        for label, value in (("Weights", layer), ("Head", head)):
            turn = page.js("state.turn")
            select(page, label, value, panel)
            page.until(f"state.turn > {turn} && {panel}.querySelector('select').value === {layer!r}")
            page.js("drawPanels()")
        pixels = page.js(PIXELS)
        reds = np.array(json.loads(pixels)[0]).reshape(-1, 4)[:, 0]
        np.testing.assert_allclose(reds, 255 - 247 / 255 * want.ravel(), atol=1.5)
        drawn.append(pixels)
    assert len(set(drawn)) == len(drawn)
    page.key("ArrowRight")
    assert sentence(page) == 3
    assert page.js(f"[...{panel}.querySelectorAll('select')].map(s => s.value)") == ["mean", "2"]


def test_local_p_shows_its_centre_and_its_gaussian(page: Any, comparison: Make) -> None:
    """The dot of each row is over its centre; the curve is highest there, and e^-2 as high D positions away."""
    explained = comparison(130).attention["local_p"][2]
    assert explained.centers is not None
    page.js("(state.merged = false, choose(2))")
    at = page.js(
        "[...document.querySelectorAll(\".panel[data-variant='2'] .over .centre\")].map(c => Number(c.getAttribute('cx')))"
    )
    most = len(explained.source) - 1
    np.testing.assert_allclose(at, [(np.clip(center, -0.5, most) + 0.5) * 24 for center in explained.centers], atol=0.1)
    assert page.js("document.querySelectorAll(\".panel[data-variant='0'] .centre\").length") == 0
    page.mouse(ROW % (2, 6))
    path = page.js("document.querySelector(\".panel[data-variant='2'] .gaussian\").getAttribute('d')")
    points = np.array([[float(x) for x in point.split(",")] for point in path.strip("M").split("L")])
    base, curve = points[0, 1], points[1:-1]
    heights = base - curve[:, 1]
    assert curve[heights.argmax(), 0] == pytest.approx((explained.centers[5] + 0.5) * 24, abs=2)
    distance = (curve[:, 0] / 24 - 0.5 - explained.centers[5]) / 3
    np.testing.assert_allclose(heights / heights.max(), np.exp(-2 * distance**2), atol=0.01)
    assert texts(page, ".panel[data-variant='2'] .note")[0].endswith(f"window centre {explained.centers[5]:.1f} ± 3")


def test_other_hypotheses_of_the_beam(page: Any, comparison: Make) -> None:
    rows = texts(page, ".panel[data-variant='0'] .beam li")
    assert rows == [
        f"{score:.3f}".replace("-", "−") + text for text, score in comparison(1).attention["additive"][0].alternatives
    ]
    assert not texts(page, ".panel[data-variant='1'] .beam li")


@pytest.mark.parametrize("number", range(9))
def test_words_are_made_as_elsewhere(number: int, page: Any, comparison: Make) -> None:
    explained = comparison(130).attention["general"][number]
    made = f"explained(1, {number}).then(s => viewOf(s, s.weights, true))"
    view = page.js(f"{made}.then(v => ({{s: v.source.labels, t: v.target.labels, w: [...v.weights]}}))")
    source, target = explained.source[:-1], explained.target[:-1]
    assert view["s"] == [*words_from_pieces(source), "⏎"]
    assert view["t"] == ([*words_from_pieces(target), "⏎"] if explained.target else [])
    if explained.target:
        made = np.array(view["w"]).reshape(len(view["t"]), len(view["s"]))[:-1, :-1]
        np.testing.assert_allclose(
            made, merge(explained.weights / 255, word_indices(source), word_indices(target)), atol=1e-6
        )


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        ["a"],
        [SPACE_MARK],
        [SPACE_MARK, "a", SPACE_MARK],
        [SPACE_MARK, SPACE_MARK + "a", "b", SPACE_MARK + "c"],
        ["a", "b", SPACE_MARK + SPACE_MARK, "c"],
    ],
)
def test_numbers_of_words_are_those_of_the_evaluation(pieces: list[str], page: Any) -> None:
    assert page.js(f"wordsOf({json.dumps(pieces)})") == word_indices(pieces)


def test_a_centre_lies_within_its_word(page: Any) -> None:
    """Pieces a, b of one word and c, a word: the middles of the three are at 0.25, 0.75 and 1.5 words."""
    assert page.js("[-9, 0, 0.5, 1, 2, 9].map(p => place(p, [0, 0, 1]))") == [0, 0.25, 0.5, 0.75, 1.5, 2]


def test_sentences_are_found_and_sorted(page: Any, comparison: Make) -> None:
    made = comparison(130)

    def find(query: str) -> list[int]:
        page.js(
            f"(i => {{ i.value = {query!r}; i.dispatchEvent(new Event('input')); }})(document.querySelector('input[type=search]'))"
        )
        return list(page.js("list.matches"))

    assert find("DOCTOR") == [i for i, source in enumerate(made.sources) if "doctor" in source]
    assert sentence(page) == 4 or "doctor" in made.sources[sentence(page)]
    assert find("17") == [16]
    assert sentence(page) == 16
    assert find("no such words") == []
    assert texts(page, "#found") == ["0 sentences"]
    assert len(find("")) == 130
    select(page, "Order", "difference")
    qualities = np.array([made.qualities[name] for name in ("additive", "general", "local_p")]).round(2)
    want = np.argsort(-np.ptp(qualities, axis=0).round(6), kind="stable")
    assert sentence(page) == want[0]
    page.key("ArrowRight")
    assert sentence(page) == want[1]
    select(page, "Order", "long")
    assert sentence(page) == max(range(130), key=lambda i: len(made.sources[i]))


def test_chosen_sentences_keep_their_numbers(shown: Any) -> None:
    page = shown(3, numbers=[1, 21, 41], test_size=60)
    assert texts(page, ".entry .count") == ["1", "21", "41"]
    page.js(
        "(i => { i.value = '21'; i.dispatchEvent(new Event('input')); })(document.querySelector('input[type=search]'))"
    )
    assert sentence(page) == 1
    assert texts(page, "#sentence h3")[0].startswith("Sentence 21with")
    assert page.complaints() == []


def test_odd_sentences(page: Any) -> None:
    """Right to left, wide, hostile, empty and long ones: each is drawn as text."""
    page.js("choose(3)")
    assert page.js("getComputedStyle(document.querySelector('.strip')).direction") == "rtl"
    page.js("choose(5)")
    assert page.js("document.images.length + document.scripts.length") == page.js("document.scripts.length")
    assert page.js("document.title") != "broken"
    assert "</script><img src=x onerror=alert(1)>" in texts(page, "#sentence dd")[1]
    page.js("choose(6)")
    assert texts(page, ".panel .nothing") == ["Nothing was written, so there is no map."] * 3
    assert "(empty)" in texts(page, "#sentence dd")
    page.js("choose(7)")
    assert page.js("(m => m.scrollWidth > m.clientWidth && m.clientWidth > 200)(document.querySelector('.map'))")
    assert page.js("document.documentElement.scrollWidth <= innerWidth")


def test_uniform_weights_are_drawn(page: Any) -> None:
    show(page, 4)
    pixels = np.array(json.loads(page.js(PIXELS))[0]).reshape(-1, 4)
    assert len(np.unique(pixels, axis=0)) <= 3  # columns of one piece and of two
