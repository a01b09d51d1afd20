"""`seq2seq serve`: what it refuses before it starts, and a real server with a real client (--slow)."""

import json
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib import error, request

import pytest

from seq2seq import Translator
from seq2seq.commands import serve
from tests.browser import Browser
from tests.serve.process import BUNDLE, answers, serving
from tests.serve.until import until


def test_missing_packages_are_named(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "find_spec", lambda name: name not in ("fastapi", "uvicorn"))
    code, _, err = call("serve", BUNDLE)
    assert (code, err) == (
        2,
        "seq2seq: serving needs more packages, fastapi, uvicorn: pip install 'seq2seq[serve]'\n",
    )


@pytest.fixture
def installed() -> None:
    for package in serve.PACKAGES:
        pytest.importorskip(package, reason="pip install 'seq2seq[serve]'")


def test_what_cannot_work_is_refused(call: Any, installed: None, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("\n# none\n")
    (tmp_path / "wrong").write_text("a\nkéy\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for words, message in (
            (["nowhere", "--port", 0], "nowhere is not a run directory"),
            ([BUNDLE, "--port", port], f"--host 127.0.0.1 --port {port} cannot be listened on: Address already in use"),
            ([BUNDLE, "--port", 70000], "--port=70000 is too large: at most 65535"),
            ([BUNDLE, "--api-keys", tmp_path / "keys"], "keys holds no API key: one a line is expected"),
            ([BUNDLE, "--api-keys", tmp_path / "wrong"], "wrong: 'kéy' cannot be a key"),
            ([BUNDLE, "--cors", "a.org"], "'a.org' is no origin, such as https://example.org or *"),
            ([BUNDLE, "--cors", "https://a.org/"], "'https://a.org/' is no origin"),
            ([BUNDLE, "--port", 0, "--beam", 0], "search.beam=0 is too small"),
        ):
            code, _, err = call("serve", *words)
            assert code == 2
            assert message in err


def ask(url: str, path: str, **values: Any) -> tuple[int, Any]:
    """The status and the answer of a request."""
    body = request.Request(f"{url}/{path}", json.dumps(values).encode(), {"Content-Type": "application/json"})
    try:
        with request.urlopen(body, timeout=60) as answer:
            return answer.status, json.load(answer)
    except error.HTTPError as refused:
        return refused.code, json.load(refused)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["rnn", "transformer"])
def test_answers_are_those_of_translate(
    family: str, family_run: Callable[[str], Path], lines: list[str], installed: None
) -> None:
    """Of the real client of LibreTranslate, and of many requests at once, from a run and a bundle."""
    client = pytest.importorskip("libretranslatepy", reason="pip install libretranslatepy")
    run = family_run(family)
    offline = Translator.open(run).translate(lines)
    n_best = [[one.text for one in found] for found in Translator.open(run, beam=4, n_best=3).hypotheses(lines)]
    with serving(run, f"bundle={BUNDLE}", "--batch-tokens", 64) as (url, _), ThreadPoolExecutor(8) as pool:
        api = client.LibreTranslateAPI(url)
        assert api.languages() == [{"code": "en", "name": "English", "targets": ["de"]}]
        assert api.detect("A dog.") == [{"language": "en", "confidence": 100.0}]
        stripped = [line if line.strip() else "" for line in lines]
        assert [found or "" for found in pool.map(lambda line: api.translate(line, "en", "de"), stripped)] == offline
        _, listed = ask(url, "translate", q=lines, source="en", target="de")
        assert [text.strip() for text in listed["translatedText"]] == [text.strip() for text in offline]
        search = {"beam": 4, "n_best": 3}
        _, detailed = ask(url, "v1/translate", text=stripped, model=run.name, search=search)
        ranked = [
            [one["text"] for one in text["sentences"][0]["hypotheses"]] if text["sentences"] else [""] * 3
            for text in detailed["translations"]
        ]
        assert ranked == n_best
        _, other = ask(url, "v1/translate", text=stripped, model="bundle")
        assert [one["text"] for one in other["translations"]] == Translator.open(BUNDLE).translate(stripped)


@pytest.mark.slow
def test_page_shows_what_the_server_answers(
    family_run: Callable[[str], Path], lines: list[str], installed: None, browser: Browser
) -> None:
    """The translation of a real Transformer, and the attention of its second head."""
    line = lines[0].strip()
    with serving(family_run("transformer"), f"bundle={BUNDLE}") as (url, _):
        browser.open(f"{url}/")
        browser.js("byId('source').focus()")
        browser.insert(line)
        browser.until("document.documentElement.dataset.state === 'translated'")
        search = {"n_best": min(4, Translator.open(family_run("transformer")).search.beam)}
        options = {
            "text": line,
            "model": family_run("transformer").name,
            "attention": True,
            "head": 2,
            "search": search,
        }
        best = ask(url, "v1/translate", **options)[1]["translations"][0]["sentences"][0]["hypotheses"][0]
        assert browser.js("byId('target').textContent") == best["text"]
        browser.js("""(select => { select.value = 2; select.dispatchEvent(new Event('change')); })(
            document.querySelector('#heads label:nth-child(2) select'))""")
        browser.until("state.shown.sentences[0].hypotheses[0].attention !== null")
        assert browser.js("state.shown.sentences[0].hypotheses[0].attention") == best["attention"]
        browser.js("location.hash = 'model=bundle'")
        bundled = Translator.open(BUNDLE).translate([line])
        browser.until(f"byId('target').textContent === {bundled[0]!r}")
        assert browser.js("byId('heads').hidden")
        assert browser.problems() == []
        browser.send("Page.navigate", url="about:blank")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_finishes_what_was_accepted(
    number: signal.Signals, family_run: Callable[[str], Path], lines: list[str], installed: None
) -> None:
    text = "\n".join([line for line in lines if line.strip()] * 20)
    with serving(family_run("rnn"), "--batch-tokens", 64) as (url, process), ThreadPoolExecutor(4) as pool:
        accepted = [pool.submit(ask, url, "translate", q=text, source="en", target="de") for _ in range(3)]
        until(lambda: waiting(url) > 2 * len(text.splitlines()), 60)  # of all three
        process.send_signal(number)
        health = [ask(url, "detect", q="a") for _ in range(2)]
        assert {status for status, _ in health} == {503}
        assert len({json.dumps(one.result()) for one in accepted}) == 1
        assert accepted[0].result()[0] == 200
        assert process.wait(60) == 0


@pytest.mark.slow
@pytest.mark.parametrize("watch", [False, True])
def test_model_is_replaced_without_a_lost_request(watch: bool, tmp_path: Path, installed: None) -> None:
    model = tmp_path / "model.s2s"
    files = [BUNDLE, BUNDLE.with_name("1-transformer.s2s")]
    expected = [Translator.open(file).translate(["A dog runs."])[0] for file in files]
    assert expected[0] != expected[1]
    model.write_bytes(files[0].read_bytes())
    done = threading.Event()

    def ask_until_done(url: str) -> list[str]:
        found = []
        while not done.is_set():
            status, answer = ask(url, "v1/translate", text="A dog runs.")
            assert status == 200, answer
            found.append(answer["translations"][0]["text"])
        return found

    def change(content: bytes, message: str) -> None:
        """Put the content in the place of the model, and wait until the server prints the message."""
        model.with_suffix(".new").write_bytes(content)
        model.with_suffix(".new").rename(model)
        if not watch:
            process.send_signal(signal.SIGHUP)
        assert process.stderr
        assert next(line for line in process.stderr if line.startswith("model is ")).startswith(message)

    with serving(model, *["--watch"] * watch) as (url, process), ThreadPoolExecutor(4) as pool:
        try:
            clients = [pool.submit(ask_until_done, url) for _ in range(4)]
            change(files[1].read_bytes()[:-1000], "model is not replaced: ")
            assert ask(url, "v1/translate", text="A dog runs.")[1]["translations"][0]["text"] == expected[0]
            change(files[1].read_bytes(), "model is replaced")
            time.sleep(0.3)
        finally:
            done.set()
        for client in clients:
            found = client.result()
            assert (found[0], found[-1]) == (expected[0], expected[1])
            assert found == sorted(found, key=expected.index)
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.slow
def test_second_signal_ends_at_once(family_run: Callable[[str], Path], installed: None) -> None:
    text = "\n".join(["A dog runs."] * 500)
    with serving(family_run("rnn"), "--batch-tokens", 1) as (url, process), ThreadPoolExecutor(1) as pool:
        accepted = pool.submit(ask, url, "translate", q=text, source="en", target="de")
        until(lambda: waiting(url) > 0, 60)
        process.send_signal(signal.SIGTERM)
        until(lambda: not answers(url), 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
        assert accepted.exception(60)


def waiting(url: str) -> float:
    """The sentences that wait."""
    figures = request.urlopen(f"{url}/metrics", timeout=60).read().decode()
    return sum(map(float, re.findall(r"(?m)^seq2seq_waiting_sentences{.*} (.*)$", figures)))
