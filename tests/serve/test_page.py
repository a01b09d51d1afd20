"""The page as it is sent, without a browser; and the list of models that it asks for."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from seq2seq.runtime.search_config import SearchConfig
from seq2seq.utils.page import sha256
from tests.each import each
from tests.serve.served import Served

for package in ("fastapi", "httpx2", "prometheus_client", "py3langid", "python_multipart", "sentencex"):
    pytest.importorskip(package, reason="pip install 'seq2seq[serve]' httpx2")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    one = Served("en-de", "ar=en-ar", "xx-yy", "sum=summarization", heads=(2, 4), characters=200, beam=7)
    yield one
    one.close()


@pytest.fixture(scope="module")
def sent(served: Served) -> Any:
    return served.client.get("/")


def parts(html: str, tag: str) -> list[str]:
    return re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)


def test_page_may_run_its_own_script_and_ask_its_own_server_only(sent: Any) -> None:
    assert (sent.status_code, sent.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.split(" ", 1) for part in sent.headers["content-security-policy"].split("; "))
    (script,), (style,) = parts(sent.text, "script"), parts(sent.text, "style")
    assert policy == {
        "default-src": "'none'",
        "script-src": f"'{sha256(script)}'",
        "style-src": f"'{sha256(style)}'",
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }
    for name, value in (("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")):
        assert sent.headers[name] == value
    assert sent.headers["cache-control"] == "no-cache"


def test_page_names_no_other_place_and_makes_no_markup_of_text(sent: Any) -> None:
    assert not re.search(r"https?:|//[a-z]+\.|url\(|@import|import\(", sent.text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function", sent.text)
    assert not re.search(r"<[^>]*\s(?:on\w+|style|srcset|action)=", sent.text)
    assert re.findall(r'(?:src|href)="([^"]*)"', sent.text) == ["data:,"]
    assert "${" not in parts(sent.text, "style")[0]


def test_ids_are_unique_and_references_to_them_resolve(sent: Any) -> None:
    html = sent.text.partition("<script>")[0]
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    named = re.findall(r'(?:aria-labelledby|aria-describedby|aria-controls|for)="([^"]*)"', html)
    assert set(named) <= set(ids)
    assert set(re.findall(r'byId\("([^"]*)"\)', sent.text)) <= {*ids, "comparison"}


def models(served: Served) -> dict[str, Any]:
    return {model["name"]: model for model in served.client.get("/v1/models").json()["models"]}


def test_models_with_languages_and_directions(served: Served) -> None:
    listed = served.client.get("/v1/models").json()
    assert (listed["characters"], listed["key_required"]) == (200, False)
    assert list(models(served)) == ["en-de", "ar", "xx-yy", "sum"]
    arabic = models(served)["ar"]
    assert arabic["source"] == {"code": "en", "name": "English", "direction": "ltr"}
    assert arabic["target"] == {"code": "ar", "name": "Arabic", "direction": "rtl"}
    assert models(served)["xx-yy"]["target"]["direction"] == "auto"
    assert models(served)["sum"]["task"] == "summarization"
    assert (arabic["layers"], arabic["heads"]) == (2, 4)


def test_settings_of_the_search_with_their_bounds(served: Served) -> None:
    served.translators["en-de"].search = SearchConfig(max_length=50)
    settings = {one.pop("name"): one for one in models(served)["en-de"]["search"]}
    served.translators["en-de"].search = SearchConfig()
    assert settings["beam"] | {"help": ""} == {
        "type": "int", "value": 5, "least": 1, "most": 7, "choices": [], "help": "",
    }  # fmt: skip
    assert (settings["n_best"]["most"], settings["max_length"]["most"]) == (7, 50)
    assert settings["length_penalty"]["choices"] == ["none", "average", "gnmt"]
    assert (settings["alpha"]["type"], settings["sampling"]["type"]) == ("float", "bool")
    assert not {"batch", "window", "max_source", "long_source"} & set(settings)
    assert all(one["help"] for one in settings.values())


@each(
    ("values", "error"),
    [
        ({"layer": 3}, "layer=3 is more than en-de has: at most 2"),
        ({"head": 5}, "head=5 is more than en-de has: at most 4"),
        ({"layer": -1}, "layer is wrong: Input should be greater than or equal to 0"),
        ({"layer": 1, "attention": False}, "layer and head choose the attention that is given: they need"),
    ],
)
def test_wrong_layers_and_heads_are_refused(served: Served, values: dict[str, Any], error: str) -> None:
    status, answer = served.post("/v1/translate", text="a", model="en-de", **{"attention": True} | values)
    assert (status, answer["error"][: len(error)]) == (400, error)


def test_a_bundle_of_graphs_has_no_layers() -> None:
    served = Served()
    status, answer = served.post("/v1/translate", text="a", attention=True, head=1)
    served.close()
    assert (status, answer["error"]) == (400, "head=1: en-de gives no layers and heads: leave out layer and head")


def test_a_server_with_keys_says_so_without_one() -> None:
    served: Served = Served(keys=("secret",))
    get: Callable[[str], Any] = served.client.get
    assert get("/").status_code == 200
    assert get("/v1/models").json()["key_required"]
    served.close()
