"""Bundles of every schema, kept as they were written, are opened and translate as the runs did that they were made of.

`python -m tests.runtime.schemas` writes those of a new schema.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import seq2seq
from seq2seq.errors import RunError
from seq2seq.runtime import bundle as module
from seq2seq.runtime.__main__ import main
from seq2seq.runtime.bundle import SCHEMA, UPGRADES, Bundle

KEPT = Path(__file__).with_name("schemas")
BUNDLES = sorted(KEPT.glob("*.s2s"))


def test_there_are_bundles_of_every_schema() -> None:
    schemas = range(1, SCHEMA + 1)
    assert [*UPGRADES] == [*schemas[:-1]]
    for schema in schemas:
        kept = [path for path in BUNDLES if path.name.startswith(f"{schema}-")]
        assert {Bundle.open(path).config.values["schema"] for path in kept} == {SCHEMA}
        assert {Bundle.open(path).config.kind for path in kept} == {"onnx", "weights"}
        assert [*json.loads((KEPT / f"{schema}.json").read_text())["translations"]] == [path.name for path in kept]


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: path.stem)
def test_kept_bundle_translates_as_its_run_did(path: Path) -> None:
    pytest.importorskip("onnxruntime")
    expected = json.loads((KEPT / f"{path.stem.split('-')[0]}.json").read_text())
    translator = seq2seq.Translator.open(path, shortlist=9)
    for found, wanted in zip(
        translator.hypotheses(expected["lines"]), expected["translations"][path.name], strict=True
    ):
        assert [one.text for one in found] == [text for text, _ in wanted]
        assert [one.score for one in found] == pytest.approx([score for _, score in wanted], abs=1e-3)


@pytest.mark.parametrize("path", [path for path in BUNDLES if "weights" not in path.name], ids=lambda path: path.stem)
def test_kept_bundle_is_verified(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    main(["verify", str(path)])
    assert capsys.readouterr().out.endswith(f"verified: {path}, float32\n")


Values = dict[str, Any]


def renamed(values: Values) -> Values:
    """An upgrade to a schema that calls the languages tongues."""
    return {name: value for name, value in values.items() if name != "languages"} | {"tongues": values["languages"]}


def renamed_again(values: Values) -> Values:
    """An upgrade from that schema to one that has languages again."""
    return {**values, "languages": values["tongues"]}


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`later(*upgrades)`: this version has as many schemas more, and reads older bundles by these upgrades."""

    def change(*upgrades: Callable[[Values], Values]) -> None:
        monkeypatch.setattr(module, "SCHEMA", SCHEMA + len(upgrades))
        monkeypatch.setattr(module, "UPGRADES", UPGRADES | dict(enumerate(upgrades, SCHEMA)))

    return change


def test_older_schema_is_upgraded_step_by_step(later: Callable[..., None]) -> None:
    path = KEPT / f"{SCHEMA}-rnn.s2s"
    before = Bundle.open(path).config
    later(renamed, renamed_again)
    after = Bundle.open(path)
    assert after.config.languages == before.languages == ("en", "de")
    assert after.config.values["tongues"] == {"source": "en", "target": "de"}
    assert after.config.values["schema"] == SCHEMA + 2
    after.verify()


def test_newer_schema_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCHEMA", SCHEMA - 1)
    for path in BUNDLES:
        if path.name.startswith(f"{SCHEMA}-"):
            with pytest.raises(RunError, match=rf"json in .*: schema {SCHEMA} was written by seq2seq .* newer than"):
                Bundle.open(path)


@pytest.mark.parametrize(
    "wrong",
    [lambda values: values["absent"], lambda values: values["task"]["name"], lambda values: values["members"][0]],
)
def test_values_that_an_upgrade_cannot_take_are_refused(later: Callable[..., None], wrong: Any) -> None:
    """A bundle may come from anyone, and nothing has checked the values of an older schema."""
    later(wrong)
    with pytest.raises(RunError, match=rf"config\.json in .*: it is not one of schema {SCHEMA}$"):
        Bundle.open(KEPT / f"{SCHEMA}-rnn.s2s")


def test_schema_without_an_upgrade_is_refused(later: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    later(renamed)
    monkeypatch.setattr(module, "UPGRADES", {})
    with pytest.raises(RunError, match=rf"schema {SCHEMA} is unknown: this version reads {SCHEMA + 1}"):
        Bundle.open(KEPT / f"{SCHEMA}-rnn.s2s")
