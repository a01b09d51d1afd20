"""The attention explorer in a browser. Every test must end without console messages and network requests."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from seq2seq.compare.result import Comparison
from seq2seq.data.word_links import word_indices, words_from_pieces
from seq2seq.evaluation.alignment import merge
from seq2seq.evaluation.attention_records import AttentionRecord
from seq2seq.runtime.vocabulary import SPACE_MARK

Make = Callable[..., Comparison]
PIXELS = """JSON.stringify([...document.querySelectorAll('.panel canvas')].map(
    c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]))"""
ROW_LABEL = ".panel[data-variant='%d'] .row-label:nth-child(%d)"
NAMES = ("additive", "general", "local_p")  # the variants shown at the start: 0, 1 and 2


def select(page: Any, label: str, value: object, within: str = "document") -> None:
    """Choose a value of the select whose label starts with `label`."""
    page.js(f"""(() => {{
        const labels = [...{within}.querySelectorAll('label')];
        const select = labels.find(l => l.textContent.startsWith({label!r})).querySelector('select');
        select.value = {str(value)!r};
        select.dispatchEvent(new Event('change'));
    }})()""")


def search(page: Any, query: str) -> list[int]:
    """The sentences that are found."""
    page.js(f"""(input => {{
        input.value = {query!r};
        input.dispatchEvent(new Event('input'));
    }})(document.querySelector('input[type=search]'))""")
    return list(page.js("list.matches"))


def sentence(page: Any) -> int:
    """The current sentence, once its panels are drawn."""
    page.until("document.documentElement.dataset.drawn === String(state.sentence)")
    return int(page.js("state.sentence"))


def texts(page: Any, selector: str) -> list[str]:
    """The texts of the matching elements."""
    return list(page.js(f"[...document.querySelectorAll({selector!r})].map(e => e.textContent)"))


def selected_row(page: Any) -> int:
    """Index of the highlighted target word of the first variant; -1 if there is none."""
    rows = "[...document.querySelectorAll(\".panel[data-variant='0'] .row-label\")]"
    return int(page.js(f"{rows}.findIndex(r => r.getAttribute('aria-selected') === 'true')"))


def show(page: Any, *variants: int) -> None:
    page.js(f"(state.shown = new Set({list(variants)}), drawPanels())")


def show_subwords(page: Any, number: int) -> None:
    """Show a sentence in subwords."""
    page.js(f"(state.mergeWords = false, showSentence({number}))")


def test_page_opens_with_the_first_sentence_and_the_baseline(page: Any) -> None:
    assert sentence(page) == 0
    assert texts(page, ".panel h3") == list(NAMES)
    assert texts(page, "#sentence dt") == ["Source", "Reference", *NAMES, "transformer", "none"]
    assert page.js("document.querySelector('#sentence dd[dir]').textContent") == "The old teacher opens the window ."


def test_click_on_an_entry_shows_the_sentence(page: Any) -> None:
    before = page.js(PIXELS)
    page.mouse("#entry-2", "click")
    assert sentence(page) == 2
    assert page.js(PIXELS) != before
    assert page.js("document.querySelector('#entry-2').getAttribute('aria-selected')") == "true"


def test_arrow_keys_move_through_the_sentences(page: Any) -> None:
    for key, number in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1)):
        page.key(key)
        assert sentence(page) == number
    page.js("document.querySelector('#sentence-list').focus()")
    for _ in range(14):  # the list shows eight at a time
        page.key("ArrowDown")
    assert sentence(page) == 15
    inside = "(l, e) => e.top >= l.top - 1 && e.bottom <= l.bottom + 1"
    rectangles = "...['#sentence-list', '#entry-15'].map(s => document.querySelector(s).getBoundingClientRect())"
    page.until(f"document.querySelector('#entry-15') && ({inside})({rectangles})")


def test_pixels_interpolate_between_the_colours_of_0_and_1(page: Any, comparison: Make) -> None:
    """In light colours red falls from 255 to 8."""
    page.scheme("light")
    show_subwords(page, 1)
    for variant, pixels in zip(NAMES, json.loads(page.js(PIXELS)), strict=True):
        weights = comparison(130).attention[variant][1].weights.astype(float).ravel() / 255
        reds = np.array(pixels).reshape(-1, 4)[:, 0]
        np.testing.assert_allclose(reds, 255 + (8 - 255) * weights, atol=1)


def test_pointing_at_a_word_shows_its_weights_in_every_variant(page: Any, comparison: Make) -> None:
    show_subwords(page, 1)
    page.mouse(ROW_LABEL % (0, 2))
    for variant, name in enumerate(NAMES):
        weights = comparison(130).attention[name][1].weights[1] / 255
        assert page.js(f"document.querySelector({ROW_LABEL % (variant, 2)!r}).getAttribute('aria-selected')") == "true"
        numbers = texts(page, f".panel[data-variant='{variant}'] .word i")
        assert numbers == [f"{weight:.2f}" if weight >= 0.02 else "" for weight in weights]
        attended = f"document.querySelectorAll(\".panel[data-variant='{variant}'] .word.attended\").length"
        assert page.js(attended) == (weights >= 0.02).sum()
    page.mouse("h1")
    assert page.js("document.querySelectorAll('.word.attended').length") == 0


def test_note_about_a_word_that_another_variant_does_not_output(shown: Any, comparison: Make) -> None:
    attention = {}
    for number, (name, target) in enumerate(
        {"additive": ("\u2581rot", ""), "general": ("\u2581blau", "\u2581rot", "")}.items()
    ):
        weights = np.full((len(target), 2), 100 + number, np.uint8)
        attention[name] = [AttentionRecord(("\u2581red", ""), target, weights)]
    page = shown(1, ("additive", "general"), attention=attention)
    page.mouse(ROW_LABEL % (1, 1))
    assert texts(page, ".note") == ["does not output “blau”", "“blau”"]
    page.mouse(ROW_LABEL % (0, 1))
    assert texts(page, ".note") == ["“rot”", "“rot”"]
    assert page.problems() == []


def test_the_only_word_of_an_output_is_highlighted(shown: Any) -> None:
    """As the label of a text, whose words are coloured without pointing at it."""
    weights = np.array([[51, 204, 0], [51, 204, 0]], np.uint8)
    record = AttentionRecord(("\u2581not", "\u2581bad", ""), ("\u2581good", ""), weights)
    page = shown(1, ("additive",), attention={"additive": [record]})
    sentence(page)
    assert texts(page, ".word i") == ["0.20", "0.80", ""]
    assert texts(page, ".note") == ["“good”"]
    page.mouse("h1")
    assert selected_row(page) == 0
    assert page.problems() == []


def test_click_pins_a_word_and_arrow_keys_move_the_pin(page: Any) -> None:
    page.mouse(ROW_LABEL % (0, 2), "click")
    page.mouse("h1")
    assert selected_row(page) == 1
    page.js("document.querySelector('.panel .row-labels').focus()")
    page.key("ArrowDown")
    assert selected_row(page) == 2
    page.key("ArrowRight")
    assert sentence(page) == 1
    assert page.js("document.activeElement.className") == "row-labels"
    page.key("ArrowDown")
    assert selected_row(page) == 0
    page.key("Escape")
    assert selected_row(page) == -1


def test_layers_and_heads_of_a_transformer(page: Any, comparison: Make) -> None:
    page.scheme("light")
    show_subwords(page, 2)
    show(page, 3)
    panel, drawn = "document.querySelector('.panel')", []
    maps = comparison(130).attention["transformer"][2].maps
    assert maps is not None
    for layer, head, expected in [
        ("0", "mean", maps[0].mean(0)),
        ("0", "3", maps[0, 3]),
        ("1", "3", maps[1, 3]),
        ("mean", "mean", maps.mean((0, 1))),
        ("mean", "2", maps[:, 2].mean(0)),
    ]:
        for label, value in (("Weights", layer), ("Head", head)):
            drawing = page.js("state.drawing")
            select(page, label, value, panel)
            page.until(f"state.drawing > {drawing} && {panel}.querySelector('select').value === {layer!r}")
            page.js("drawPanels()")
        pixels = page.js(PIXELS)
        reds = np.array(json.loads(pixels)[0]).reshape(-1, 4)[:, 0]
        np.testing.assert_allclose(reds, 255 - 247 / 255 * expected.ravel(), atol=1.5)
        drawn.append(pixels)
    assert len(set(drawn)) == len(drawn)
    page.key("ArrowRight")
    assert sentence(page) == 3
    assert page.js(f"[...{panel}.querySelectorAll('select')].map(s => s.value)") == ["mean", "2"]


def test_predicted_window_has_centres_and_a_gaussian(page: Any, comparison: Make) -> None:
    """Each row has a ring at its centre; the curve is highest there, and e^-2 as high D positions away."""
    record = comparison(130).attention["local_p"][2]
    assert record.centers is not None
    show_subwords(page, 2)
    rings = "[...document.querySelectorAll(\".panel[data-variant='2'] .overlay .centre\")]"
    last = len(record.source) - 1
    expected = [(np.clip(center, -0.5, last) + 0.5) * 24 for center in record.centers]
    np.testing.assert_allclose(page.js(f"{rings}.map(c => Number(c.getAttribute('cx')))"), expected, atol=0.1)
    assert page.js("document.querySelectorAll(\".panel[data-variant='0'] .centre\").length") == 0
    page.mouse(ROW_LABEL % (2, 6))
    path = page.js("document.querySelector(\".panel[data-variant='2'] .gaussian\").getAttribute('d')")
    points = np.array([[float(x) for x in point.split(",")] for point in path.strip("M").split("L")])
    base, curve = points[0, 1], points[1:-1]
    heights = base - curve[:, 1]
    assert curve[heights.argmax(), 0] == pytest.approx((record.centers[5] + 0.5) * 24, abs=2)
    distance = (curve[:, 0] / 24 - 0.5 - record.centers[5]) / 3
    np.testing.assert_allclose(heights / heights.max(), np.exp(-2 * distance**2), atol=0.01)
    assert texts(page, ".panel[data-variant='2'] .note")[0].endswith(f"window centre {record.centers[5]:.1f} ± 3")


def test_other_hypotheses_of_the_beam(page: Any, comparison: Make) -> None:
    alternatives = comparison(1).attention["additive"][0].alternatives
    items = texts(page, ".panel[data-variant='0'] .beam li")
    assert items == [f"{score:.3f}".replace("-", "−") + text for text, score in alternatives]
    assert not texts(page, ".panel[data-variant='1'] .beam li")


def test_words_and_their_weights_equal_those_of_the_evaluation(page: Any, comparison: Make) -> None:
    for number in range(9):
        record = comparison(130).attention["general"][number]
        view = f"loadAttention(1, {number}).then(s => createView(s, s.weights, true))"
        found = page.js(f"{view}.then(v => ({{s: v.source.labels, t: v.target.labels, w: [...v.weights]}}))")
        source, target = record.source[:-1], record.target[:-1]
        assert found["s"] == [*words_from_pieces(source), "⏎"], number
        assert found["t"] == ([*words_from_pieces(target), "⏎"] if record.target else []), number
        if record.target:
            weights = np.array(found["w"]).reshape(len(found["t"]), len(found["s"]))[:-1, :-1]
            expected = merge(record.weights / 255, word_indices(source), word_indices(target))
            np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_word_indices_equal_those_of_the_evaluation(page: Any) -> None:
    """And a centre between pieces is between words: a and b form one and c another, so that the middles of the three
    are at 0.25, 0.75 and 1.5 columns."""
    for pieces in (
        [],
        ["a"],
        [SPACE_MARK],
        [SPACE_MARK, "a", SPACE_MARK],
        [SPACE_MARK, SPACE_MARK + "a", "b", SPACE_MARK + "c"],
        ["a", "b", SPACE_MARK + SPACE_MARK, "c"],
    ):
        assert page.js(f"wordIndices({json.dumps(pieces)})") == word_indices(pieces), pieces
    positions = "[-9, 0, 0.5, 1, 2, 9].map(p => columnPosition(p, [0, 0, 1]))"
    assert page.js(positions) == [0, 0.25, 0.5, 0.75, 1.5, 2]


def test_search_and_order(page: Any, comparison: Make) -> None:
    made = comparison(130)
    assert search(page, "DOCTOR") == [i for i, source in enumerate(made.sources) if "doctor" in source]
    assert "doctor" in made.sources[sentence(page)]
    assert search(page, "17") == [16]
    assert sentence(page) == 16
    assert search(page, "no such words") == []
    assert texts(page, "#found") == ["0 sentences"]
    assert len(search(page, "")) == 130
    select(page, "Order", "difference")
    qualities = np.array([made.qualities[name] for name in NAMES]).round(2)
    expected = np.argsort(-np.ptp(qualities, axis=0).round(6), kind="stable")
    assert sentence(page) == expected[0]
    page.key("ArrowRight")
    assert sentence(page) == expected[1]
    select(page, "Order", "long")
    assert sentence(page) == max(range(130), key=lambda i: len(made.sources[i]))


def test_included_sentences_keep_their_numbers(shown: Any) -> None:
    page = shown(3, numbers=[1, 21, 41], test_size=60)
    assert texts(page, ".entry .count") == ["1", "21", "41"]
    assert search(page, "21") == [1]
    assert sentence(page) == 1
    assert texts(page, "#sentence h3")[0].startswith("Sentence 21with")
    assert page.problems() == []


def test_unusual_sentences_are_drawn_as_text(page: Any) -> None:
    """Right-to-left, hostile, empty and long ones."""
    page.js("showSentence(3)")
    assert page.js("getComputedStyle(document.querySelector('.strip')).direction") == "rtl"
    page.js("showSentence(5)")
    assert page.js("document.images.length") == 0
    assert page.js("document.title") != "broken"
    assert "</script><img src=x onerror=alert(1)>" in texts(page, "#sentence dd")[1]
    page.js("showSentence(6)")
    assert texts(page, ".panel .nothing") == ["The hypothesis is empty, so there is no map."] * 3
    assert "(empty)" in texts(page, "#sentence dd")
    page.js("showSentence(7)")
    assert page.js("(m => m.scrollWidth > m.clientWidth && m.clientWidth > 200)(document.querySelector('.map'))")
    assert page.js("document.documentElement.scrollWidth <= innerWidth")


def test_uniform_weights_have_few_colours(page: Any) -> None:
    show(page, 4)
    pixels = np.array(json.loads(page.js(PIXELS))[0]).reshape(-1, 4)
    assert len(np.unique(pixels, axis=0)) <= 3  # words of one piece and of two
