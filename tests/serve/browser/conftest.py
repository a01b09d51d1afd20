"""The page of a server of stand-ins in a browser."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser import Browser
from tests.serve.live import Live

PACKAGES = ("fastapi", "prometheus_client", "py3langid", "python_multipart", "sentencex", "uvicorn")


class Page:
    """A page, its server, and what a user does with it."""

    def __init__(self, browser: Browser, server: Live, fragment: str = "") -> None:
        self.browser, self.server = browser, server
        self.expected = ""  # what the browser itself logs of requests that fail may contain this
        browser.open(server.url + fragment)
        self.js = browser.js

    def until(self, condition: str) -> None:
        """Wait until an expression is true, such as an element."""
        self.browser.until(f"Boolean({condition})")

    def type(self, text: str) -> None:
        """Put a text into the field in place of what is there."""
        self.js("(byId('source').focus(), byId('source').select())")
        self.browser.insert(text)

    def translate(self, text: str) -> str:
        """Type a text; its translation once it is there."""
        self.type(text)
        self.translated()
        return self.text("#target")

    def translated(self) -> None:
        self.until("document.documentElement.dataset.state === 'translated' && !isStale()")

    def text(self, selector: str) -> str:
        return str(self.js(f"document.querySelector({selector!r}).textContent"))

    def texts(self, selector: str) -> list[str]:
        return list(self.js(f"[...document.querySelectorAll({selector!r})].map((e) => e.textContent)"))

    def focused(self) -> str:
        """The id of the element with the focus, or its text."""
        return str(self.js("document.activeElement.id || document.activeElement.textContent"))

    def change(self, selector: str, value: Any) -> None:
        """Choose a value of a field, as a user does."""
        self.js(f"""(field => {{
            if (field.type === 'checkbox') field.checked = {str(bool(value)).lower()};
            else field.value = {str(value)!r};
            field.dispatchEvent(new Event('change'));
        }})(document.querySelector({selector!r}))""")

    def problems(self) -> list[Any]:
        """What was logged, but for what the browser itself logs of each request that fails, if that is expected: no
        page can keep it from doing so."""
        return [
            problem
            for problem in self.browser.problems()
            if not (self.expected and dict(problem).get("source") == "network" and self.expected in problem["text"])
        ]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """`opened(*specs, **options)`: the page of such a server, in light colours. At the end there may be no problems."""
    for package in PACKAGES:
        pytest.importorskip(package, reason="pip install 'seq2seq[serve]'")
    made: list[Page] = []

    def open_page(*specs: str, fragment: str = "", **options: Any) -> Page:
        browser.scheme("light")
        browser.size(1200, 900)
        made.append(Page(browser, Live(*specs, **options), fragment))
        return made[-1]

    yield open_page
    for page in made:
        problems = page.problems()
        browser.js("sessionStorage.clear(), localStorage.clear()")
        browser.send("Page.navigate", url="about:blank")
        browser.send("Emulation.clearDeviceMetricsOverride")
        page.server.close()
        assert problems == []
