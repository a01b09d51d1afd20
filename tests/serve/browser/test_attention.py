"""Attention in the page: pointing at words, the heat map, layers and heads, keys, directions, sizes, colours."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from seq2seq.evaluation import attention_maps
from seq2seq.evaluation.attention_maps import AttentionMap
from seq2seq.runtime.translation import Translation
from tests.serve.browser.conftest import Page
from tests.serve.stand_in import StandIn

Open = Callable[..., Page]
WORD = '.word[data-sentence="%d"][data-row="%d"]'


def lit(page: Page) -> dict[str, float]:
    """The source words that are lit, and how much."""
    marks = "[...document.querySelectorAll('#mirror mark')]"
    return dict(page.js(f"{marks}.map((m) => [m.textContent, Number(m.style.getPropertyValue('--light'))])"))


def test_pointing_at_a_word_lights_the_words_it_attended_to(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = np.array([[0.01, 0.5, 0.49], [1, 0, 0], [0, 0, 1]], np.float32)
    real = StandIn.translation
    monkeypatch.setattr(StandIn, "translation", lambda *given: real(*given)._replace(attention=weights))
    page = opened()
    page.translate("old dog")
    page.browser.mouse(WORD % (0, 0))
    assert lit(page) == {"dog": pytest.approx(0.325)}
    assert page.text("#note") == "OLD: dog 0.50, ⏎ 0.49"
    page.browser.mouse(WORD % (0, 1))
    assert lit(page) == {"old": pytest.approx(0.55)}
    assert page.texts(".word.lit") == ["DOG"]
    page.browser.mouse("h1")
    assert lit(page) == {}
    assert page.text("#note") == ""


@pytest.mark.slow
def test_lit_words_are_behind_the_letters_of_the_text(opened: Open) -> None:
    """The mirror has the same lines as the field: the field is as high, and nothing scrolls inside it."""
    page = opened()
    text = "\n".join(["One two three four five six seven eight nine ten " * 4, "", "longlonglong" * 20, "end \n"])
    page.translate(text)
    for width in (1200, 700, 360):
        page.browser.size(width, 800)
        sizes = "((a, b) => [a.clientHeight, a.scrollHeight, b.clientHeight, a.clientWidth - b.clientWidth])"
        height, scrolled, behind, wider = page.js(f"{sizes}(byId('source'), byId('mirror'))")
        assert (height, scrolled, wider) == (behind, behind, 0)
    style = "((e) => { const s = getComputedStyle(e); return [s.font, s.padding, s.whiteSpace, s.letterSpacing]; })"
    assert page.js(f"{style}(byId('source'))") == page.js(f"{style}(byId('mirror'))")


@pytest.mark.slow
def test_a_click_keeps_the_word(opened: Open) -> None:
    page = opened()
    page.translate("one two. three four.")
    page.browser.mouse(WORD % (1, 0), "click")
    page.browser.mouse(WORD % (0, 0))
    assert lit(page) == {"one": pytest.approx(0.55)}
    assert page.text("#alternatives-head") == "Alternatives of sentence 2 of 2"
    page.browser.mouse("h1")
    assert list(lit(page)) == ["three"]
    page.browser.mouse(WORD % (1, 0), "click")
    page.browser.mouse("h1")
    assert lit(page) == {}


@pytest.mark.slow
def test_nothing_is_lit_in_a_text_that_has_changed(opened: Open) -> None:
    page = opened()
    page.translate("one two")
    page.browser.mouse(WORD % (0, 1), "click")
    page.server.translators["en-de"].gate.clear()
    page.type("other words")
    for selector in (None, WORD % (0, 0), "h1"):
        if selector:
            page.browser.mouse(selector)
        assert lit(page) == {}
        assert page.text("#note") == ""


@pytest.mark.slow
def test_long_texts_get_their_attention_when_a_word_is_pointed_at(opened: Open) -> None:
    page = opened()
    sentences = [f"This is sentence {number} of a long text." for number in range(40)]
    page.translate(" ".join(sentences))
    translator = page.server.translators["en-de"]
    assert [len(batch) for batch in translator.batches] == [40]
    page.browser.mouse(WORD % (7, 3))
    page.until("document.querySelectorAll('#mirror mark').length === 1")
    assert lit(page) == {"7": pytest.approx(0.55)}
    assert translator.batches[1:] == [[sentences[7]]]
    page.browser.mouse(WORD % (7, 4))
    assert list(lit(page)) == ["of"]
    assert len(translator.batches) == 2


def pixels(page: Page) -> Any:
    canvas = "document.querySelector('#map canvas')"
    read = f"{canvas}.getContext('2d').getImageData(0, 0, {canvas}.width, {canvas}.height)"
    return np.array(page.js(f"[...{read}.data]")).reshape(-1, 4)


@pytest.mark.slow
def test_heat_map_of_words(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces are merged to words: columns are summed and rows averaged. In light colours red falls from 255 to 24."""
    pieces = ["▁old", "▁do", "g", ""]
    found = Translation("old dog", -1.0, -1.0, pieces, pieces, np.eye(4, dtype=np.float32))
    monkeypatch.setattr(StandIn, "translation", lambda *given: found)
    page = opened()
    page.translate("old dog")
    page.browser.mouse("#map-details summary", "click")
    page.until("document.querySelector('#map canvas')")
    assert page.texts("#map .row-label") == ["old", "dog", "⏎"]
    reds = pixels(page)[:, 0].reshape(3, 3)
    np.testing.assert_allclose(reds, 255 - 231 * np.diag([1, 1, 1]), atol=1)
    page.browser.mouse("#map .row-label:nth-child(2)")
    assert list(lit(page)) == ["dog"]
    assert page.texts(".word.lit") == ["dog"]
    page.browser.mouse(WORD % (0, 0))
    assert page.texts("#map .row-label[aria-selected=true]") == ["old"]
    page.js("document.querySelector('#map .row-labels').focus()")
    for _ in range(2):
        page.browser.key("ArrowDown")
    assert page.texts("#map .row-label[aria-selected=true]") == ["dog"]


def test_layers_and_heads(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Map l, h attends to word l + h only."""

    def compute(translator: Any, found: Sequence[Translation]) -> Iterator[tuple[int, AttentionMap]]:
        for i, one in enumerate(found):
            maps = np.zeros((2, 2, len(one.target), len(one.source)), np.float32)
            for layer, head in np.ndindex(2, 2):
                maps[layer, head, :, layer + head] = 1
            yield i, AttentionMap(maps[-1].mean(0), maps, None)

    monkeypatch.setattr(attention_maps, "compute_attention_maps", compute)
    page = opened(heads=(2, 2))
    page.translate("one two three")
    assert page.texts("#heads option") == ["last layer", "layer 1", "layer 2", "mean of heads", "head 1", "head 2"]
    page.browser.mouse(WORD % (0, 0), "click")
    assert list(lit(page)) == ["one"]  # as the search gives it
    layer, head = "#heads label:nth-child(1) select", "#heads label:nth-child(2) select"
    for selector, value, expected in [
        (layer, 1, {"one": 0.325, "two": 0.325}),
        (head, 2, {"two": 0.55}),
        (layer, 2, {"three": 0.55}),
        (layer, 0, {"three": 0.55}),
        (head, 0, {"one": 0.55}),
    ]:
        page.change(selector, value)
        page.until("viewOf(state.shown.sentences[0])")
        assert lit(page) == {word: pytest.approx(light) for word, light in expected.items()}


@pytest.mark.slow
@pytest.mark.parametrize("heads", [(0, 0), (1, 1)])
def test_without_several_heads_there_is_nothing_to_choose(opened: Open, heads: tuple[int, int]) -> None:
    page = opened(heads=heads)
    page.translate("one")
    assert not page.js("byId('attention').hidden")
    assert page.js("byId('heads').hidden")


def test_keys(opened: Open) -> None:
    page = opened()
    page.type("one two. three four.")
    page.browser.key("Enter", ctrl=True)
    page.until("document.activeElement.className.includes('word')")
    assert page.focused() == "ONE"
    moves = [("Right", "TWO."), ("Right", "THREE"), ("Left", "TWO."), ("Down", "THREE"), ("Up", "TWO.")]
    for key, word in moves:
        page.browser.key(f"Arrow{key}")
        assert page.focused() == word
    for key, word in (("End", "FOUR."), ("ArrowRight", "FOUR."), ("Home", "ONE"), ("ArrowRight", "TWO.")):
        page.browser.key(key)
        assert page.focused() == word
    assert list(lit(page)) == ["two."]
    assert page.text("#note") == "TWO.: two. 1.00"
    page.browser.key("Enter")
    assert page.texts(".word.pinned") == ["TWO."]
    page.browser.key("2")
    assert page.text("#target").startswith("ONE TWO.' ")
    page.browser.key("h")
    page.until("document.querySelector('#map canvas')")
    page.js("Object.defineProperty(navigator, 'clipboard', { value: { writeText: (t) => { window.copied = t; } } })")
    page.browser.key("c")
    page.until("window.copied?.endsWith('THREE FOUR.')")
    page.browser.key("ArrowRight")
    page.browser.key("Enter")
    page.browser.key("Escape")
    assert page.texts(".word.pinned") == []
    assert page.focused() != "source"
    page.browser.key("Escape")
    assert page.focused() == "source"


@pytest.mark.slow
def test_tab_reaches_everything(opened: Open) -> None:
    page = opened("en-de", "small=en-de", heads=(2, 2))
    page.translate("one two")
    page.js("(byId('map-details').open = true, byId('model').focus())")
    page.until("document.querySelector('#map canvas')")
    reached = []
    for _ in range(12):
        page.browser.key("Tab")
        reached.append(page.js("(e => e.id || e.classList[0] || e.name || e.tagName)(document.activeElement)"))
    header, panes = ["settings-button", "keys-button", "theme-button"], ["clear", "source", "copy", "word"]
    assert reached == [*header, *panes, "choice", "SELECT", "SELECT", "SUMMARY", "row-labels"]


@pytest.mark.slow
def test_every_field_has_a_label(opened: Open) -> None:
    page = opened("en-de", "small=en-de", heads=(2, 2))
    page.translate("one")
    page.js("for (const id of ['settings-button', 'keys-button']) byId(id).click()")
    nameless = page.js("""[...document.querySelectorAll('input, select, textarea, button')].filter((e) =>
        e.offsetParent && !(e.getAttribute('aria-label') || e.labels?.[0]?.textContent.trim() || e.textContent.trim()))
        .map((e) => e.outerHTML)""")
    assert nameless == []
    assert page.js("[byId('status').getAttribute('role'), byId('message').getAttribute('role')]") == ["status", "alert"]


@pytest.mark.slow
def test_right_to_left(opened: Open) -> None:
    page = opened("en-ar")
    assert page.translate("one two") == "ONE TWO"
    directions = "['source', 'mirror', 'target'].map((id) => getComputedStyle(byId(id)).direction)"
    assert page.js(directions) == ["ltr", "ltr", "rtl"]
    assert page.js("document.querySelector('.choice span').dir") == "rtl"
    page.js("document.querySelector('.word').focus()")
    page.browser.key("ArrowLeft")
    assert page.focused() == "TWO"


def test_words_are_found_in_their_text(opened: Open) -> None:
    page = opened()
    for text, pieces, labels, places in [
        ("A dog.", ["▁A", "▁do", "g.", ""], ["A", "dog.", "⏎"], [[0, 1], [2, 6]]),
        ("A dog.", ["▁A", "▁dog", "▁.", ""], ["A", "dog", ".", "⏎"], [[0, 1], [2, 5], [5, 6]]),
        ("ﬁne Ⅳ", ["▁fine", "▁IV", ""], ["fine", "IV", "⏎"], [[0, 3], [4, 5]]),
        (
            "我们看书。",
            ["▁", "我们", "看", "书。", ""],
            ["", "我们", "看", "书。", "⏎"],
            [None, [0, 2], [2, 3], [3, 5]],
        ),
        ("我们 看 书", ["▁我们", "▁看", "▁书"], ["我们", "看", "书"], [[0, 2], [3, 4], [5, 6]]),
        ("a b c d", ["▁a", "▁x", "▁c"], ["a", "x", "c"], [[0, 1], None, [4, 5]]),
        ("", [""], ["⏎"], []),
    ]:
        found = page.js(f"placeWords({text!r}, {pieces!r})")
        assert (found["labels"], found["places"]) == (labels, places), text


@pytest.mark.slow
def test_fits_a_phone(opened: Open) -> None:
    page = opened("en-de", "a-model-with-quite-a-long-name-for-a-phone=en-de", heads=(4, 4))
    page.browser.size(360, 740, mobile=True)
    page.translate("A long sentence with a verylongwordthatdoesnotfitinanylineofaphoneatall " * 3)
    page.js("for (const id of ['settings-button', 'keys-button']) byId(id).click()")
    page.js("byId('map-details').open = true")
    page.until("document.querySelector('#map canvas')")
    for width in (360, 320):
        page.browser.size(width, 740, mobile=True)
        assert page.js("document.documentElement.scrollWidth") <= width
    top = "((id) => byId(id).getBoundingClientRect())"
    assert page.js(f"{top}('target').top >= {top}('source').bottom && {top}('target').left === {top}('source').left")


@pytest.mark.slow
def test_a_tap_keeps_a_word_and_another_lets_go_of_it(opened: Open) -> None:
    page = opened()
    page.browser.size(360, 740, mobile=True)
    page.translate("one two")
    page.browser.tap(WORD % (0, 1))
    page.until("document.querySelector('.word.pinned')")
    assert list(lit(page)) == ["two"]
    page.browser.tap(WORD % (0, 1))
    page.until("!document.querySelector('.word.pinned')")
    assert lit(page) == {}


@pytest.mark.slow
def test_light_and_dark(opened: Open) -> None:
    page = opened()
    page.translate("one")
    page.js("byId('map-details').open = true")
    page.until("document.querySelector('#map canvas')")
    shown = "[document.documentElement.dataset.theme, getComputedStyle(document.body).backgroundColor]"
    light = page.js(shown)
    assert light[0] == "light"
    assert pixels(page)[1, 0] == 255
    page.browser.scheme("dark")
    page.until("document.documentElement.dataset.theme === 'dark'")
    dark = page.js(shown)
    assert pixels(page)[1, 0] < 50
    page.browser.mouse("#theme-button", "click")
    assert page.js(shown) == light
    page.browser.open(page.server.url)
    assert page.js(shown) == light
    page.browser.mouse("#theme-button", "click")
    assert page.js(shown) == dark
    assert page.js("localStorage.length") == 0
