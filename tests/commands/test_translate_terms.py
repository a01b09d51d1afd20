"""`seq2seq translate` with --prefix, --glossary, --protect and --progress."""

import gzip
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seq2seq import Translator
from seq2seq.utils import progress
from tests.each import each

Call = Callable[..., tuple[int, str, str]]
RandomRun = Callable[..., Path]

LINES = ["the cat sees the dog", "", "⟦X-1⟧ and 7 cats", "the dog", "see www.a.example/b?c=d , cat !"] * 2
PREFIXES = ["die Katze", "", "ein", "", "die"] * 2
GLOSSARY = "# animals\ncat\tKater\nthe dog\tder Köter №\n"


def text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Input, prefixes (compressed) and a glossary."""
    found = {name: tmp_path / name for name in ("in.txt", "prefix.gz", "terms.tsv")}
    found["in.txt"].write_text(text(LINES))
    found["prefix.gz"].write_bytes(gzip.compress(text(PREFIXES).encode()))
    found["terms.tsv"].write_text(GLOSSARY)
    return found


def options_of(files: dict[str, Path]) -> tuple[Any, ...]:
    return ("--prefix", files["prefix.gz"], "--glossary", files["terms.tsv"], "--protect", "marks,urls")


def test_terms_and_prefixes_of_the_files_are_used(
    call: Call, random_run: RandomRun, files: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """From stdin, from a file, in parts, and as an n-best list."""
    run = random_run()
    lines = [line.translate({ord("⟦"): "", ord("⟧"): ""}) for line in LINES]
    terms = [["Kater", "der Köter №"], [], ["X-1"], ["der Köter №"], ["www.a.example/b?c=d", "Kater"]] * 2
    expected = list(Translator.open(run, n_best=2).hypotheses(lines, prefix=PREFIXES, terms=terms))
    for found, each_terms in zip(expected, terms, strict=True):
        assert all(term in one.text for one in found if one.source for term in each_terms)
    best, options = text([found[0].text for found in expected]), options_of(files)
    caplog.clear()
    code, out, err = call("translate", run, *options, stdin=text(LINES))
    assert (code, out) == (0, best), err
    assert caplog.messages == [f"{files['terms.tsv']}: 8 terms in 6 of 10 lines"]

    output = files["in.txt"].with_name("out")
    words = ("translate", run, "--input", files["in.txt"], "--output", output, *options, "--window", 3)
    assert call(*words)[0] == 0
    assert output.read_text() == best
    for number in (1, 2):
        assert call(*words, "--shard", f"{number}/2")[0] == 0
    assert "".join(output.with_name(f"out.{n}-of-2").read_text() for n in (1, 2)) == best

    found = [
        json.loads(line)
        for line in call("translate", run, *options, "--json", "--n-best", 2, stdin=text(LINES))[1].splitlines()
    ]
    assert [[one["text"] for one in each] for each in found] == [[one.text for one in each] for each in expected]


CHANGES = {"prefix.gz": gzip.compress(text(PREFIXES[::-1]).encode()), "terms.tsv": b"cat\tKatze\n"}


@pytest.mark.parametrize("name", CHANGES)
def test_part_with_other_terms_is_not_continued(
    name: str, call: Call, random_run: RandomRun, files: dict[str, Path]
) -> None:
    output = files["in.txt"].with_name("out")
    words = ("translate", random_run(), "--input", files["in.txt"], "--output", output, "--shard", "1/1")
    assert call(*words, *options_of(files))[0] == 0
    assert call(*words, *options_of(files))[0] == 0
    files[name].write_bytes(CHANGES[name])
    code, _, err = call(*words, *options_of(files))
    assert code == 2
    assert "is not of this text with these models and options" in err


def test_different_numbers_of_lines_are_one_sentence(call: Call, random_run: RandomRun, files: dict[str, Path]) -> None:
    source, starts = files["in.txt"], files["prefix.gz"].with_name("prefix.txt")
    for count, words in (
        (9, f"{starts} has 9 lines, and {{}} has more"),
        (11, f"{starts} has more than the 10 lines of {{}}"),
        (1, f"{starts} has 1 line, and {{}} has more"),
    ):
        starts.write_text("\n" * count)
        command = ("translate", random_run(), "--prefix", starts)
        code, _, err = call(*command, stdin=source.read_text())
        assert (code, err.count("\n")) == (2, 1)
        assert words.format("stdin") in err
        for more in ((), ("--shard", "1/2")):
            code, _, err = call(*command, "--input", source, "--output", source.with_name("out"), *more)
            assert (code, err.count("\n")) == (2, 1)
            assert words.format(source) in err
    assert not list(source.parent.glob("*out*"))


WRONG = {
    ("--glossary", "bad.tsv"): "bad.tsv:2: 'dog Hund' is not a source term, a tab, and a target term",
    ("--glossary", "missing.tsv"): "missing.tsv: cannot be read (No such file or directory)",
    ("--prefix", "missing.txt"): "missing.txt: cannot be read (No such file or directory)",
    (
        "--protect",
        "marks,url",
    ): "--protect='url' is unknown (did you mean 'urls'?); choose one of: marks, urls, numbers",
    ("--protect", ""): "--protect='' is unknown",
    ("--protect", "urls,"): "--protect='' is unknown",
    ("--protect", "marks", "--sampling"): "search.sampling=true draws tokens at random, which cannot hold terms",
}


def test_wrong_options_are_one_sentence(call: Call, random_run: RandomRun, tmp_path: Path) -> None:
    (tmp_path / "bad.tsv").write_text("cat\tKatze\ndog Hund\n")

    @each("words", WRONG)
    def check(words: tuple[str, ...]) -> None:
        given = [tmp_path / word if "." in word else word for word in words]
        code, _, err = call("translate", random_run(), *given, stdin="a cat\n")
        assert (code, err.count("\n")) == (2, 1)
        assert WRONG[words] in err

    check()


def test_line_with_more_terms_than_a_translation_can_hold_loses_only_these(
    call: Call, random_run: RandomRun, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Protected or of a glossary, in the middle of a file; of what is left out there is one warning."""
    (tmp_path / "terms.tsv").write_text("dog\tKöter\n")
    run = random_run()
    for lines, many in ((["a cat 7", " ".join(map(str, range(100, 400))), "the cat"], "100"), (["dog " * 300], "K")):
        options = ("--glossary", tmp_path / "terms.tsv", "--protect", "urls, numbers", "--max-source", 90)
        caplog.clear()
        code, out, err = call("translate", run, *options, stdin=text([*lines, "a cat", "a dog"]))
        assert code == 0, err
        assert out.count("\n") == len(lines) + 2
        assert many in out
        assert out.splitlines()[-1].count("Köter") == 1
        (warning,) = [message for message in caplog.messages if "left out" in message]
        assert "of the 300 terms of a line were left out, as its translation has up to 90 tokens" in warning
        assert "(search.max_source)" in warning
        assert caplog.messages[-1].endswith(("1 term in 1 of 5 lines", "301 terms in 2 of 3 lines"))


def test_progress_is_shown_on_request(
    call: Call, random_run: RandomRun, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "LOG_INTERVAL", 0.0)
    caplog.set_level(logging.INFO)
    for words, count in (((), 0), (("--progress",), 1)):
        caplog.clear()
        assert call("translate", random_run(), *words, stdin="a cat\nthe dog\n")[0] == 0
        assert [message.partition(" (")[0] for message in caplog.messages] == ["translated: 2"] * count
