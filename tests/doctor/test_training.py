"""Checks of a planned training: each with a corpus or settings in which it finds something, and the command."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seq2seq import cli
from seq2seq.commands import doctor as command
from seq2seq.config import Config
from seq2seq.data.prepare import Prepared
from seq2seq.doctor import machine, training
from seq2seq.doctor.finding import BAD, GOOD, WARNING, Finding, found
from seq2seq.utils.memory import GIB
from tests.settings import changed

SmallConfig = Callable[..., Config]
PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/check-a-training.md"


@pytest.fixture(scope="module")
def planned(small_config: SmallConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Prepared]:
    """The settings of a small training, and its corpus."""
    return training.prepared_training(small_config(tmp_path_factory.mktemp("runs"), "trainer.accelerator=cpu"))


@pytest.fixture
def spoiled(corpus: Path, small_config: SmallConfig, tmp_path: Path) -> Callable[..., tuple[Config, Prepared]]:
    """`spoiled(**files)`: the small corpus with other files, each made by a function of its lines."""

    def make(*settings: str, **changes: Callable[[list[str]], list[str]]) -> tuple[Config, Prepared]:
        other = shutil.copytree(corpus, tmp_path / "corpus")
        for name, change in changes.items():
            path = other / name.replace("_", ".")
            path.write_text("".join(change(path.read_text(encoding="utf-8").splitlines(True))), encoding="utf-8")
        return training.prepared_training(small_config(tmp_path, f"data.root={other}", *settings))

    return make


def test_a_small_training(planned: tuple[Config, Prepared]) -> None:
    """All is good, but for a character that 120 lines do not have."""
    config, prepared = planned
    results = {name: found(check, config) for name, check in training.SETTINGS.items()}
    results |= {name: found(check, config, prepared) for name, check in training.CORPUS.items()}
    assert {name: result.level for name, result in results.items() if result.level != GOOD} == {"tokenizer": WARNING}
    assert results["corpus"].text == "120 of 120 training pairs are kept; dev 12, test 12"
    assert "dev 0 of 12, test 0 of 12" in results["overlap"].text
    assert "2 of 24 dev lines change when encoded and decoded ('2' -> '⁇' 2 times)" in results["tokenizer"].text
    assert "possible: onnx, weights, pt2;" in results["exports"].text
    assert "ruled out: ctranslate2, huggingface, argos" in results["exports"].text


def test_settings_that_do_not_fit_are_bad(planned: tuple[Config, Prepared]) -> None:
    config = changed(planned[0], "training.max_updates=0", "training.patience=0")
    result = found(training.check_planned, config)
    assert result.level == BAD
    assert result.text.startswith("training has no end")


def test_dropped_pairs_and_missing_test_sets_are_named(planned: tuple[Config, Prepared]) -> None:
    config, prepared = planned
    report = {"read": 100, "kept": 80, "dropped": {"an empty side": 20}, "missing": {"old": "old.en is missing"}}
    result = training.check_corpus(config, prepared._replace(report=prepared.report | report))
    assert result.level == WARNING
    assert "20 of 100 training pairs are dropped (20 with an empty side)" in result.text
    assert "these test sets cannot be used: old (old.en is missing)" in result.text


def test_copies_and_misread_characters_are_counted(spoiled: Callable[..., Any]) -> None:
    """Not the same source with another target."""

    def target(lines: list[str]) -> list[str]:
        return [*lines[:100], *lines[:19], "f\xc3\xbcnf\n"]

    config, prepared = spoiled(train_en=lambda lines: [*lines[:100], *lines[:19], lines[0]], train_de=target)
    level, text = training.check_text(config, prepared)
    assert level == WARNING
    assert "1 of 120 training pairs have characters like '\\xc3\\xbc'" in text
    assert "19 of 120 training pairs are copies" in text


@pytest.mark.parametrize("text", ["fÃ¼nf", "Ã„rger", "dâ€™un", "Â\xa0!", "�"])
def test_misread_characters(text: str) -> None:
    assert training.MISREAD.search(text)


@pytest.mark.parametrize("text", ["fünf", "Ärger", "SÃO PAULO", "château", "Âge", "d’un", "âgé", "5 €"])
def test_characters_that_are_not_misread(text: str) -> None:
    assert not training.MISREAD.search(text)


def test_test_set_in_the_training_text_is_bad(spoiled: Callable[..., Any], corpus: Path) -> None:
    test = (corpus / "test.en").read_text(encoding="utf-8").splitlines(True)
    config, prepared = spoiled(
        train_en=lambda lines: [*test, *lines[12:]], dev_en=lambda lines: [*test[:1], *lines[1:]]
    )
    level, text = training.check_overlap(config, prepared)
    assert level == BAD
    assert "1 of 12 sources of dev are" in text
    assert "12 of 12 sources of test are" in text


def test_characters_that_the_tokenizer_lacks_are_named(spoiled: Callable[..., Any]) -> None:
    config, prepared = spoiled(dev_de=lambda lines: ["кот\n", *lines[1:]])
    level, text = training.check_tokenizer(config, prepared)
    assert level == WARNING
    assert "3 of 24 dev lines change" in text
    assert "'кот' -> " in text


def test_lengths(planned: tuple[Config, Prepared]) -> None:
    config, prepared = planned
    text = training.check_sizes(config, prepared).text
    lengths = prepared.train.target_lengths
    assert f"longest {lengths.max()}" in text
    assert re.search(r"median (\d+)", text)[1] in {str(n) for n in lengths}
    too_small = changed(config, "model.attention.scorer=location", "model.max_length=5")
    result = found(training.check_sizes, too_small, prepared)
    assert result.level == BAD
    assert "model.max_length=5 is too small" in result.text


@pytest.mark.parametrize(("free", "level"), [(1000, GOOD), (1.5, WARNING), (0.9, BAD)])
def test_memory(free: float, level: str, planned: tuple[Config, Prepared], monkeypatch: pytest.MonkeyPatch) -> None:
    """free: in multiples of what is needed."""
    needed = training.estimate(*planned).needed
    monkeypatch.setattr("seq2seq.training.footprint.available_memory", lambda: int(free * needed))
    assert found(training.check_footprint, *planned).level == level


def test_space_is_that_of_a_run(
    planned: tuple[Config, Prepared], tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither less than a run takes nor much more than that and the files that replace others."""
    config, prepared = planned
    checkpoint = (tiny_run / "checkpoints/last.ckpt").stat().st_size
    weights = (tiny_run / "weights.safetensors").stat().st_size
    taken = sum(path.stat().st_size for path in tiny_run.rglob("*") if path.suffix in (".safetensors", ".ckpt"))
    kept = len([*tiny_run.glob("checkpoints/*.safetensors")])
    needed = training.run_size(changed(config, f"training.keep={kept}"), prepared)
    assert 0.9 * (taken + checkpoint + weights) < needed < 1.1 * (taken + checkpoint + weights)
    for free, level in ((GIB, GOOD), (1000, BAD)):
        monkeypatch.setattr(training, "free_space", lambda folder, free=free: free)
        assert training.check_space(config, prepared).level == level


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks of the machine that find it good, but one that raises."""

    def fail(config: Config) -> Finding:
        raise ZeroDivisionError("\x1b[31mred\nline")

    checks = dict.fromkeys(machine.MACHINE, lambda config: Finding(GOOD, "well"))
    monkeypatch.setattr(machine, "MACHINE", checks | {"threads": fail})


def levels(printed: str) -> dict[str, str]:
    """Check -> level of each line that the command has printed."""
    return {line.split()[1]: line.split()[0] for line in printed.splitlines()}


@pytest.mark.usefixtures("quick")
def test_without_settings_the_machine_alone_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    """A check that fails hides none after it, its text is escaped and on one line, and the exit code is 2."""
    assert cli.main(["doctor"]) == 2
    printed = capsys.readouterr()
    assert list(levels(printed.out)) == list(machine.MACHINE)
    assert levels(printed.out)["threads"] == BAD
    assert r"\x1b[31mred line" in printed.out
    assert printed.err == "seq2seq: 1 check found something bad: threads\n"


def test_settings_are_checked_too(
    small_settings: Callable[..., list[str]], tmp_path: Path, quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.MACHINE.pop("threads")
    assert cli.main(["doctor", *small_settings(tmp_path / "runs")]) == 0
    assert list(levels(capsys.readouterr().out)) == [*machine.MACHINE, *training.SETTINGS, *training.CORPUS]
    assert not list(tmp_path.iterdir())
    assert cli.main(["doctor", *small_settings(tmp_path / "runs", "data.train=[gone]", "training.patience=0")]) == 2
    printed = capsys.readouterr()
    found = levels(printed.out)
    assert (found["corpus"], found["exports"]) == (BAD, GOOD)
    assert list(found) == [*machine.MACHINE, *training.SETTINGS, "corpus"]
    assert "without a corpus these are not checked: text, overlap" in printed.out
    assert printed.err.splitlines()[-1] == "seq2seq: 1 check found something bad: corpus"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["data=multi3k"], "did you mean 'multi30k'?"),
        (["training.max_update=3"], "did you mean training.max_updates?"),
        (["-m", "seed=1,2"], "-m makes a grid, and doctor checks one training"),
        (["README"], "README"),
    ],
)
def test_bad_input_is_one_sentence(words: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert part in line


def test_torch_that_cannot_be_imported_is_named(small_config: SmallConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "seq2seq.doctor.training", None)
    ((name, result),) = command.training_findings(small_config(Path("runs")))
    assert (name, result.level) == ("settings", BAD)


def test_the_page_shows_every_check() -> None:
    shown = re.findall(rf"^(?:{GOOD}|{WARNING}|{BAD}) +(\w+)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert list(dict.fromkeys(shown)) == [*machine.MACHINE, *training.SETTINGS, *training.CORPUS]


def test_quantiles_are_lengths_that_occur() -> None:
    assert training._quantiles(np.array([3, 4, 9], np.int32)) == "median 4, 99 % up to 9, longest 9"
