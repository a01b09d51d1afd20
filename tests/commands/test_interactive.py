"""`seq2seq interactive`: what it answers to lines of a pipe and of a terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from seq2seq import Translator
from seq2seq.evaluation.alignment import word_weights
from seq2seq.evaluation.heatmap import render_text

Call = Callable[..., tuple[int, str, str]]
RandomRun = Callable[..., Path]


@pytest.fixture
def session(
    call: Call, random_run: RandomRun, caplog: pytest.LogCaptureFixture
) -> Callable[..., tuple[str, list[str]]]:
    """`session(line, ..., options=())`: what is printed, and what is logged."""

    def run(*lines: str, options: tuple[object, ...] = ()) -> tuple[str, list[str]]:
        caplog.clear()
        code, out, err = call("interactive", random_run(), *options, stdin="".join(f"{line}\n" for line in lines))
        assert code == 0, err
        return out, caplog.messages

    return run


Run = Callable[..., tuple[str, list[str]]]


def rows(lines: str) -> list[tuple[str, float, str]]:
    """Number, score and text of each alternative."""
    found = [re.fullmatch(r" *(\d+) +(-?\d+\.\d{4})  (.*)", line) for line in lines.splitlines()]
    return [(one[1], float(one[2]), one[3]) for one in found if one]


def test_alternatives_are_numbered_with_their_scores(session: Run, random_run: RandomRun) -> None:
    expected = next(Translator.open(random_run(), n_best=2).hypotheses(["the cat"]))  # the run's beam is 2
    out, logged = session("", "the cat", " ", ":quit", "a dog")
    assert rows(out) == [(str(n), pytest.approx(one.score, abs=1e-4), one.text) for n, one in enumerate(expected, 1)]
    assert (out.count("\n"), logged) == (2, [])
    assert session("the cat", options=("--n-best", 1)) == (f"{expected[0].text}\n", [])


def test_number_shows_the_attention_between_words(session: Run, random_run: RandomRun) -> None:
    second = next(Translator.open(random_run(), n_best=2).hypotheses(["the cat"], attention=True))[1]
    source, target, weights = word_weights(second)
    picture = render_text(weights, source, target, 100)
    out, _ = session("the cat", "2")
    assert picture in out
    assert out.splitlines()[-1].startswith("aligned: ")
    assert out.splitlines()[-1].count("=") == len([word for word in target if word])
    assert session(":attention on", "the cat", options=("--n-best", 1))[0].count("aligned:") == 1
    assert "aligned:" not in session(":attention on", ":attention off", "the cat")[0]
    for text in ("3", "01", "00012", "1" * 5000):  # a number that is none of an alternative is a text
        assert len(rows(session("the cat", text)[0])) == 4


def test_commands_change_the_search(session: Run, random_run: RandomRun) -> None:
    def best(prefix: str = "", terms: tuple[str, ...] = (), **search: object) -> str:
        given = {"prefix": [prefix], "terms": [terms]}
        return Translator.open(random_run(), **search).translate(["the cat"], **given)[0]  # type: ignore[arg-type]

    for commands, expected in (
        ([":beam 4"], best(beam=4)),
        ([":prefix die Katze"], best(prefix="die Katze")),
        ([":prefix die", ":prefix"], best()),
        ([":terms Kater | №"], best(terms=("Kater", "№"))),
        ([":terms Kater", ":terms"], best()),
        ([":length_penalty none", ":max_length 3"], best(length_penalty="none", max_length=3)),
        ([":no_repeat 1"], best(no_repeat=1)),
        ([":replace_unknown on"], best(replace_unknown=True)),
    ):
        assert session(":n 1", *commands, "the cat") == (f"{expected}\n", [])
    assert len(rows(session(":beam 6", ":n 6", "the cat")[0])) == 6


def test_wrong_commands_are_one_sentence_each_and_the_session_goes_on(session: Run) -> None:
    wrong = {
        ":bean 3": "command=':bean' is unknown (did you mean ':beam'?)",
        ":beam": "search.beam='' is not an integer",
        ":beam x": "search.beam='x' is not an integer",
        ":beam 0": "search.beam=0 is too small",
        ":alpha x": "search.alpha='x' is not a number",
        ":n 9": "search.n_best=9 is more than search.beam=2 can find",
        ":length_penalty nine": "search.length_penalty='nine' is unknown",
        ":attention": ":attention '' is neither on nor off",
        ":sampling maybe": ":sampling 'maybe' is neither on nor off",
        ":": "command=':' is unknown",
    }
    out, logged = session(*wrong, "the cat", ":help")
    assert len(logged) == len(wrong)
    for message, start in zip(logged, wrong.values(), strict=True):
        assert message.startswith(start)
        assert "\n" not in message
    assert len(rows(out)) == 2
    assert ":terms A | B" in out


def test_glossary_and_protected_spans(session: Run, tmp_path: Path) -> None:
    (tmp_path / "terms.tsv").write_text("cat\tKater\n")
    out, _ = session("the cat ⟦№ 1⟧", options=("--glossary", tmp_path / "terms.tsv", "--protect", "marks"))
    assert len(rows(out)) == 2
    assert all("Kater" in text and "№ 1" in text for _, _, text in rows(out))


@pytest.mark.slow
@pytest.mark.parametrize("end", ["\x04", "\x03"], ids=["Ctrl-D", "Ctrl-C"])
def test_terminal(end: str, random_run: RandomRun) -> None:
    """A prompt, colours, a history, and an end without a traceback."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "seq2seq", "interactive", str(random_run())]
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    shown = everything = b""

    def until(text: bytes) -> None:
        nonlocal shown, everything
        while text not in shown:
            assert select.select([ours], [], [], 60)[0], shown
            read = os.read(ours, 65536)
            shown, everything = shown + read, everything + read

    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    ) as process:
        try:
            until(b"> ")
            up = b"\x1b[A\x1b[A"  # twice, to the text
            for line, answer in ((b"the cat", b"  2  "), (b"1", b"aligned:"), (up, b"  2  ")):
                os.write(ours, line + b"\n")
                until(answer)
                shown = shown[shown.index(answer) :]
                until(b"> ")
                shown = b""
            if end == "\x04":
                os.write(ours, b"\x04")
            while end == "\x03" and process.poll() is None:  # one that comes just before it waits for keys is missed
                process.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(3)
            assert process.wait(60) == (0 if end == "\x04" else 130)
            if end == "\x03":
                until(b"seq2seq: interrupted")
        finally:
            process.kill()
    os.close(theirs)
    assert b"\x1b[48;5;" in everything  # colours
    assert b"Traceback" not in everything
