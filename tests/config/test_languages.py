"""Languages by code, tag, locale and name; the settings that name them."""

import logging
from collections.abc import Iterator

import pytest

from seq2seq.config import DataConfig, languages
from seq2seq.config.languages import check_language, find_language, text_direction
from seq2seq.errors import ConfigError


@pytest.fixture(autouse=True)
def warn_again() -> Iterator[None]:
    languages._warn_unknown.cache_clear()
    yield
    languages._warn_unknown.cache_clear()


@pytest.mark.parametrize(
    ("names", "tag", "script"),
    [
        ("de deu ger German deutsch de_DE.UTF-8@euro DE", "de", "Latn"),
        ("zh zho chi chinese Chinese 中文", "zh", "Hans"),
        ("cmn mandarin", "cmn", "Hans"),
        ("zh_TW zh-TW", "zh-TW", "Hant"),
        ("zh-Latn", "zh-Latn", "Latn"),
        ("ja jpn Japanese 日本語", "ja", "Jpan"),
        ("th tha Thai ไทย", "th", "Thai"),
        ("my mya bur Burmese", "my", "Mymr"),
        ("ko kor Korean", "ko", "Kore"),
    ],
)
def test_a_language_has_many_names(names: str, tag: str, script: str) -> None:
    for name in names.split():
        found = find_language(name)
        assert found is not None
        assert (found.tag if name != "de_DE.UTF-8@euro" else "de", found.script, found.known) == (tag, script, True)


@pytest.mark.parametrize(
    "name", ["??", "e", "ab\udfff", "中\0", "article", "no such language", "-", "de--", "x" * 5000, " "]
)
def test_what_is_no_language_is_refused(name: str) -> None:
    assert find_language(name) is None
    for setting in ("source_language", "target_language"):
        with pytest.raises(ConfigError, match=rf"^data\.{setting}='.*' is no language: give an ISO 639 code"):
            DataConfig(**{setting: name})


def test_an_unregistered_code_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "seq2seq"):
        for name in ("xx", "xx", "de", "", "qaa"):
            check_language(name, "--language")
    assert [message.split(" is ")[0] for message in caplog.messages] == ["--language=xx"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ("en", "de")),
        ({"source": "tok.en", "target": "zh"}, ("en", "zh")),
        ({"source": "article", "target": "summary"}, ("", "")),
        ({"source": "article", "source_language": "th", "target_language": "Thai"}, ("th", "Thai")),
        ({"target": "ref.2"}, ("en", "")),
    ],
)
def test_languages_of_a_corpus(settings: dict[str, str], expected: tuple[str, str]) -> None:
    """File endings and fields that are no languages are no error."""
    assert DataConfig(**settings).languages() == expected


def test_directions_of_texts() -> None:
    directions = {
        "ltr": ("en", "Chinese", "sr-Cyrl", "ku"),
        "rtl": ("ar", "Hebrew", "fa", "ur", "yi", "dv", "uz-Arab", "ckb"),
        "auto": ("", "xx", "tok"),
    }
    for direction, names in directions.items():
        assert {name: text_direction(name) for name in names} == dict.fromkeys(names, direction)


def test_a_generated_corpus_has_its_own_languages() -> None:
    with pytest.raises(ConfigError, match=r"data\.target_language=zh would be ignored"):
        DataConfig(format="toy", target_language="zh")
