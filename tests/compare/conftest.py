"""Fixtures of the comparison's tests: evaluated runs that were never trained, with known content."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cache, reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from seq2seq.compare.collect import EvaluatedRun, logged_metrics, run_parameters
from seq2seq.compare.compare import compare
from seq2seq.compare.paired_tests import TestOptions
from seq2seq.compare.result import Comparison
from seq2seq.compare.variants import group_runs
from seq2seq.config import Config
from seq2seq.config.io import build_config
from seq2seq.data.word_links import GoldAlignment
from seq2seq.evaluation.evaluate import SUMS
from seq2seq.evaluation.scores import MetricOptions
from seq2seq.evaluation.store import Evaluation
from seq2seq.evaluation.testset import TestSet
from seq2seq.launch.compose import compose_config
from seq2seq.runs.directory import Run

SOURCES = ["a b", "c d", "a b c", "d e f g", "a b c d e f", "g h i j k l m"]  # 2, 2, 3, 4, 6 and 7 words
REFERENCES = ["A B C D", "C D E F", "A B C D E", "D E F G H", "A B C D E F", "G H I J K L"]
DECODING = {"seconds": 4.0, "processor_seconds": 6.0, "sentences": 12, "threads": 1, "device": "cpu", "batch": 64}
METRICS = "update,target_tokens,seconds,processor_seconds,loss\n"


@cache
def composed() -> Config:
    """The settings of all runs."""
    files = ["data.root=nowhere", "data.train=[train]", "data.dev=[dev]"]
    return compose_config(["data=mine", *files, "trainer.accelerator=cpu"])


@cache
def changed(*words: str) -> Config:
    """These settings with some changed, written as on a command line. Shared between tests, which must not change
    them."""
    values = asdict(composed())
    for word in words:
        setting, _, value = word.partition("=")
        *groups, name = setting.split(".")
        group = reduce(getitem, groups, values)
        assert name in group
        group[name] = yaml.safe_load(value)
    return build_config(values)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., EvaluatedRun]:
    """`make_run(hypotheses, *settings, name=..., sums=..., info=..., metrics=..., explained=...)`: an evaluated run.

    It has these hypotheses and 11 parameters."""

    def make(
        hypotheses: Sequence[str], *settings: str, name: str = "", sums: Any = None, metrics: str = "", **more: Any
    ) -> EvaluatedRun:
        config = changed(*settings)
        folder = tmp_path / (name or f"run-{len(list(tmp_path.iterdir()))}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        save_file({"a": np.zeros((2, 3), np.float32), "b": np.zeros(5, np.float32)}, folder / "weights.safetensors")
        (folder / "metrics.csv").write_text(METRICS + (metrics or "600,,,,1\n"))
        columns = {key: np.ones((len(hypotheses), 2)) for key in SUMS} | (sums or {})
        evaluation = Evaluation(
            list(hypotheses), columns, DECODING, vars(config.search), more.pop("explained", None), folder
        )
        info = {"finished": True, "updates": 600} | more.pop("info", {})
        run = Run(folder, config, info)
        parameters = info.get("parameters") or run_parameters(run)
        return replace(EvaluatedRun(run, evaluation, logged_metrics(run), parameters), **more)

    return make


@pytest.fixture
def compared() -> Callable[..., Comparison]:
    """`compared(runs, *metrics, gold=None)`: a comparison on SOURCES; the first variant is the baseline."""

    def compare_runs(
        runs: Sequence[EvaluatedRun], *metrics: str, gold: list[GoldAlignment] | None = None, samples: int = 40
    ) -> Comparison:
        variants, _ = group_runs(runs)
        test = TestSet("made", SOURCES, [REFERENCES], gold)
        options = TestOptions(test, MetricOptions("en", bootstrap=0), metrics or ("chrf",), samples, samples)
        return compare(variants, variants[0], options)

    return compare_runs
