"""Text as a value of an override: Hydra reads back what was written."""

import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from seq2seq.utils.overrides import hydra_text, hydra_value, resume_word
from tests.each import each

PLAIN = ["été", "R&D", "日本", "a;b", "mes données", "#1", "a~", "50 %", "élan+été", "a!", "<x>"]
TEXTS = [
    *PLAIN,
    "a b",
    "a,b",
    "(x)",
    "[x]",
    "{x}",
    "it's",
    'a"b',
    "a=b",
    "${x}",
    "a\\b",
    "a\\",
    'a\\"',
    "a\\\\",
    "a\nb",
]


def read(word: str) -> object:
    (override,) = OverridesParser.create().parse_overrides([word])
    return override.value()


@each("text", TEXTS)
def test_quoted_text_is_read_back(text: str) -> None:
    assert read(f"runs={hydra_text(text)}") == text
    assert read(f"runs=[{hydra_text(text)}]") == [text]


@pytest.mark.parametrize("text", PLAIN)
def test_plain_text_needs_no_quotes(text: str) -> None:
    assert read(f"runs={hydra_value(text)}") == text
    assert hydra_value(hydra_value(text)) == hydra_value(text)


@pytest.mark.parametrize(
    "value", ["3", "1e-3", "true", "null", "[é,b]", "é,b", "glob(é*)", "{é: 1}", '"é"', "${é}", ""]
)
def test_value_that_may_be_more_than_text_is_left_alone(value: str) -> None:
    assert hydra_value(value) == value


@each("text", TEXTS)
def test_suggested_command_names_the_run(text: str) -> None:
    (word,) = shlex.split(resume_word(Path(text)))
    assert read(word) == text


def test_simple_run_is_suggested_without_quotes() -> None:
    assert resume_word(Path("runs/toy-demo-s1-3f9faca9")) == "resume=runs/toy-demo-s1-3f9faca9"
