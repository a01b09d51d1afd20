"""The report in a browser."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seq2seq.compare.report import write_report
from tests.browser import Browser


@pytest.fixture(scope="module")
def shown(browser: Browser, comparison: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Browser]:
    """`shown(sentences, variants, **fields)`: the browser with the report of such a comparison."""
    folder = tmp_path_factory.mktemp("pages")

    def show(*args: Any, **fields: Any) -> Browser:
        write_report(comparison(*args, **fields), folder / "report.html")
        browser.open(folder / "report.html")
        return browser

    return show


@pytest.fixture(scope="session")
def report(comparison: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of 130 sentences and all variants."""
    path: Path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(comparison(130), path)
    return path


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Browser]:
    """That report, just opened, in light colours. After the test there may be no problems."""
    browser.scheme("light")
    browser.open(report)
    yield browser
    assert browser.problems() == []
