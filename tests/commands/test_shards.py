"""`seq2seq translate` with files: parts of a file that go on where they were interrupted, and join to the whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seq2seq.commands.shards import Shard, shard_argument, write_shard
from seq2seq.errors import ConfigError, RunError
from seq2seq.translator import Translator
from tests.each import each

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def text(corpus: Path, tmp_path: Path) -> Path:
    """23 lines."""
    lines = (corpus / "train.en").read_text().splitlines()[:23]
    path = tmp_path / "in.en"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.mark.parametrize("count", [1, 3, 6])
@pytest.mark.fast("6")
def test_parts_join_to_the_whole(count: int, call: Call, family_run: Callable[[str], Path], text: Path) -> None:
    """Also more parts than there are windows, and several lines of output for each."""
    run, out, options = family_run("rnn"), text.with_name("out"), ("--window", 5, "--batch", 2, "--n-best", 2)
    assert call("translate", run, "--input", text, "--output", out, *options)[0] == 0
    for number in range(1, count + 1):
        code, printed, err = call(
            "translate", run, "--input", text, "--output", out, *options, "--shard", f"{number}/{count}"
        )
        assert (code, printed) == (0, ""), err
    parts = sorted(text.parent.glob(f"out.?-of-{count}"))
    assert len(parts) == count
    assert b"".join(part.read_bytes() for part in parts) == out.read_bytes()
    assert out.read_text().count("\n") == 46
    assert call("translate", run, *options, stdin=text.read_text())[1] == out.read_text()


def test_interrupted_part_goes_on_and_a_whole_one_is_left_alone(
    call: Call, family_run: Callable[[str], Path], text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("translate", family_run("rnn"), "--input", text, "--output", text.with_name("out"), "--window", 5)
    words = (*words, "--shard", "1/1")
    hypotheses, lines = Translator.hypotheses, list[str]()

    def until_line_11(self: Translator, window: list[str], **more: Any) -> Any:
        if len(lines) == 10:
            raise KeyboardInterrupt
        lines.extend(window)
        return hypotheses(self, window, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Translator, "hypotheses", until_line_11)
        assert call(*words)[0] == 130
    (part,) = text.parent.glob(".out.1-of-1.part")
    with part.open("a") as file:
        file.write("a line\nhalf a li")
    again = list[str]()

    def noted(self: Translator, window: list[str], **more: Any) -> Any:
        again.extend(window)
        return hypotheses(self, window, **more)

    monkeypatch.setattr(Translator, "hypotheses", noted)
    assert call(*words)[0] == 0
    assert lines + again == text.read_text().splitlines()
    assert len(again) == 13
    monkeypatch.undo()
    out = text.with_name("out.1-of-1")
    assert out.read_text() == call("translate", *words[1:2], "--window", 5, stdin=text.read_text())[1]
    assert call(*words)[0] == 0
    assert len(again) == 13
    code, _, err = call(*words, "--beam", 3)
    assert (code, err.count("\n")) == (2, 1)
    assert "out.1-of-1 exists, and is not of this text with these models and options" in err


def test_part_of_another_text_is_begun_anew(tmp_path: Path) -> None:
    path, made = tmp_path / "out", list[str]()

    def translate(window: list[str]) -> list[str]:
        if window == ["stop"]:
            raise KeyboardInterrupt
        made.extend(window)
        return window

    with pytest.raises(KeyboardInterrupt):
        write_shard(path, iter([["a"], ["stop"]]), translate, {"text": 1})
    assert write_shard(path, iter([["a"], ["b"]]), translate, {"text": 2})
    assert made == ["a", "a", "b"]
    assert not write_shard(path, iter([["a"], ["b"]]), translate, {"text": 2})
    with pytest.raises(RunError):
        write_shard(path, iter([["a"]]), translate, {"text": 3})
    assert path.read_text() == "a\nb\n"


@each("count", [1, 2, 7, 30])
def test_windows_are_dealt_out_whole_and_in_order(count: int) -> None:
    parts = [Shard(number, count).windows(101, 10) for number in range(1, count + 1)]
    assert [window for part in parts for window in part] == list(range(11))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert [Shard(n, count).path(Path("out")).name for n in range(1, count + 1)] == sorted(
        Shard(n, count).path(Path("out")).name for n in range(1, count + 1)
    )


@each("wrong", ["0/3", "4/3", "3", "1/", "a/b", "1/1000001", "-1/2", "²/3"])
def test_wrong_part_is_one_sentence(wrong: str) -> None:
    with pytest.raises(ConfigError, match=f"^--shard={wrong} is not "):
        shard_argument(wrong)


def test_part_needs_files(call: Call, tiny_run: Path, text: Path) -> None:
    code, _, err = call("translate", tiny_run, "--shard", "1/2")
    assert (code, err.count("\n")) == (2, 1)
    assert "--shard needs --input FILE and --output FILE" in err
    code, _, err = call("translate", tiny_run, "--input", text.with_name("in.de"))
    assert (code, err.count("\n")) == (2, 1)
    assert "in.de" in err
