"""Opening a translator: its settings, and those that are refused."""

import importlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seq2seq import Translator
from seq2seq.errors import ConfigError, DataError, RunError
from seq2seq.runtime.cpu import SMALL_ROWS
from seq2seq.runtime.glossary import Term
from seq2seq.runtime.translator import Translator as GraphTranslator
from seq2seq.search.beam import beam_search
from seq2seq.search.forced import score_targets
from seq2seq.search.sampling import sample

RandomRun = Callable[..., Path]


def double(run: Path, **search: object) -> Translator:
    return Translator.open(run, precision="64", **search)


def test_wrong_search_settings_are_refused(random_run: RandomRun) -> None:
    with pytest.raises(ConfigError, match=r"search\.n_best=9 is more than search\.beam=2"):
        Translator.open(random_run(), n_best=9)


def test_search_settings_are_checked_for_name_and_type(tiny_run: Path) -> None:
    for search, message in (
        ({"beem": 3}, "did you mean 'beam'"),
        ({"beam": "5"}, r"search\.beam='5' must be of type int"),
        ({"n_best": 9}, "more than"),
        ({"beam": True}, r"search\.beam='True' must be of type int"),
        ({"beam": 10**5000}, r"search\.beam=1\.000e\+5000 is too large: at most 1000"),
        ({"sampling": True, "temperature": float("nan")}, r"search\.temperature=nan is not a finite number"),
        ({"sampling": True, "temperature": 1e-320}, r"search\.temperature=1e-320 is too small: at least 1e-06"),
        ({"shortlist": True}, "shortlist='True' is not an integer"),
        ({"coverage_penalty_kind": "summary"}, r"kind=summary would be ignored: search\.coverage_penalty=0"),
    ):
        with pytest.raises(ConfigError, match=message):
            Translator.open(tiny_run, **search)
    assert Translator.open(tiny_run, alpha=1).search.alpha == 1
    with pytest.raises(DataError, match="expected lines, not a single string"):
        Translator.open(tiny_run).translate("the cat sleeps")
    with pytest.raises(DataError, match="expected one line, not a list"):
        Translator.open(tiny_run).attention(["the cat sleeps"])
    with pytest.raises(DataError, match="1 source cannot be scored with 2 targets"):
        Translator.open(tiny_run).score(["a"], ["b", "c"])


def test_single_string_in_place_of_lines_is_refused(random_run: RandomRun) -> None:
    translator = double(random_run())
    for wrong in (
        lambda: translator.translate("the cat"),
        lambda: translator.score("the cat", ["a"]),
        lambda: translator.score(["a"], "b"),
        lambda: list(translator.hypotheses(["a", "b"], prefix="ab")),
    ):
        with pytest.raises(DataError, match="put it into a list"):
            wrong()


@pytest.mark.parametrize("prefix", [["ein"], ["ein", "", ""]])
def test_wrong_number_of_prefixes_is_refused(prefix: list[str], random_run: RandomRun) -> None:
    with pytest.raises(DataError, match="the numbers of lines and prefixes differ"):
        list(double(random_run()).hypotheses(["the cat", "a dog"], prefix=prefix))


def test_terms_are_refused_where_nothing_is_searched(random_run: RandomRun) -> None:
    with pytest.raises(ConfigError, match="draws tokens at random, which cannot hold terms: use a beam"):
        double(random_run(), sampling=True).translate(["the cat"], terms=[["a"]])


def test_translator_needs_a_run() -> None:
    with pytest.raises(ConfigError, match="no run directory is given"):
        Translator.open()


NO_LINES: dict[str, Callable[[Translator], object]] = {
    "half a surrogate pair": lambda t: t.translate(["a cat", "bad \ud83d here"]),
    "a bad prefix": lambda t: list(t.hypotheses(["a cat"], prefix=["bad \udce4"])),
    "a bad source": lambda t: t.score(["a \ud83d"], ["b"]),
    "a bad target": lambda t: t.score(["a"], ["b \ud83d"]),
    "a bad sentence": lambda t: t.attention("a \ud83d"),
    "a bad sentence's target": lambda t: t.attention("a", "b \ud83d"),
    "a NUL": lambda t: t.translate(["a\x00cat"]),
    "a NUL in a target": lambda t: t.score(["a"], ["b\x00"]),
    "None for a line": lambda t: t.translate(["a cat", None]),  # type: ignore[list-item]
    "a number for a line": lambda t: t.translate([7]),  # type: ignore[list-item]
    "bytes for a line": lambda t: list(t.hypotheses([b"a cat"])),  # type: ignore[list-item]
    "None for lines": lambda t: t.translate(None),  # type: ignore[arg-type]
    "a number for lines": lambda t: t.score(["a"], 7),  # type: ignore[arg-type]
    "bytes for lines": lambda t: t.translate(b"a cat"),  # type: ignore[arg-type]
    "None for a target": lambda t: t.score(["a"], [None]),  # type: ignore[list-item]
    "None for a prefix": lambda t: list(t.hypotheses(["a"], prefix=[None])),  # type: ignore[list-item]
    "too few prefixes": lambda t: list(t.hypotheses(["a", "b"], prefix=["c"])),
    "a bad term": lambda t: list(t.hypotheses(["a cat"], terms=[["b \ud83d"]])),
    "a blank term": lambda t: list(t.hypotheses(["a cat"], terms=[["b", " "]])),
    "None for a term": lambda t: list(t.hypotheses(["a cat"], terms=[[None]])),  # type: ignore[list-item]
    "a term for its sequence": lambda t: list(t.hypotheses(["a cat"], terms=["b"])),
    "a Term for its sequence": lambda t: list(t.hypotheses(["a cat"], terms=[Term("b")])),  # type: ignore[list-item]
    "a string for terms": lambda t: list(t.hypotheses(["a cat"], terms="b")),
    "None for the terms of a line": lambda t: list(t.hypotheses(["a"], terms=[None])),  # type: ignore[list-item]
    "too few terms": lambda t: list(t.hypotheses(["a", "b"], terms=[["c"]])),
    "too many terms": lambda t: list(t.hypotheses(["a", "b"], terms=[["c"]] * 3)),
    "a triple": lambda t: list(t.forced_decode([("a", "b", "c")])),  # type: ignore[list-item]
    "no pairs": lambda t: list(t.forced_decode(["ab"])),  # type: ignore[list-item]
}


@pytest.fixture(scope="module")
def translator(tiny_run: Path) -> Translator:
    return Translator.open(tiny_run)


@pytest.mark.parametrize("call", NO_LINES)
def test_what_is_no_text_is_one_sentence(call: str, translator: Translator) -> None:
    with pytest.raises(DataError) as caught:
        NO_LINES[call](translator)
    assert str(caught.value).isprintable()


def test_attention_of_an_empty_line_is_an_empty_array(translator: Translator) -> None:
    assert translator.attention("").attention.shape == (0, 0)
    both = [found[0] for found in translator.hypotheses(["", "a cat"], attention=True)]
    assert [one.attention.shape for one in both] == [(len(one.target), len(one.source)) for one in both]
    assert next(translator.hypotheses([""]))[0].attention is None


@pytest.mark.parametrize("open_translator", [Translator.open, GraphTranslator.open])
def test_empty_path_is_refused(open_translator: Callable[[str], object]) -> None:
    with pytest.raises(ConfigError, match=r"^(run|bundle)='' is empty: it has to name a file or folder$"):
        open_translator("")


def test_message_names_the_line(translator: Translator) -> None:
    with pytest.raises(DataError, match=r"^line 2 is None, not a string$"):
        translator.translate(["a cat", None])  # type: ignore[list-item]


def test_search_settings_belong_to_open(translator: Translator) -> None:
    for call in (translator.translate, translator.hypotheses):
        with pytest.raises(ConfigError, match=r"give beam=3 to Translator\.open\(RUN, beam=\.\.\.\)"):
            list(call(["a cat"], beam=3))  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="has no option 'beem'"):
            list(call(["a cat"], beem=3))  # type: ignore[arg-type]


def test_translator_is_not_pickled(translator: Translator) -> None:
    with pytest.raises(TypeError, match=r"open it again in the other process, with Translator\.open"):
        pickle.dumps(translator)


def test_searches_want_lists(translator: Translator) -> None:
    model = translator.models[0]
    memory = model.encode(torch.tensor([[4, 3]]), None)
    for models, memories in ((model, memory), ([model], memory), (model, [memory]), ([], []), ([model], [])):
        for call in (
            lambda m, e: beam_search(m, e, max_length=3),
            lambda m, e: sample(m, e, seeds=[1], max_length=3),
            lambda m, e: score_targets(m, e, [[4]]),
        ):
            with pytest.raises(ConfigError, match="model"):
                call(models, memories)


@pytest.mark.parametrize(
    "value",
    [None, 32, -1.5, b"x", [], ["a"], {}, object(), np.array([1, 2]), 10**30],
    ids=lambda value: type(value).__name__,
)
def test_arguments_of_a_wrong_type_are_named(value: Any, tiny_run: Path) -> None:
    with pytest.raises(ConfigError, match=r"run=.* is of type"):
        Translator.open(value)
    for name in ("weights", "device", "precision", "graphs"):
        with pytest.raises(ConfigError, match=f"{name}=.* is of type {type(value).__name__}, not"):
            Translator.open(tiny_run, **{name: value})


@pytest.mark.parametrize("value", [32, -1.5, object(), 10**30], ids=lambda value: type(value).__name__)
def test_text_of_a_wrong_type_is_named(value: Any, translator: Translator) -> None:
    for call in (
        lambda: translator.translate(value),
        lambda: list(translator.forced_decode(value)),
        lambda: translator.score(value, ["a"]),
        lambda: translator.encode_source(value),
        lambda: translator.encode_target(value, translator.encode_source("a")),
        lambda: translator.attention(value),
    ):
        with pytest.raises(DataError, match=type(value).__name__):
            call()
    with pytest.raises(ConfigError, match=f"progress=.* is of type {type(value).__name__}, not"):
        translator.translate(["a"], progress=value)


def test_name_of_weights_that_is_too_long(tiny_run: Path) -> None:
    with pytest.raises(RunError, match="xxx"):
        Translator.open(tiny_run, weights="x" * 5000)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "nothing", "", "meta:x", "meta"])
def test_device_that_is_not_here_is_named(device: str, tiny_run: Path) -> None:
    with pytest.raises(ConfigError, match=f"device={device} cannot be used: this machine has: cpu"):
        Translator.open(tiny_run, device=device)


@pytest.mark.parametrize(
    ("package", "name", "near"), [("", "Translater", "Translator"), (".nn", "Attenton", "Attention")]
)
def test_misspelt_name_of_a_package_has_a_hint(package: str, name: str, near: str) -> None:
    with pytest.raises(AttributeError, match=f"did you mean '{near}'"):
        getattr(importlib.import_module(f"seq2seq{package}"), name)


@pytest.mark.parametrize(
    ("threads", "sentences", "used"),
    [
        (0, 1, 1),
        (0, SMALL_ROWS // 2, 1),
        (0, SMALL_ROWS // 2 + 1, 3),
        (2, 1, 2),
        pytest.param(2, 50, 2, marks=pytest.mark.slow),
    ],
)
def test_threads_are_chosen_by_the_work(
    tiny_run: Path, threads: int, sentences: int, used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a batch is searched for; before and after it they are those that torch has."""
    translator = Translator.open(tiny_run, threads=threads, batch=64)
    (model,) = translator.models
    found, encode = [], model.encode

    def noted(*inputs: Any) -> Any:
        found.append(torch.get_num_threads())
        return encode(*inputs)

    monkeypatch.setattr(model, "encode", noted)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        translator.translate(["the cat"] * sentences)
        assert (found, torch.get_num_threads()) == ([used], 3)
        monkeypatch.setattr(model, "encode", None)
        with pytest.raises(TypeError):
            translator.translate(["the cat"])
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
