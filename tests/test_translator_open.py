"""Opening a translator: settings that are refused, and modules that are not imported."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seq2seq import Translator
from seq2seq.errors import ConfigError, DataError

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
    with pytest.raises(DataError, match="1 sources cannot be scored with 2 targets"):
        Translator.open(tiny_run).score(["a"], ["b", "c"])


def test_opening_a_run_does_not_import_what_only_training_needs(tiny_run: Path) -> None:
    """Each of these takes longer to import than a short line takes to translate."""
    heavy = ("sympy", "hydra", "lightning", "sacrebleu", "rouge_score", "matplotlib")
    code = f"""
import sys
from seq2seq import Translator, translator
Translator.open({str(tiny_run)!r}).translate(["the cat sleeps"])
sys.exit(", ".join(set({heavy}) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.stderr.strip() == ""


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


def test_translator_needs_a_run() -> None:
    with pytest.raises(ConfigError, match="no run directory is given"):
        Translator.open()
