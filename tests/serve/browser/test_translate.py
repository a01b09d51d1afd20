"""Translating in the page: as one types, alternatives, settings, keys of the server, a server that is gone."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from seq2seq.errors import DataError
from seq2seq.runtime.translation import Translation
from tests.serve.browser.conftest import Page
from tests.serve.stand_in import StandIn

Open = Callable[..., Page]
HOSTILE = "</textarea><img/src=x/onerror=alert(1)><script>window.broken=1</script>"


def status(page: Page) -> str:
    return page.text("#status")


def test_translates_while_typing(opened: Open) -> None:
    page = opened()
    assert page.focused() == "source"
    assert page.texts(".head h2") == ["English", "German"]
    assert page.translate("a dog") == "A DOG"
    assert page.js("document.querySelector('#source').lang + document.querySelector('#target').lang") == "ende"
    page.browser.insert(" runs")
    page.until("byId('target').textContent === 'A DOG RUNS'")
    assert page.translate("one two.\n\n Three  four. Five!") == "ONE TWO.\n\n THREE  FOUR. FIVE!"
    page.type("")
    page.browser.key("Backspace")
    page.js("clearText()")
    page.until("document.documentElement.dataset.state === 'empty'")
    assert page.text("#target") == ""
    assert page.js("byId('below').hidden")


@pytest.mark.slow
def test_letters_typed_at_once_are_one_request(opened: Open) -> None:
    page = opened()
    page.js("""[...'a dog runs'].forEach((letter) => {
        byId('source').value += letter;
        byId('source').dispatchEvent(new Event('input'));
    })""")
    page.translated()
    assert page.server.translators["en-de"].batches == [["a dog runs"]]


def test_an_older_answer_is_never_shown_after_a_newer_one(opened: Open) -> None:
    """Nor one that comes although its request was aborted."""
    page = opened()
    page.js("(real => { fetch = (path, options) => real(path, { ...options, signal: undefined }); })(fetch)")
    page.js("""new MutationObserver(() => (window.seen ??= []).push(byId('target').textContent)).observe(
        byId('target'), { childList: true })""")
    translator = page.server.translators["en-de"]
    translator.gate.clear()
    page.type("older")
    page.until("document.documentElement.dataset.state === 'typing' && version > 1")
    wait_for(page, lambda: translator.batches == [["older"]])
    page.type("newer")
    page.js("new Promise((resolve) => setTimeout(resolve, 300))")
    translator.gate.set()
    page.translated()
    page.js("new Promise((resolve) => setTimeout(resolve, 100))")
    assert page.js("window.seen") == ["NEWER"]


def wait_for(page: Page, condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        page.js("new Promise((resolve) => setTimeout(resolve, 10))")
    raise AssertionError("it did not happen")


def test_alternatives_are_chosen_sentence_by_sentence(opened: Open) -> None:
    page = opened()
    page.translate("One. Two.")
    assert page.text("#alternatives-head") == "Alternatives of sentence 1 of 2"
    assert page.texts(".choice span") == ["ONE.", "ONE.'", "ONE.''", "ONE.'''"]
    assert page.texts(".choice b") == ["ONE.'", "ONE.''", "ONE.'''"]
    page.browser.mouse(".choice:nth-child(3)", "click")
    assert page.text("#target") == "ONE.'' TWO."
    assert status(page) == "Alternative 3 is shown"
    page.browser.mouse("[data-sentence='1'].word")
    assert page.text("#alternatives-head") == "Alternatives of sentence 2 of 2"
    page.browser.mouse(".choice:nth-child(2) input", "click")
    assert page.text("#target") == "ONE.'' TWO.'"
    assert page.texts(".choice b") == ["TWO.", "TWO.''", "TWO.'''"]
    page.browser.mouse("[data-sentence='0'].word")
    assert page.js("document.querySelector('.choice input:checked').value") == "2"


def test_words_in_which_alternatives_differ(opened: Open) -> None:
    page = opened()
    words = "'a b c d'.split(' '), 'x b d c'.split(' ')"
    assert page.js(f"differingWords({words})") == [True, False, True, False]
    assert page.js("differingWords([], ['a']).concat(differingWords(['a'], []))") == [True]


@pytest.mark.slow
def test_models_and_settings(opened: Open) -> None:
    page = opened("en-de", "small=en-de", "de-en", "sum=summarization", "mood=classification", beam=9)
    assert page.texts("#model option") == [
        "English → German · en-de", "English → German · small", "German → English", "Summary", "Label",
    ]  # fmt: skip
    page.translate("a dog")
    page.change("#model", "small")
    page.until("byId('target').textContent === 'small:A DOG'")
    page.change("#model", "de-en")
    page.until("byId('target').textContent === 'A DOG'")
    assert page.texts(".head h2") == ["German", "English"]
    page.change("#model", "mood")
    page.until("byId('target').textContent === 'mood:A DOG'")
    assert page.texts(".head h2") == ["Text", "Label"]
    page.change("#model", "de-en")
    page.until("byId('target').textContent === 'A DOG'")
    assert page.js("location.hash") == "#model=de-en"
    page.change("#model", "sum")
    page.until("byId('target').textContent === 'sum:A DOG'")
    assert page.texts(".head h2") == ["Text", "Summary"]
    page.browser.mouse("#settings-button", "click")
    assert page.js("byId('setting-beam').max") == "9"
    page.change("#setting-n_best", 2)
    page.until("document.querySelectorAll('.choice').length === 2")
    page.change("#setting-beam", 1)
    page.until("byId('alternatives').hidden")
    assert page.js("location.hash") == "#n_best=2&beam=1&model=sum"
    page.change("#setting-sampling", True)
    page.translated()
    assert page.js("['beam', 'top_k'].map((name) => byId(`setting-${name}`).offsetParent === null)") == [True, False]
    page.browser.mouse("#settings-reset", "click")
    page.until("document.querySelectorAll('.choice').length === 4")
    assert page.js("location.hash") == "#model=sum"


@pytest.mark.slow
def test_fragment_holds_model_and_settings_and_never_text(opened: Open) -> None:
    page = opened("en-de", "small=en-de", fragment="#model=small&beam=3&n_best=2&nonsense=1&alpha=x&temperature=2")
    assert page.translate("a dog") == "small:A DOG"
    assert page.js("searchOptions()") == {"beam": 3, "n_best": 2}
    assert len(page.texts(".choice")) == 2
    assert "dog" not in page.js("location.href + JSON.stringify({ ...localStorage, ...sessionStorage })").lower()


@pytest.mark.slow
def test_refusals_are_sentences_in_the_page(opened: Open) -> None:
    page = opened(characters=20)
    page.expected = "status of 400"
    page.translate("a")
    page.type("bad")
    page.until("!byId('message').hidden")
    assert page.text("#message") == "the line is bad"
    assert page.translate("good") == "GOOD"
    assert page.js("byId('message').hidden")
    page.type("x" * 21)
    page.until("!byId('message').hidden")
    assert page.text("#message") == "The text has 21 characters, and this server translates at most 20."
    assert page.text("#count") == "21 of 20 characters"
    page.change("#setting-beam", 30)
    page.type("a")
    page.until("byId('message').textContent.startsWith('search.beam=30 is more')")


@pytest.mark.slow
def test_an_error_of_the_server_is_no_error_of_the_page(opened: Open) -> None:
    page = opened()
    page.expected = "status of 500"
    page.type("bug")
    page.until("document.documentElement.dataset.state === 'error'")
    assert page.text("#message") == "the request failed by an error of the server, which is in its log"


@pytest.mark.slow
def test_a_busy_server_is_asked_again(opened: Open) -> None:
    page = opened(waiting=0)
    page.expected = "status of 429"
    page.type("a dog")
    page.until("byId('status').textContent === 'The server is busy; trying again…'")
    limits = page.server.served.models.models["en-de"].batcher.limits
    page.server.served.models.models["en-de"].batcher.limits = limits._replace(jobs=10)
    page.translated()
    assert page.text("#target") == "A DOG"


@pytest.mark.slow
def test_a_server_that_needs_a_key_is_given_one(opened: Open) -> None:
    page = opened(keys=("secret",))
    page.expected = "status of 403"
    page.type("a dog")
    page.until("!byId('key-form').hidden")
    assert page.focused() == "key"
    page.browser.insert("wrong")
    page.browser.key("Enter")
    page.until("byId('key-form').textContent.includes('unknown to the server')")
    page.js("byId('key').focus()")
    page.browser.insert("secret")
    page.browser.key("Enter")
    page.translated()
    assert page.text("#target") == "A DOG"
    assert page.js("[localStorage.length, Object.values(sessionStorage)]") == [0, ["secret"]]
    page.browser.open(page.server.url)
    assert page.translate("again") == "AGAIN"


@pytest.mark.slow
def test_a_key_may_be_pasted_with_invisible_characters_and_storage_blocked(opened: Open) -> None:
    page = opened(keys=("secret",))
    page.expected = "status of 403"
    blocked = "{ get() { throw new DOMException('no', 'SecurityError'); } }"
    script = f"Object.defineProperty(window, 'sessionStorage', {blocked})"
    added = page.browser.send("Page.addScriptToEvaluateOnNewDocument", source=script)
    page.browser.open(page.server.url)
    page.type("a dog")
    page.until("!byId('key-form').hidden")
    page.js("byId('key').focus()")
    page.browser.insert("“secret\u200b”")
    page.browser.key("Enter")
    page.translated()
    assert page.text("#target") == "A DOG"
    page.browser.send("Page.removeScriptToEvaluateOnNewDocument", **added)
    page.browser.open(page.server.url)


def test_a_server_that_is_gone_and_comes_back(opened: Open) -> None:
    """The page says so, tries again, and translates what was typed meanwhile. The browser logs each try by itself."""
    page = opened()
    page.expected = "ERR_CONNECTION_REFUSED"
    page.translate("a dog")
    page.server.stop()
    page.type("a cat")
    page.until("document.documentElement.dataset.state === 'gone'")
    assert page.text("#message").startswith("The server does not answer. This page tries again by itself")
    assert page.text("#target") == "A DOG"
    assert page.js("byId('target').classList.contains('stale')")
    page.type("a cat sleeps")
    page.server.start()
    page.until("byId('target').textContent === 'A CAT SLEEPS'")
    assert page.js("byId('message').hidden")


def test_markup_is_text_everywhere(opened: Open) -> None:
    """In texts, translations, names of models, settings and errors."""
    name = "<b/onload=alert(1)>"
    page = opened(f"{name}=en-de", "other=en-de", heads=(2, 2))
    page.expected = "status of 400"
    assert page.translate(HOSTILE) == f"{name}:{HOSTILE.upper()}"
    page.js("byId('map-details').open = true")
    page.until("document.querySelector('.row-label')")
    page.browser.mouse(".word")
    assert page.texts("#model option")[0] == f"English → German · {name}"
    assert HOSTILE.upper() in page.texts(".row-label")[0] + page.text("#target")
    translator: Any = page.server.translators[name]
    translator.encode_source = refuse
    page.type("a")
    page.until("!byId('message').hidden")
    assert page.text("#message") == HOSTILE
    page.browser.js(f"location.hash = {'#model=' + HOSTILE!r} + '&beam=<b>'")
    assert page.js("[document.images.length, document.scripts.length, window.broken ?? 0]") == [0, 1, 0]
    assert page.js("document.querySelectorAll('textarea').length") == 1
    assert page.js("[...document.querySelectorAll('b')].every((e) => e.closest('.choice') && !e.attributes.length)")


def refuse(line: str) -> Iterator[None]:
    raise DataError(HOSTILE)


def test_script_in_the_page_is_blocked(opened: Open) -> None:
    """The policy holds even where the page is wrong: an element made of markup does not run."""
    page = opened()
    blocked = """new Promise((resolve) => {
        document.addEventListener('securitypolicyviolation', (event) => resolve(event.violatedDirective));
        setTimeout(() => resolve('nothing was blocked'), 2000);
        const script = document.createElement('script');
        try { script.text = 'window.broken = 1'; } catch { resolve('require-trusted-types-for'); }
        document.body.append(script);
    })"""
    assert page.js(blocked) in ("require-trusted-types-for", "script-src-elem")
    assert page.js("window.broken ?? 0") == 0
    page.browser.events.clear()  # the browser logs what it blocks


@pytest.mark.slow
def test_empty_translations_and_truncated_ones(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = Translation("", -1.0, -1.0, ["▁a", ""], [""], None, True, truncated=True)
    monkeypatch.setattr(StandIn, "translation", lambda *given: empty)
    page = opened()
    page.type("a")
    page.translated()
    assert page.text("#target") == ""
    assert page.js("byId('copy').hidden")
    assert status(page) == "Of a long sentence the model read the beginning only."


@pytest.mark.slow
@pytest.mark.parametrize("denied", [False, True])
def test_copy(opened: Open, denied: bool) -> None:
    page = opened()
    page.translate("a dog. two cats.")
    refused = "() => Promise.reject(new Error('denied'))" if denied else "(t) => { window.copied = t; }"
    page.js(f"Object.defineProperty(navigator, 'clipboard', {{ value: {{ writeText: {refused} }} }})")
    page.js("document.execCommand = () => { window.copied = String(getSelection()); return true; }")
    page.browser.mouse("#copy", "click")
    page.until("byId('status').textContent === 'Copied'")
    assert page.js("window.copied") == "A DOG. TWO CATS."
