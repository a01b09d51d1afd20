"""What tells variants apart, in a few words and as a table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from seq2seq.compare.report.settings import distinction, seed_ranges, settings_table
from seq2seq.compare.result import Comparison, VariantRow


def row(name: str, family: str, **settings: str) -> VariantRow:
    return VariantRow(
        name, family, (1,), (f"runs/{name}",), {"variant": name} | {f"model.{k}": v for k, v in settings.items()}, {}
    )


COMMON = {"bridge": "tanh", "cells": "lstm", "feeding": "True"}  # every recurrent variant has them
ROWS = [
    row("none", "rnn", scorer="uniform", window="last", **COMMON),
    *(row(scorer, "rnn", scorer=scorer, window="all", **COMMON) for scorer in ("general", "dot", "concat", "additive")),
    row("local_p", "rnn", scorer="general", window="local_p", **COMMON),
    row("transformer", "transformer", size="256", heads="8"),
]


def test_distinctions_by_hand() -> None:
    assert [distinction(row, ROWS) for row in ROWS] == [
        "scorer=uniform · window=last",
        "scorer=general",
        "scorer=dot",
        "scorer=concat",
        "scorer=additive",
        "window=local_p · scorer=general",
        "transformer",
    ]


def test_two_families_of_one_size_are_both_named() -> None:
    rows = [row("a", "rnn", hidden="64"), row("b", "transformer", size="64")]
    assert [distinction(row, rows) for row in rows] == ["rnn", "transformer"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([{"hidden": "128"}, {"hidden": "256"}], ["hidden=128", "hidden=256"]),
        ([{"a": "x", "b": "y"}, {"a": "x", "b": "z"}, {"a": "w", "b": "y"}], ["a=x · b=y", "b=z", "a=w"]),
        ([{"a": "x" * 99}, {"a": "y"}], ["a=" + "x" * 10 + "…" + "x" * 9, "a=y"]),
        (
            [dict.fromkeys("abcde", "1"), dict.fromkeys("abcde", "2")],
            [f"a={n} · b={n} · c={n} · and 2 more" for n in "12"],
        ),
        ([{"a": "x"}, {"a": "x"}, {"a": "y"}, {"a": "z"}], ["a=x", "a=x", "a=y", "a=z"]),
        (
            [{"a": "x", "b": n} for n in "12"] + [{"a": n, "b": n} for n in "34"],
            ["b=1", "b=2", "a=3 · b=3", "a=4 · b=4"],
        ),
        ([{}], ["rnn"]),
    ],
)
def test_distinction_within_a_family(settings: Sequence[Mapping[str, str]], words: list[str]) -> None:
    rows = [row(str(i), "rnn", **own) for i, own in enumerate(settings)]
    assert [distinction(row, rows) for row in rows] == words


def test_settings_table_names_each_setting_once(comparison: Callable[..., Comparison]) -> None:
    made = replace(comparison(1), rows=ROWS, baseline="none")
    text = "".join(settings_table(made))
    assert all(text.count(f">model.{name}<") == 1 for name in ("scorer", "window", "bridge", "cells", "size", "heads"))
    assert text.count('class="same" dir="auto">tanh<') == 5
    assert text.count(">–<") == 5 + 2 * 6  # those of the other family
    assert "6 more" not in text
    assert "8 differences" in text


@pytest.mark.parametrize(
    ("seeds", "text"), [((1,), "1"), ((3, 1, 2), "1–3"), ((1, 2, 3, 7, 9, 10), "1–3, 7, 9–10"), ((), "")]
)
def test_seed_ranges(seeds: tuple[int, ...], text: str) -> None:
    assert seed_ranges(seeds) == text
