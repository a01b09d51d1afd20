"""The language of a text, and languages by other names."""

import pytest

from seq2seq.serve.languages import Detector, match_language
from tests.each import each


@each("text", ["Ein Hund.", "", "12 %"])
def test_one_language_is_the_answer_whatever_the_text(text: str) -> None:
    assert Detector(["en", "en"]).detect(text) == [("en", 100.0)]


@pytest.mark.slow  # it loads py3langid's model three times
def test_several_languages_are_told_apart() -> None:
    pytest.importorskip("py3langid", reason="pip install 'seq2seq[serve]'")
    detector = Detector(["en", "de", "zh-Hant", "zh-Hans", "qaa"])
    for text, language in (
        ("The old teacher opens the window.", "en"),
        ("Der alte Lehrer öffnet das Fenster.", "de"),
        ("老師打開了窗戶。", "zh-Hant"),
    ):
        first, *others = detector.detect(text)
        assert first.language == language
        assert first.confidence > 90
        assert sum(one.confidence for one in others) < 10
    assert len(detector.detect("1")) >= 1
    assert Detector(["qaa", "qab"]).detect("one two") == [("qaa", 100.0)]
    assert Detector(["qaa", "de"]).detect("one two") == [("de", 100.0)]


@each(
    ("name", "found"),
    [("en", "en"), ("eng", "en"), ("English", "en"), ("en-GB", "en"), ("zh-Hant", "zh-Hant"), ("zh", None),
     ("pt-BR", "pt-PT"), ("fr", None), ("nonsense", None), ("", None)],
)  # fmt: skip
def test_language_by_other_names(name: str, found: str | None) -> None:
    assert match_language(name, ["en", "zh-Hant", "zh-Hans", "pt-PT"]) == found
