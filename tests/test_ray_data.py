"""Translating a dataset of Ray Data: with Ray where it is installed (--slow), and with a stand-in for it."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from seq2seq import Translator, ray_data
from seq2seq.errors import ConfigError, DataError, RunError
from seq2seq.ray_data import BatchTranslator, translate

BUNDLE = Path(__file__).resolve().parent / "runtime/schemas/1-rnn.s2s"


class StandIn:
    """A Ray dataset of known columns, or unknown ones, that records how it is mapped."""

    def __init__(self, *columns: str) -> None:
        self.columns = columns
        self.mapped: dict[str, Any] = {}

    def schema(self, fetch_if_missing: bool) -> Any:
        assert not fetch_if_missing
        return SimpleNamespace(names=list(self.columns)) if self.columns else None

    def map_batches(self, actor: type, **settings: Any) -> "StandIn":
        self.mapped = settings | {"actor": actor}
        return self


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    """Ray with no other dataset than StandIn."""
    ray, data = ModuleType("ray"), ModuleType("ray.data")
    data.Dataset, data.ActorPoolStrategy = StandIn, dict  # type: ignore[attr-defined]
    ray.data = data  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", data)
    return StandIn


def test_missing_ray_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'seq2seq\[ray\]'"):
        translate(None, "run")  # type: ignore[arg-type]


def test_actors_get_what_they_need(stand_in: type[StandIn], run_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that holds on another machine; the GPU of an actor, though the machine that starts them may have none."""
    monkeypatch.chdir(run_copy.parent)
    words: dict[str, Any] = {"source": "en", "target": "de", "actors": 3, "cores": 2, "beam": 1, "window": 7}
    mapped = translate(stand_in("en"), run_copy.name, **words).mapped  # type: ignore[arg-type]
    assert mapped.pop("actor") is BatchTranslator
    options = {"beam": 1, "window": 7}
    assert mapped == {
        "fn_constructor_args": ([str(run_copy)], "en", "de", options),
        "batch_format": "pyarrow",
        "batch_size": 7,
        "compute": {"min_size": 1, "max_size": 3},
        "num_cpus": 2,
        "num_gpus": 0.0,
    }
    mapped = translate(stand_in(), run_copy, source="en", gpus=0.5).mapped  # type: ignore[arg-type]
    assert (mapped["fn_constructor_args"][3], mapped["num_gpus"]) == ({"device": "cuda"}, 0.5)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"source": "englich"}, ConfigError, r"source='englich' is unknown \(did you mean 'english'\?\)"),
        ({"target": "id"}, ConfigError, r"target=id is a column already"),
        ({"actors": 0}, ConfigError, r"actors=0 is too small"),
        ({"cores": 0}, ConfigError, r"cores=0 is too small: above 0"),
        ({"gpus": -1}, ConfigError, r"gpus=-1 is too small"),
        ({"beem": 3}, ConfigError, r"setting='beem' is unknown \(did you mean 'beam'\?\)"),
        ({"run": BUNDLE, "gpus": 1}, ConfigError, r"device=cuda is not possible: .* is a bundle, which is used on the"),
        ({"precision": "8"}, ConfigError, r"precision='8' is unknown"),
        ({"run": "runs/none"}, RunError, r"runs/none"),
        ({"run": 7}, ConfigError, r"run='7' is of type int"),
        ({"dataset": ["A dog runs ."]}, ConfigError, r"dataset=.* is of type list, not StandIn"),
    ],
)
def test_bad_input_is_refused_before_any_work(
    given: dict[str, Any], error: type[Exception], message: str, stand_in: type[StandIn], tiny_run: Path
) -> None:
    words = {"source": "english"} | given
    dataset, run = words.pop("dataset", stand_in("id", "english")), words.pop("run", tiny_run)
    with pytest.raises(error, match=message):
        translate(dataset, run, **words)
    assert not getattr(dataset, "mapped", {})


def test_batch_keeps_its_rows_and_columns(tiny_run: Path, lines: list[str]) -> None:
    """An empty line has an empty translation, and an empty batch none."""
    pa = pytest.importorskip("pyarrow", reason="comes with Ray Data")
    actor = BatchTranslator([str(tiny_run)], "en", "de", {"beam": 1})
    table = pa.table({"id": pa.array(range(len(lines)), pa.int32()), "en": lines})
    out = actor(table)
    assert out.select(["id", "en"]).equals(table)
    assert out["de"].to_pylist() == Translator.open(tiny_run, beam=1).translate(lines)
    empty = actor(table.slice(0, 0))
    assert (len(empty), empty.schema) == (0, out.schema)
    with pytest.raises(ConfigError, match="source='en' is unknown"):
        actor(table.select(["id"]))
    with pytest.raises(DataError, match="line 2 is None, not a string"):
        actor(pa.table({"en": ["a", None]}))


def rows(lines: list[str], count: int) -> list[dict[str, Any]]:
    return [{"id": i, "en": lines[i % len(lines)]} for i in range(count)]


@pytest.mark.slow
def test_ray_translates_each_row_once(
    ray: Any, tiny_run: Path, export_family: Callable[[str], Any], lines: list[str]
) -> None:
    """With a run and with a bundle, in the order of the rows if Ray is told so."""
    for run in (tiny_run, export_family("rnn").float32):
        dataset = ray.data.from_items(rows(lines, 40), override_num_blocks=5)
        dataset.context.execution_options.preserve_order = True
        found = translate(dataset, run, source="en", target="de", actors=2, beam=1).take_all()
        expected = Translator.open(run, beam=1).translate([row["en"] for row in rows(lines, 40)])
        assert found == [row | {"de": text} for row, text in zip(rows(lines, 40), expected, strict=True)]


@pytest.mark.slow
def test_killed_actor_loses_and_repeats_nothing(
    ray: Any, tiny_run: Path, lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed with SIGKILL in its third batch, once."""

    class Killed(BatchTranslator):
        batches = 0

        def __call__(self, batch: Any) -> Any:
            self.batches += 1
            mark = tmp_path / "killed"
            if self.batches == 3 and not mark.exists():
                mark.write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)
            return super().__call__(batch)

    monkeypatch.setattr(ray_data, "BatchTranslator", Killed)
    dataset = ray.data.from_items(rows(lines, 60), override_num_blocks=10)
    found = translate(dataset, tiny_run, source="en", target="de", actors=1, beam=1, window=6).take_all()
    assert (tmp_path / "killed").exists()
    expected = Translator.open(tiny_run, beam=1).translate([row["en"] for row in rows(lines, 60)])
    assert sorted((row["id"], row["de"]) for row in found) == [*enumerate(expected)]


@pytest.mark.slow
def test_error_of_a_row_names_it(ray: Any, tiny_run: Path) -> None:
    dataset = ray.data.from_items([{"en": "A dog ."}, {"en": None}])
    with pytest.raises(Exception, match="DataError: line 2 is None, not a string"):  # inside of Ray's own
        translate(dataset, tiny_run, source="en").take_all()
