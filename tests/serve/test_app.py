"""The HTTP interface in this process, with stand-ins for translators."""

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from seq2seq.errors import ConfigError
from seq2seq.runtime.search_config import SearchConfig
from tests.each import each
from tests.serve.served import Served
from tests.serve.until import until

REASON = "pip install 'seq2seq[serve]' httpx2"
for package in ("fastapi", "httpx2", "prometheus_client", "py3langid", "python_multipart", "sentencex"):
    pytest.importorskip(package, reason=REASON)

ALL = ("en-de", "de-en", "small=en-de", "sum=summarization")


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """`serve(*specs, **limits)`: a server of these models."""
    started: list[Served] = []

    def start(*specs: str, **options: Any) -> Served:
        started.append(Served(*specs, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A server of several models, shared by tests that change nothing."""
    one = Served(*ALL, characters=200, texts=3, beam=5)
    yield one
    one.close()


@each(
    ("q", "more", "answer"),
    [
        ("A dog.", {}, {"translatedText": "A DOG."}),
        ("A dog.\n\n Two  dogs. Three!", {}, {"translatedText": "A DOG.\n\n TWO  DOGS. THREE!"}),
        ("", {}, {"translatedText": ""}),
        (["A.", " ", "b"], {}, {"translatedText": ["A.", " ", "B"]}),
        ("<b>a</b> &amp; c", {"format": "html"}, {"translatedText": "<b>A</b> &amp; C"}),
        ("<b>a</b>", {"format": "text"}, {"translatedText": "<B>A</B>"}),
        ("a", {"alternatives": 2}, {"translatedText": "A", "alternatives": ["A'", "A''"]}),
        (["a", ""], {"alternatives": 1}, {"translatedText": ["A", ""], "alternatives": [["A'"], []]}),
        ("a", {"source": "English", "target": "deu"}, {"translatedText": "A"}),
        ("a", {"unknown": "field", "api_key": "any"}, {"translatedText": "A"}),
        ("a", {"api_key": None, "format": None, "alternatives": None}, {"translatedText": "A"}),
    ],
)
def test_translate(served: Served, q: Any, more: dict[str, Any], answer: dict[str, Any]) -> None:
    assert served.translate(q, **{"source": "en", "target": "de"} | more) == (200, answer)


def test_translate_reads_forms(served: Served) -> None:
    form = {"q": "a & ü", "source": "en", "target": "de", "alternatives": "1"}
    answer = {"translatedText": "A & Ü", "alternatives": ["A & Ü'"]}
    assert served.client.post("/translate", data=form).json() == answer
    parts = {name: (None, value) for name, value in form.items()}
    assert served.client.post("/translate", files=parts).json() == answer
    form["q"] = ["a", "b"]  # type: ignore[assignment]
    assert served.client.post("/translate", data=form).json()["translatedText"] == ["A", "B"]
    file = served.client.post("/translate", data={"source": "en", "target": "de"}, files={"q": ("q.txt", b"a")})
    assert (file.status_code, file.json()) == (400, {"error": "q is a file, and only text is translated"})


def test_detected_language_chooses_the_model(served: Served) -> None:
    english, german = "The old teacher opens the window.", "Der alte Lehrer öffnet das Fenster."
    status, answer = served.translate(english, source="auto")
    assert (status, answer["translatedText"]) == (200, english.upper())
    assert answer["detectedLanguage"]["language"] == "en"
    assert served.translate([german], source="auto", target="en")[1]["detectedLanguage"][0]["language"] == "de"
    (first, *_) = served.post("/detect", q=german)[1]
    assert first["language"] == "de"
    assert 90 < first["confidence"] <= 100
    status, answer = served.translate([english, german], source="auto")
    assert (status, answer["error"]) == (
        400,
        "'de-de' is not translated here; the language pairs are: en-de, de-en",
    )


def test_what_there_is(served: Served) -> None:
    assert served.client.get("/languages").json() == [
        {"code": "en", "name": "English", "targets": ["de"]},
        {"code": "de", "name": "German", "targets": ["en"]},
    ]
    settings = served.client.get("/frontend/settings").json()
    assert (settings["charLimit"], settings["keyRequired"]) == (200, False)
    assert settings["language"]["target"] == {"code": "de", "name": "German"}
    assert served.client.get("/health").json() == {"status": "ok"}


NO_FIELD = "the request has no field "


@each(
    ("path", "values", "status", "error"),
    [
        ("translate", {"source": "en", "target": "de"}, 400, NO_FIELD + "q: text, or a list of texts"),
        ("translate", {"q": "a", "target": "de"}, 400, NO_FIELD + "source"),
        ("detect", {}, 400, NO_FIELD + "q"),
        ("translate", {"q": 3, "source": "en", "target": "de"}, 400, "q is neither a text nor a list of texts"),
        ("translate", {"q": [], "source": "en", "target": "de"}, 400, "the list of texts is empty"),
        ("translate", {"q": "a", "source": "en", "target": "fr"}, 400,
         "'en-fr' is not translated here; the language pairs are: en-de, de-en"),
        ("translate", {"q": "a", "source": "en", "target": "de", "format": "htm"}, 400, "format is wrong: "),
        ("translate", {"q": "a", "source": "en", "target": "de", "alternatives": 5}, 400,
         "alternatives=5 is more than this server gives: at most 4"),
        ("translate", {"q": "a", "source": "en", "target": "de", "alternatives": -1}, 400, "alternatives is wrong: "),
        ("translate", {"q": "a" * 201, "source": "en", "target": "de"}, 413,
         "a request may have at most 200 characters, and this one has 201: send several"),
        ("translate", {"q": ["a"] * 4, "source": "en", "target": "de"}, 413, "a request may have at most 3 texts"),
        ("translate", {"q": "a", "source": "en", "target": "de", "more": "a" * 70_000}, 413,
         "the body is larger than 67,936 bytes"),
        ("translate", {"q": "a\0", "source": "en", "target": "de"}, 400, "the text holds a NUL"),
        ("translate", {"q": "a bad one", "source": "en", "target": "de"}, 400, "the line is bad"),
        ("v1/translate", {"text": "a"}, 400, "several models translate: choose one by `model`, of: en-de, "),
        ("v1/translate", {"text": "a", "model": "smal"}, 400, "model='smal' is unknown (did you mean 'small'?)"),
        ("v1/translate", {"text": "a", "model": "small", "source": "de", "target": "en"}, 400,
         "model=small translates en-de: leave out source and target, or model"),
        ("v1/translate", {"text": "a", "source": "de"}, 400, "source and target must be given together"),
        ("v1/translate", {"text": "a", "beam": 3}, 400, "field='beam' is unknown"),
        ("v1/translate", {"text": "a", "model": "small", "search": {"beem": 3}}, 400,
         "search setting='beem' is unknown (did you mean 'beam'?)"),
        ("v1/translate", {"text": "a", "model": "small", "search": {"beam": 6}}, 400, "search.beam=6 is more than"),
        ("v1/translate", {"text": "a", "model": "small", "search": {"max_length": 201}}, 400,
         "search.max_length=201 is more than this server allows: at most 200"),
        ("v1/translate", {"text": "a", "model": "small", "search": {"max_ratio": 99.0}}, 400,
         "search.max_ratio=99.0 is more than this server allows"),
        ("v1/translate", {"text": "a", "model": "small", "search": {"min_length": 1}}, 400,
         "search.min_length=1 is more than this server allows"),
        ("v1/translate", {"text": "a", "model": "small", "search": {"min_ratio": 0.1}}, 400,
         "search.min_ratio=0.1 is more than this server allows"),
        ("translate", {"q": "<a " * 3000, "source": "en", "target": "de", "format": "html"}, 413, "a request may have"),
        ("v1/translate", {"text": "a", "model": "small", "search": {"batch": 1}}, 400,
         "search setting='batch' is unknown"),
        ("v1/translate", {"text": "a", "model": "small", "search": {"beam": "3"}}, 400, "search.beam='3' must be of"),
        ("v1/translate", {"text": "a", "model": "small", "search": {"beam": 2, "n_best": 3}}, 400,
         "search.n_best=3 is more than search.beam=2 can find"),
        ("v1/summarize", {"text": "a", "model": "small"}, 400, "model='small' is unknown"),
    ],
)  # fmt: skip
def test_refused(served: Served, path: str, values: dict[str, Any], status: int, error: str) -> None:
    found, answer = served.post(f"/{path}", **values)
    assert (found, list(answer)) == (status, ["error"])
    assert answer["error"].startswith(error)


@each(
    ("method", "path", "content", "status", "error"),
    [
        ("GET", "/nowhere", b"", 404, "Not Found"),
        ("GET", "/translate", b"", 405, "Method Not Allowed"),
        ("POST", "/translate", b"q=a", 400, "the request is neither JSON nor a form"),
        ("POST", "/translate", b'["a"]', 400, "the request is not a JSON object"),
        ("POST", "/translate", b"[" * 60_000, 400, "the request is neither JSON nor a form"),
        ("POST", "/translate", b'{"q": "\\ud800", "source": "en", "target": "de"}', 400, "the request is neither JSON"),
        ("POST", "/translate", b'{"q": "\\u0000", "source": "en", "target": "de"}', 400, "the text holds a NUL"),
    ],
)
def test_what_is_no_request(served: Served, method: str, path: str, content: bytes, status: int, error: str) -> None:
    answer = served.client.request(method, path, content=content)
    assert answer.status_code == status
    assert answer.json()["error"].startswith(error)


def test_translations_with_all_that_is_known_of_them(served: Served) -> None:
    words: dict[str, Any] = {"text": ["One dog.\nTwo", ""], "source": "en", "target": "de"}
    status, answer = served.post("/v1/translate", **words, search={"n_best": 2, "beam": 3}, alignment=True)
    assert status == 200
    assert {name: answer[name] for name in ("model", "source", "target")} == {
        "model": "en-de", "source": "en", "target": "de",
    }  # fmt: skip
    first, empty = answer["translations"]
    assert (first["text"], empty) == ("ONE DOG.\nTWO", {"text": "", "sentences": []})
    assert [one["sentence"] for one in first["sentences"]] == ["One dog.", "Two"]
    best, second = first["sentences"][0]["hypotheses"]
    assert best == {
        "text": "ONE DOG.", "score": -1.0, "log_prob": -2.0, "source": ["▁One", "▁dog.", ""],
        "target": ["▁ONE", "▁DOG.", ""], "finished": True, "truncated": False, "alignment": "0-0 1-1",
    }  # fmt: skip
    assert (second["text"], second["score"]) == ("ONE DOG.'", -2.0)
    (sentence,) = served.post("/v1/translate", text="a", model="small", attention=True)[1]["translations"][0][
        "sentences"
    ]
    assert sentence["hypotheses"][0]["text"] == "small:A"
    assert sentence["hypotheses"][0]["attention"] == [[1.0, 0.0], [0.0, 1.0]]


def test_summaries(served: Served) -> None:
    status, answer = served.post("/v1/summarize", text="One. <n> Two.\n\nThree.")
    assert (status, answer["model"]) == (200, "sum")
    (summary,) = answer["summaries"]
    assert [one["sentence"] for one in summary["sentences"]] == ["One. <n> Two. Three."]
    assert served.translators["sum"].batches[-1] == ["One. <n> Two. Three."]


def test_labels(serve: Any) -> None:
    served = serve("cls=classification", "en-de")
    status, answer = served.post("/v1/classify", text=["Not bad.\n\nAt all.", "x"], search={"n_best": 2, "beam": 2})
    assert (status, answer["model"]) == (200, "cls")
    assert [one["sentences"][0]["sentence"] for one in answer["labels"]] == ["Not bad. At all.", "x"]
    assert len(answer["labels"][0]["sentences"][0]["hypotheses"]) == 2
    status, answer = served.post("/v1/classify", text="x", model="en-de")
    assert (status, answer["error"]) == (400, "model='en-de' is unknown; these label: cls")
    assert serve("en-de").post("/v1/classify", text="x")[1] == {"error": "no model of this server labels"}


def test_keys(serve: Any) -> None:
    served = serve(keys=("first", "sécond"))
    needs = "this server needs an API key, as `api_key` or as `Authorization: Bearer KEY`"
    assert served.translate("a") == (403, {"error": needs})
    assert served.translate("a", api_key="other") == (403, {"error": "the API key is unknown"})
    assert served.translate("a", api_key="sécond")[0] == 200
    headers = {"Authorization": "Bearer first"}
    assert served.client.post("/v1/translate", json={"text": "a"}).status_code == 403
    assert served.client.post("/v1/translate", json={"text": "a"}, headers=headers).status_code == 200
    assert served.post("/detect", q="a")[0] == 403
    assert served.client.get("/metrics").status_code == 403
    assert served.client.get("/metrics", headers=headers).status_code == 200
    for path in ("/health", "/languages", "/frontend/settings"):
        assert served.client.get(path).status_code == 200


def test_full_queue_and_draining_say_when_to_try_again(serve: Any) -> None:
    served = serve(waiting=1)
    translator = served.translators["en-de"]
    translator.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(served.translate, "first")
        until(lambda: translator.batches)
        second = pool.submit(served.translate, "second")
        until(lambda: served.models.models["en-de"].batcher.waiting() == 1)
        full = served.client.post("/translate", json={"q": "a", "source": "en", "target": "de"})
        served.server.draining = True
        late = served.client.post("/translate", json={"q": "a", "source": "en", "target": "de"})
        assert served.client.get("/health").status_code == 503
        assert served.server.active == 2
        translator.gate.set()
    assert (full.status_code, full.headers["retry-after"]) == (429, "1")
    assert full.json()["error"] == "1 requests wait already: send this one again in a second"
    assert (late.status_code, late.headers["retry-after"]) == (503, "5")
    assert "shutting down" in late.json()["error"]
    assert [first.result(), second.result()] == [(200, {"translatedText": text}) for text in ("FIRST", "SECOND")]
    assert served.server.active == 0


def test_bug_is_answered_and_logged_without_text(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    served = serve()
    with caplog.at_level(logging.DEBUG):
        for q, status in (("a secret bug", 500), ("a secret bad", 400), ("a secret", 200)):
            assert served.translate(q)[0] == status
        served.post("/translate", q="a secret", source="secret", target="de", format="secret")
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("seq2seq")]
    assert any("ZeroDivisionError" in message for message in ours)
    assert "secret" not in caplog.text.lower()


def test_requests_at_once_get_their_own_answers_from_common_batches(serve: Any) -> None:
    import httpx2

    served = serve(waiting=100)
    translator = served.translators["en-de"]
    translator.gate.clear()

    async def ask() -> list[Any]:
        transport = httpx2.ASGITransport(app=served.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            bodies = [{"q": f"line {i}. Next {i}.", "source": "en", "target": "de"} for i in range(20)]
            threading.Timer(0.2, translator.gate.set).start()
            return await asyncio.gather(*(client.post("/translate", json=body) for body in bodies))

    answers = [answer.json()["translatedText"] for answer in asyncio.run(ask())]
    assert answers == [f"LINE {i}. NEXT {i}." for i in range(20)]
    assert len(translator.batches) < 10


def test_request_whose_client_goes_is_dropped(serve: Any) -> None:
    served = serve()
    translator, batcher = served.translators["en-de"], served.models.models["en-de"].batcher
    translator.gate.clear()
    sent: list[Any] = []
    body = json.dumps({"q": "gone", "source": "en", "target": "de"}).encode()
    scope = {"type": "http", "method": "POST", "path": "/translate", "raw_path": b"/translate", "query_string": b"",
             "headers": [(b"content-type", b"application/json")], "http_version": "1.1"}  # fmt: skip

    async def go() -> None:
        busy = batcher.submit(batcher.job(["busy"]))
        until(lambda: translator.batches)
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> Any:
            if message := next(messages, None):
                return message
            while batcher.waiting() < 1:
                await asyncio.sleep(0.002)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await served.app(scope, receive, send)
        assert batcher.waiting() == 0
        translator.gate.set()
        await asyncio.wrap_future(busy)

    asyncio.run(go())
    assert not sent
    assert served.server.active == 0
    assert translator.batches == [["busy"]]


def test_figures(serve: Any) -> None:
    served = serve()
    served.translate("One two. Three.")
    served.translate("a", target="fr")
    served.client.get("/nowhere/secret")
    text = served.client.get("/metrics").text
    for line in (
        'seq2seq_requests_total{path="/translate",status="200"} 1.0',
        'seq2seq_requests_total{path="/translate",status="400"} 1.0',
        'seq2seq_requests_total{path="other",status="404"} 1.0',
        'seq2seq_sentences_total{model="en-de"} 2.0',
        'seq2seq_source_tokens_total{model="en-de"} 3.0',
        'seq2seq_waiting_sentences{model="en-de"} 0.0',
    ):
        assert line in text.splitlines()
    assert "secret" not in text


def test_browsers_may_ask_only_from_pages_that_are_named(serve: Any) -> None:
    headers = {"Origin": "http://a.example"}
    assert "access-control-allow-origin" not in serve().client.get("/health", headers=headers).headers
    named = serve(origins=("http://a.example",)).client
    assert named.get("/health", headers=headers).headers["access-control-allow-origin"] == "http://a.example"
    assert "access-control-allow-origin" not in named.get("/health", headers={"Origin": "http://b.example"}).headers


def test_openapi_describes_every_request(served: Served) -> None:
    paths = served.client.get("/openapi.json").json()["paths"]
    assert set(paths) == {
        "/translate", "/detect", "/languages", "/frontend/settings", "/health", "/metrics", "/v1/translate",
        "/v1/summarize", "/v1/classify", "/v1/models", "/",
    }  # fmt: skip
    assert {"application/json", "multipart/form-data"} <= set(paths["/translate"]["post"]["requestBody"]["content"])
    assert all(one["summary"] and "429" in one["responses"] for path in paths.values() for one in path.values())


def test_two_models_of_one_name_are_refused(serve: Any) -> None:
    with pytest.raises(ConfigError, match="are both called en-de: give one of them another name, as NAME=MODEL"):
        serve("en-de", "en-de=de-en")


def test_sampling_models_give_alternatives(serve: Any) -> None:
    served = serve()
    served.translators["en-de"].search = SearchConfig(sampling=True)
    assert served.translate("a", alternatives=1)[1]["alternatives"] == ["A'"]


def test_server_without_translators_says_so(serve: Any) -> None:
    served = serve("sum=summarization")
    assert served.translate("a", source="auto")[0] == 400
    assert served.client.get("/languages").json() == []
    assert served.client.get("/frontend/settings").status_code == 200
    status, answer = served.post("/v1/translate", text="a")
    assert (status, answer["error"]) == (400, "no model of this server translates")


def test_html_of_too_many_tags_is_refused(serve: Any) -> None:
    status, answer = serve(characters=100_000).translate("<a " * 3000, format="html")
    assert (status, answer["error"]) == (413, "a text may have at most 2,000 tags, and this one has 3,000: divide it")


def test_attention_of_an_answer_is_bounded(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from seq2seq.serve import app

    monkeypatch.setattr(app, "WEIGHTS", 40)
    served = serve()
    for words, status in ((5, 200), (6, 413)):
        found, answer = served.post("/v1/translate", text=" ".join("abcdef"[:words]), attention=True)
        assert found == status, answer
    assert answer["error"].startswith("the attention of all hypotheses has 49 weights, and an answer at most 40")
    assert served.post("/v1/translate", text="a b c d e f")[0] == 200


def test_model_that_has_stopped_refuses_requests(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    served = serve()
    batcher = served.models.models["en-de"].batcher
    batcher._next_batch = list  # its thread ends after the next batch
    assert served.translate("a")[0] == 200
    batcher.thread.join()
    status, answer = served.translate("a")
    assert status == 500
    assert answer["error"].startswith("the model has stopped")
    assert served.client.get("/health").status_code == 503
