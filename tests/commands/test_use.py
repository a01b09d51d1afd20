"""Commands that use a run: input, output and errors of `translate`, `score`, `plot`, `prepare` and `train resume=`."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from packaging.version import Version

from seq2seq import Translator
from tests.commands.conftest import resaved

RandomRun = Callable[..., Path]
Call = Callable[..., tuple[int, str, str]]


def text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def test_plot_says_why_it_writes_no_picture(
    call: Call, random_run: RandomRun, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert call("plot", random_run(), "--sentence", "she sees")[0] == 0
    assert caplog.messages[-1] == "no picture was written: matplotlib is not installed (pip install 'seq2seq[plot]')"


def test_text_file_in_place_of_a_run_is_explained(call: Call, random_run: RandomRun, tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text("she sees\n")
    code, out, err = call("translate", random_run(), path)
    assert (code, out) == (2, "")
    assert (
        f"{path} is a file, not a run directory: text is read from stdin, as in seq2seq translate RUN < {path}" in err
    )


def test_translate_is_a_filter(call: Call, random_run: RandomRun, lines: list[str]) -> None:
    code, out, _ = call("translate", random_run(), stdin=text(lines))
    assert code == 0
    assert out == text(Translator.open(random_run()).translate(lines))
    assert call("translate", random_run(), stdin="")[:2] == (0, "")


def test_only_newlines_end_lines(call: Call, random_run: RandomRun) -> None:
    """Unicode's other separators do not. A carriage return before a newline is dropped; the last line needs none."""
    strange = "the\x85cat\u2028sleeps\x0c.\r\nshe sees"
    code, out, _ = call("translate", random_run(), stdin=strange)
    assert (code, out) == (
        0,
        text(Translator.open(random_run()).translate(["the\x85cat\u2028sleeps\x0c.", "she sees"])),
    )


def test_byte_order_mark_is_ignored(call: Call, random_run: RandomRun, lines: list[str]) -> None:
    plain = call("translate", random_run(), stdin=text(lines))
    assert call("translate", random_run(), stdin="\ufeff" + text(lines)) == plain


@pytest.mark.parametrize("kind", ["pipe", pytest.param("terminal", marks=pytest.mark.slow)])
def test_line_is_translated_before_the_input_ends(
    kind: str, random_run: RandomRun, lines: list[str], tmp_path: Path
) -> None:
    """And nothing is imported that only training needs: each takes longer than a short line to translate."""
    theirs, ours = os.pipe() if kind == "pipe" else pty.openpty()[::-1]
    command = [sys.executable, "-X", "importtime", "-m", "seq2seq", "translate", str(random_run())]
    with (tmp_path / "errors").open("w") as errors, ExitStack() as stack:
        process = stack.enter_context(subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=errors))
        stack.callback(process.kill)
        assert process.stdout
        for line in (lines[0], lines[1]):
            os.write(ours, f"{line}\n".encode())
            assert select.select([process.stdout], [], [], 60)[0], "no answer"
            assert process.stdout.readline().decode() == Translator.open(random_run()).translate([line])[0] + "\n"
        if kind == "terminal":
            os.write(ours, b"\x04")  # end of file
        else:
            process.send_signal(signal.SIGINT)
        assert process.wait() == (0 if kind == "terminal" else 130)
    os.close(ours)
    os.close(theirs)
    imported = {line.split("|")[-1].strip() for line in (tmp_path / "errors").read_text().splitlines()}
    assert "torch" in imported
    assert not imported & {"hydra", "lightning", "sacrebleu", "rouge_score", "matplotlib"}
    assert Version(torch.__version__) < Version("2.13") or "sympy" not in imported  # which it may import itself


def test_n_best_alignment_and_json(call: Call, random_run: RandomRun, lines: list[str]) -> None:
    run = random_run()
    expected = list(Translator.open(run, n_best=2).hypotheses(lines, attention=True))
    code, out, _ = call("translate", run, "--n-best", 2, stdin=text(lines))
    rows = [line.split("\t") for line in out.splitlines()]
    assert code == 0
    assert [(row[0], row[2]) for row in rows] == [
        (str(rank), h.text) for found in expected for rank, h in enumerate(found, 1)
    ]
    assert [float(row[1]) for row in rows] == pytest.approx([h.score for found in expected for h in found], abs=1e-4)
    code, out, _ = call("translate", run, "--alignment", stdin=text(lines))
    assert code == 0
    for line, row in zip(lines, out.splitlines(), strict=True):
        translation, links = row.split("\t")
        points = [tuple(map(int, link.split("-"))) for link in links.split()]
        assert all(i < len(line.split()) and j < len(translation.split()) for i, j in points)
    code, out, _ = call("translate", run, "--n-best", 2, "--json", "--alignment", stdin=text(lines))
    objects = [json.loads(line) for line in out.splitlines()]
    assert [[h["text"] for h in found] for found in objects] == [[h.text for h in found] for found in expected]
    assert objects[0][0].keys() == {"text", "score", "log_prob", "source", "target", "alignment"}


def test_attention_is_written_to_a_file(call: Call, random_run: RandomRun, lines: list[str], tmp_path: Path) -> None:
    path = tmp_path / "attention.jsonl"
    assert call("translate", random_run(), "--attention", path, stdin=text(lines))[0] == 0
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["line"] for row in rows] == list(range(1, len(lines) + 1))
    for row in rows:
        (found,) = row["hypotheses"]
        assert len(found["attention"]) == len(found["target"])
        assert all(len(weights) == len(found["source"]) for weights in found["attention"])
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device /dev/full")
def test_full_disk_of_the_attention_is_named(call: Call, random_run: RandomRun) -> None:
    code, _, err = call("translate", random_run(), "--attention", "/dev/full", stdin="Eva sees Paul .\n")
    assert code == 2
    assert err.startswith("seq2seq: /dev/full cannot be written")


def test_attention_of_a_failed_translation_leaves_no_file(call: Call, random_run: RandomRun, tmp_path: Path) -> None:
    code, _, err = call("translate", random_run(), "--attention", tmp_path / "a", stdin=b"fine\nnot \xff fine\n")
    assert code == 2
    assert err.splitlines()[-1].startswith("seq2seq: stdin:2: not UTF-8 (byte 0xff at place 5)")
    assert not list(tmp_path.iterdir())


def test_search_options_change_the_search(call: Call, random_run: RandomRun, lines: list[str]) -> None:
    code, out, _ = call(
        "translate", random_run(), "--beam", 1, "--max-length", 3, "--length-penalty", "none", stdin=text(lines)
    )
    expected = Translator.open(random_run(), beam=1, max_length=3, length_penalty="none").translate(lines)
    assert (code, out) == (0, text(expected))


WRONG: dict[str, tuple[list[Any], str]] = {
    "misspelt option": (
        ["translate", "RUN", "--n-bset", "2"],
        "--n-bset is not an option (did you mean --n-best?); seq2seq translate --help",
    ),
    "setting that cannot be": (["translate", "RUN", "--n-best", "9"], "search.n_best=9 is more than search.beam=2"),
    "misspelt run": (["translate", "MISSPELT"], "did you mean RUN?"),
    "unknown device": (["translate", "RUN", "--device", "abacus"], "device=abacus cannot be used"),
    "two kinds of test": (
        ["evaluate", "RUN", "--test", "test", "--source", "x", "--reference", "y"],
        "give either --test NAME, or",
    ),
    "source without reference": (
        ["evaluate", "RUN", "--source", "x"],
        "--source FILE and --reference FILE ... must be given together",
    ),
    "unknown test": (
        ["evaluate", "RUN", "--test", "tset"],
        "--test='tset' is unknown (did you mean 'test'?); choose one of: test, dev",
    ),
    "unknown metric": (["evaluate", "RUN", "--test", "test", "--metrics", "bleu,blue"], "blue"),
    "n-best in evaluation": (
        ["evaluate", "RUN", "--test", "test", "--n-best", "2"],
        "search.n_best=2 would be ignored",
    ),
    "missing file": (["evaluate", "RUN", "--source", "/nowhere/a.en", "--reference", "/nowhere/a.de"], "/nowhere/a.en"),
    "resamples below none": (
        ["evaluate", "RUN", "--test", "test", "--bootstrap", "-1"],
        "--bootstrap=-1 is too small: at least 40",
    ),
    "settings of a sweep": (
        ["train", "-m", "--cfg", "job", "seed=1,2"],
        "--cfg prints the settings of one run: it cannot be combined with -m",
    ),
    "stems without ROUGE": (
        ["evaluate", "RUN", "--test", "test", "--stemming"],
        "--stemming would be ignored: none of --metrics bleu",
    ),
    "case without BLEU": (
        ["evaluate", "RUN", "--test", "test", "--lowercase", "--metrics", "ter"],
        "--lowercase would be ignored",
    ),
    "search for what is given": (
        ["plot", "RUN", "--sentence", "a", "--target", "b", "--beam", "1"],
        "--beam would be ignored",
    ),
    "n-best in a plot": (["plot", "RUN", "--sentence", "a", "--n-best", "2"], "search.n_best=2 would be ignored"),
    "device of no kind": (
        ["translate", "RUN", "--device", "gpu"],
        "device=gpu cannot be used: this machine has: cpu",
    ),
    "graphs of nothing": (["translate", "RUN", "--graphs"], "CUDA graphs need a GPU: device=cpu"),
    "source alone": (["score", "RUN", "--source", "x"], "--source and --target must be given together"),
    "misspelt choice": (
        ["translate", "RUN", "--length-penalty", "averag"],
        "search.length_penalty='averag' is unknown (did you mean 'average'?); choose one of: none",
    ),
    "attention into a folder": (
        ["translate", "RUN", "--attention", "."],
        ". cannot be written: it is a folder; name a file in it",
    ),
    "picture into a folder": (
        ["plot", "RUN", "--sentence", "a", "--png", "."],
        ". cannot be written: it is a folder; name a file in it",
    ),
    "picture of no format": (
        ["plot", "RUN", "--sentence", "a", "--png", "a.xyz"],
        "a.xyz: no picture can be written as .xyz; choose one of: .png",
    ),
    "sentence in another encoding": (["plot", "RUN", "--sentence", "caf\udce9"], "'caf\\udce9' is not UTF-8"),
    "half a character": (["plot", "RUN", "--sentence", "\ud800"], "'\\ud800' is not UTF-8"),
    "empty sentence": (["plot", "RUN", "--sentence", " "], "--sentence is empty"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options_are_reported_in_one_line(case: str, call: Call, random_run: RandomRun) -> None:
    words, message = WRONG[case]
    run = random_run()
    places = {"RUN": str(run), "MISSPELT": str(run).replace("general", "genral")}
    code, out, err = call(*(places.get(word, word) for word in words), stdin="the cat sleeps .\n")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert err.startswith("seq2seq: ")
    assert message.replace("RUN", str(run)) in err


def test_score_of_stdin_and_of_files(call: Call, random_run: RandomRun, lines: list[str], tmp_path: Path) -> None:
    targets = [f"die {line[::-1]}" for line in lines]
    expected = Translator.open(random_run()).score(lines, targets)
    pairs = text([f"{source}\t{target}" for source, target in zip(lines, targets, strict=True)])
    code, out, _ = call("score", random_run(), stdin=pairs)
    assert code == 0
    assert [float(line) for line in out.splitlines()] == pytest.approx(expected, abs=1e-4)
    for name, content in (("a.en", lines), ("a.de", targets), ("b.de", targets[1:])):
        (tmp_path / name).write_text(text(content))
    code, out, _ = call(
        "score", random_run(), "--source", tmp_path / "a.en", "--target", tmp_path / "a.de", "--per-token"
    )
    rows = [[float(part) for part in line.split("\t")] for line in out.splitlines()]
    assert [row[0] for row in rows] == pytest.approx(expected, abs=1e-4)
    assert all(mean == pytest.approx(total / tokens, abs=1e-4) for total, mean, tokens in rows)
    code, _, err = call("score", random_run(), "--source", tmp_path / "a.en", "--target", tmp_path / "b.de")
    assert code == 2
    assert "a.en" in err
    assert "b.de" in err


def test_scores_of_unknown_words_differ_only_with_copying(call: Call, random_run: RandomRun) -> None:
    """Without copying all unknown words are the same token."""
    words = ("tokenizer=word", "tokenizer.size=40", "tokenizer.joint=false")
    for head in ("vocabulary", "copy"):
        run = random_run(*words, *(["model.head=copy"] if head == "copy" else []))
        pairs = text(["Zxqyvia sleeps\tZxqyvia schläft", "Zxqyvia sleeps\tQwmnor schläft"])
        code, out, _ = call("score", run, stdin=pairs)
        assert code == 0
        copied, unknown = map(float, out.splitlines())
        assert (copied == unknown) == (head == "vocabulary")


def test_score_names_a_line_without_a_tab(call: Call, random_run: RandomRun) -> None:
    code, _, err = call("score", random_run(), stdin="a\tb\nno tab\n")
    assert (code, err.splitlines()[-1]) == (2, "seq2seq: stdin:2: no tab between source and target")
    code, _, err = call("score", random_run(), stdin="a\tb\tc\n")
    assert (code, err.splitlines()[-1]) == (2, "seq2seq: stdin:1: more than one tab")


def test_options_switch_between_sampling_and_search(
    call: Call, random_run: RandomRun, lines: list[str], tmp_path: Path
) -> None:
    """Settings of the run that the other method ignores return to their defaults; such options are refused."""
    searching = resaved(random_run(), tmp_path / "searching", search={"alpha": 0.5})
    drawing = resaved(random_run(), tmp_path / "drawing", search={"beam": 5, "sampling": True, "top_k": 3})
    for run, words in (
        (searching, ("--sampling",)),
        (drawing, ("--no-sampling", "--beam", 2)),
        (searching, ("--length-penalty", "none")),
    ):
        assert call("translate", run, *words, stdin=text(lines))[0] == 0
    code, _, err = call("translate", searching, "--sampling", "--beam", 3, stdin=text(lines))
    assert code == 2
    assert "search.beam=3 would be ignored" in err


def test_output_format_depends_on_n_best_alone(call: Call, random_run: RandomRun) -> None:
    """Not on the number of hypotheses found."""
    run = random_run()
    assert call("translate", run, "--n-best", 2, stdin="\n")[1].count("\t") == 4
    assert call("translate", run, "--n-best", 1, stdin="\n")[1] == "\n"


def test_plot_shows_words_in_the_terminal(call: Call, random_run: RandomRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, out, _ = call("plot", random_run(), "--sentence", "Eva sees Paul", "--target", "Eva sieht Paul")
    assert code == 0
    assert out.splitlines()[0] == "Eva sieht Paul"
    assert all(word in out for word in ("Eva", "sees", "Paul", "sieht"))
    code, out, _ = call("plot", random_run(), "--sentence", "Eva sees Paul", "--subwords")
    assert code == 0


def test_plot_writes_a_picture(call: Call, random_run: RandomRun, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    path = tmp_path / "a.png"
    code, out, _ = call("plot", random_run(), "--sentence", "Eva sees Paul", "--png", path)
    assert code == 0
    assert out.splitlines()[-1] == str(path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_picture_of_no_words_and_into_a_pipe(call: Call, random_run: RandomRun, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    os.mkfifo(pipe := tmp_path / "a.png")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            code, _, err = call("plot", random_run(), "--sentence", "Eva sees Paul", "--target", "", "--png", pipe)
        assert (code, err) == (0, "")
        assert os.read(reader, 8).startswith(b"\x89PNG")
    finally:
        os.close(reader)


def test_sentence_in_a_locale_without_its_letters(call: Call, random_run: RandomRun) -> None:
    """Python hands such bytes on as lone surrogates, in which they are UTF-8."""
    escaped = "Привет Eva".encode().decode("ascii", "surrogateescape")
    words = ["plot", random_run(), "--target", "Eva", "--sentence"]
    assert call(*words, escaped) == call(*words, "Привет Eva")


def test_prepare_prints_the_folder(call: Call, small_settings: Callable[..., list[str]], tmp_path: Path) -> None:
    code, out, err = call("prepare", *small_settings(tmp_path), f"data.cache={tmp_path}")
    assert code == 0, err
    (folder,) = out.splitlines()
    assert (Path(folder) / "joint.spm").is_file()
    assert Path(folder).parent == tmp_path


def test_cache_that_is_a_file_is_reported_in_one_line(
    call: Call, small_settings: Callable[..., list[str]], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    code, _, err = call("prepare", *small_settings(tmp_path), f"data.cache={tmp_path / 'file'}")
    assert code == 2
    wrong = tmp_path / "file"
    assert err.splitlines()[-1] == f"seq2seq: data.cache={wrong} cannot be written to: {wrong} is not a folder"


def test_attentions_lists_every_part_and_variant(call: Call) -> None:
    from seq2seq.nn.attention.scorers import SCORERS

    code, out, _ = call("attentions")
    assert code == 0
    assert all(f"\n{name} " in f"\n{out}" for name in [*SCORERS, "local_p", "sparsemax"])
    assert call("attentions", "--markdown")[1].count("| --- | --- | --- |\n") == 5


def test_resume_on_the_command_line(call: Call, run_copy: Path) -> None:
    code, _, err = call("train", f"resume={run_copy}")
    assert code == 2
    assert "is finished: training.max_updates=6 is reached" in err
    code, _, err = call("train", f"resume={run_copy}", "model.hidden=16")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "model.hidden=16 is given, but the run was started with model.hidden=8" in err
    assert call("train", f"resume={run_copy}", "training.max_updates=7")[0] == 0
    code, _, err = call("train", "-m", f"resume={run_copy}", "seed=1,2")
    assert (code, err) == (2, "seq2seq: resume continues one run: it cannot be combined with -m\n")
    code, _, err = call("train", f"resume={str(run_copy).replace('general', 'genral')}")
    assert code == 2
    assert f"did you mean {run_copy}?" in err
