"""Every search setting has an effect on the translations."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seq2seq import Translator
from seq2seq.config import SearchConfig

RandomRun = Callable[..., Path]


def double(run: Path, **search: Any) -> Translator:
    return Translator.open(run, precision="64", **search)


def texts_and_scores(run: Path, lines: list[str], **search: Any) -> list[tuple[str, float]]:
    """Texts and scores of all hypotheses."""
    return [(h.text, round(h.score, 5)) for found in double(run, **search).hypotheses(lines) for h in found]


REQUIRED: dict[str, dict[str, Any]] = {  # other settings that a setting needs to have an effect
    "alpha": {"length_penalty": "gnmt"}, "coverage_penalty_kind": {"coverage_penalty": 2.0},
    "seed": {"sampling": True}, "temperature": {"sampling": True}, "top_k": {"sampling": True},
    "top_p": {"sampling": True}, "n_best": {"beam": 4}, "min_length": {"sampling": True, "temperature": 9.0},
    "min_ratio": {"sampling": True, "temperature": 9.0},
}  # fmt: skip
CHANGED: dict[str, Any] = {
    "beam": 1, "n_best": 3, "length_penalty": "gnmt", "alpha": 0.2, "coverage_penalty": 2.0,
    "coverage_penalty_kind": "summary", "min_length": 7, "max_length": 2, "min_ratio": 1.5, "max_ratio": 0.0,
    "no_repeat": 1, "sampling": True, "seed": 2, "temperature": 0.2, "top_k": 1, "top_p": 0.1,
}  # fmt: skip
TESTED_ELSEWHERE = {"long_source", "max_source", "replace_unknown", "batch", "window"}


@pytest.fixture(scope="module")
def found(random_run: RandomRun, lines: list[str]) -> Callable[..., list[tuple[str, float]]]:
    """`found(**search)`: texts and scores of a few lines, searched for once with the same settings."""
    known: dict[str, list[tuple[str, float]]] = {}

    def search(**settings: Any) -> list[tuple[str, float]]:
        if repr(settings) not in known:
            known[repr(settings)] = texts_and_scores(random_run(), lines[:6], **settings)
        return known[repr(settings)]

    return search


@pytest.mark.parametrize("name", CHANGED)
def test_search_setting_changes_the_translations(name: str, found: Callable[..., list[tuple[str, float]]]) -> None:
    needs = {"max_length": 30, "max_ratio": 2.0} | REQUIRED.get(name, {})
    assert found(**needs) != found(**needs | {name: CHANGED[name]})


def test_every_search_setting_is_tested() -> None:
    assert {field.name for field in dataclasses.fields(SearchConfig)} == CHANGED.keys() | TESTED_ELSEWHERE


def test_minimum_length_overrides_max_ratio(random_run: RandomRun) -> None:
    """The minimum is what the user wants now, max_ratio a guard against endless output."""
    translator = double(random_run(), min_length=60, max_length=70)
    assert len(next(translator.hypotheses(["the cat"]))[0].target) >= 60
    translator = double(random_run(), min_ratio=9.0, max_ratio=9.0, max_length=50)
    assert len(next(translator.hypotheses(["the cat sleeps"]))[0].target) >= 27
