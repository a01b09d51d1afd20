"""Pairs are filtered and truncated, long sources at the same word in training and inference, references never."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seq2seq import Translator
from seq2seq.config import DataConfig, TokenizerConfig
from seq2seq.data.filters import PairFilter
from seq2seq.data.prepare import Prepared, prepare
from seq2seq.data.readers import Pair
from seq2seq.data.report import report_lines
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.ids import EOS
from seq2seq.runtime.translation import warn_truncated
from seq2seq.runtime.words import truncate_words

RandomRun = Callable[..., Path]


def test_truncation_keeps_the_first_words_unchanged(random_texts: Callable[..., Iterator[str]]) -> None:
    for number, text in enumerate(random_texts(" \t\u00a0\u2028", "ab\u00fc.", "a")):
        words = number % 9 + 1
        cut = truncate_words(text, words)
        assert text.startswith(cut)
        assert cut.split() == text.split()[:words]
        assert cut == text if len(text.split()) <= words else cut == cut.rstrip()
        assert truncate_words(cut, words) == cut
        assert truncate_words(text, 0) == text


def test_long_text_is_truncated_fast() -> None:
    assert len(truncate_words("word " * 1_000_000, 400)) == 1999
    assert truncate_words("x" * 5_000_000, 400) == "x" * 5_000_000


def test_pairs_are_cut_before_they_are_judged_and_counted() -> None:
    filters = PairFilter(max_words=4, max_ratio=9, truncate=(3, 2))
    pairs = [Pair("a b c d e f", "a b c"), Pair("a b c", "a b"), Pair("a b c d", ""), Pair("", "a b c")]
    assert list(filters(pairs)) == [Pair("a b c", "a b"), Pair("a b c", "a b")]
    assert (filters.read, filters.dropped, filters.truncated) == (4, {"an empty side": 2}, {"source": 2, "target": 2})


LINES = [Pair(f"the report {n} says that it was {n} and more", f"it was {n}") for n in range(60)]
DEV = [Pair("the report 7 says that it was so", "it was so and not 7"), Pair("the report", "so")]


def prepared(folder: Path, **more: Any) -> Prepared:
    for name, pairs in (("train", [*LINES, Pair("so it was", "it was 1 2 3 4 5 6")]), ("dev", DEV)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(pair._asdict()) + "\n" for pair in pairs))
    given = {"format": "jsonl", "source": "source", "target": "target", "train": ["train.jsonl"], "dev": ["dev.jsonl"]}
    data = DataConfig(**given, root=str(folder), cache=str(folder / "cache"), **more)
    return prepare(data, TokenizerConfig(kind="word", size=20))


def sources(corpus: Prepared, which: str) -> list[str]:
    arrays = getattr(corpus, which)
    return [corpus.vocabularies.source.decode(arrays.source(i)) for i in range(len(arrays))]


def test_training_and_dev_are_truncated_but_references_are_not(tmp_path: Path) -> None:
    whole, cut = prepared(tmp_path), prepared(tmp_path, truncate_source=4, truncate_target=5)
    assert whole.folder != cut.folder
    assert {len(text.split()) for text in sources(cut, "train")} == {3, 4}
    assert [len(text.split()) for text in sources(cut, "dev")] == [4, 2]
    assert cut.dev_pairs == whole.dev_pairs == DEV
    assert [cut.dev.target(i).tolist() for i in range(2)] == [cut.vocabularies.encode_target(t, ["▁7"]) for _, t in DEV]
    assert len(cut.train.target(60)) == 6  # EOS
    lines = report_lines(cut.report)
    assert "truncated to 4 words: 60 of 61 training sources and 1 of 2 development sources" in lines
    assert "truncated to 5 words: 1 of 61 training targets" in lines
    assert not [line for line in report_lines(whole.report) if "truncated to" in line]
    assert prepared(tmp_path, truncate_source=4).folder not in (whole.folder, cut.folder)
    assert len({prepared(tmp_path, **{side: 4}).folder for side in ("truncate_source", "truncate_target")}) == 2


def test_truncated_words_cannot_be_copied(tmp_path: Path) -> None:
    """The third word, `7`, is unknown, and is numbered if it is not truncated away."""
    unknown = {words: prepared(tmp_path, truncate_source=words).dev.copy(0).tolist() for words in (2, 3, 4)}
    size = prepared(tmp_path).vocabularies.target.size
    assert max(unknown[2]) < size
    assert [i for i in unknown[3] if i >= size] == [i for i in unknown[4] if i >= size] == [size]
    assert prepared(tmp_path, truncate_source=3).dev.target(0).tolist()[-2:] == [size, EOS]


COPYING = ("tokenizer=word", "tokenizer.size=40", "tokenizer.joint=false", "model.head=copy", "data.truncate_source=3")


TRANSFORMER = ("data.truncate_source=3", "model=transformer", "model.size=8", "model.heads=2")


@pytest.mark.parametrize("settings", [COPYING, TRANSFORMER])
@pytest.mark.slow
def test_inference_truncates_like_training(
    settings: tuple[str, ...], random_run: RandomRun, lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Search, scores and attention read the first three words of a line, and truncated lines are counted."""
    run = random_run(*settings)
    caplog.clear()
    short = [" ".join(line.split()[:3]) for line in lines]
    translator = Translator.open(run, precision="64")
    assert translator.truncate == 3
    with caplog.at_level(logging.WARNING, "seq2seq"):
        found = [alternatives[0] for alternatives in translator.hypotheses(lines)]
        truncated = [one.truncated for one in found]
        warn_truncated(sum(truncated), len(lines), translator.truncate)
    assert truncated == [len(line.split()) > 3 for line in lines]
    assert caplog.messages == [f"{sum(truncated)} of {len(lines)} sources were cut to 3 words (data.truncate_source)"]
    fresh = Translator.open(run, precision="64")
    assert [one.text for one in found] == fresh.translate(short)
    assert not any(alternatives[0].truncated for alternatives in fresh.hypotheses(short))
    targets = ["Der Mann kauft einen Tisch und geht" for _ in lines]
    assert translator.score(lines, targets) == pytest.approx(fresh.score(short, targets))
    seen = translator.attention(lines[0])
    assert "".join(seen.source).replace("▁", " ").split() == lines[0].split()[:3]


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (Pair("a b", "c"), None),
        (Pair(" ", "c"), "an empty side"),
        (Pair("a", ""), "an empty side"),
        (Pair("a " * 21, "b " * 21), "more than 20 words"),
        (Pair("a " * 20, "b " * 20), None),
        (Pair("a " * 8, "b"), None),  # 2 * (1 + 3) = 8
        (Pair("a " * 9, "b"), "sides out of proportion (2)"),
        (Pair("b", "a " * 9), "sides out of proportion (2)"),
        (Pair("\u200b\ufeff", "c"), "an empty side"),
        (Pair("a", "\u00ad \u0301"), "an empty side"),
        (Pair("我们今天去北京", "we go to Beijing today with you"), None),
        (Pair("today " * 20, "今天" * 10), None),
        (Pair("so it goes", "今天天气很好我们去公园玩" * 2), "more than 20 words"),
        (Pair("so", "今天天气很好我们去"), "sides out of proportion (2)"),
    ],
)
def test_drop_reasons(pair: Pair, reason: str | None) -> None:
    filters = PairFilter(max_words=20, max_ratio=2)
    good = Pair("A man.", "Ein Mann.")
    assert list(filters([pair, good])) == ([good] if reason else [pair, good])
    assert (filters.read, dict(filters.dropped)) == (2, {reason: 1} if reason else {})


def test_long_lines_are_dropped_before_their_words_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []
    monkeypatch.setattr("seq2seq.data.filters.count_words", lambda text: counted.append(text) or 1)
    filters = PairFilter(max_words=20, max_ratio=9, max_characters=8)
    assert list(filters([Pair("x" * 9, "y"), Pair("x", "y" * 10**6), Pair("x", "y" * 8)])) == [Pair("x", "y" * 8)]
    assert dict(filters.dropped) == {"more than 8 characters": 2}
    assert counted == ["x", "y" * 8]


def test_a_line_of_a_million_letters_is_never_split_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for the tokenizer, nor in training and dev pairs."""
    split, longest = Tokenizer._split_unknown, 0

    def measured(self: Tokenizer, pieces: list[str]) -> list[str]:
        nonlocal longest
        longest = max(longest, len("".join(pieces).removeprefix("▁")))
        return split(self, pieces)

    monkeypatch.setattr(Tokenizer, "_split_unknown", measured)
    long = Pair("x" * 10**6, "y")
    monkeypatch.setitem(globals(), "LINES", [*LINES, long])
    monkeypatch.setitem(globals(), "DEV", [*DEV, long])
    corpus = prepared(tmp_path, max_tokens=50)
    assert longest == 16 * 52
    assert corpus.report["dropped"] == {"more than 800 characters": 1}
    assert corpus.dev_pairs == DEV
