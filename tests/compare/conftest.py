"""What do the tests of a comparison share? Runs that were never trained, of which everything is known."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from seq2seq.compare.collect import EvaluatedRun, logged, parameters
from seq2seq.config import Config
from seq2seq.evaluation.evaluate import SUMS
from seq2seq.evaluation.store import Evaluation
from seq2seq.launch.compose import compose_config
from seq2seq.runs.directory import Run

SOURCES = [f"{'word ' * (1 + i // 2)}{i}" for i in range(12)]  # 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7 and 7 words
DECODING = {"seconds": 4.0, "processor_seconds": 6.0, "sentences": 12, "threads": 1, "device": "cpu", "batch": 64}
METRICS = "update,target_tokens,seconds,processor_seconds,loss\n"


@cache
def composed(*words: str) -> Config:
    """Settings that nobody changes."""
    return compose_config(list(words))


@pytest.fixture
def make_cell(tmp_path: Path) -> Callable[..., EvaluatedRun]:
    """`make_cell(hypotheses, *settings, name=..., sums=..., info=..., metrics=..., explained=...)`: a run that wrote so.

    It has 11 parameters."""

    def make(
        hypotheses: Sequence[str], *settings: str, name: str = "", sums: Any = None, metrics: str = "", **more: Any
    ) -> EvaluatedRun:
        config = composed(
            "data=mine",
            "data.root=nowhere",
            "data.train=[train]",
            "data.dev=[dev]",
            "trainer.accelerator=cpu",
            *settings,
        )
        folder = tmp_path / (name or f"run-{len(list(tmp_path.iterdir()))}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        save_file({"a": np.zeros((2, 3), np.float32), "b": np.zeros(5, np.float32)}, folder / "weights.safetensors")
        (folder / "metrics.csv").write_text(METRICS + (metrics or "600,,,,1\n"))
        columns = {key: np.ones((len(hypotheses), 2)) for key in SUMS} | (sums or {})
        evaluated = Evaluation(
            list(hypotheses), columns, DECODING, vars(config.search), more.pop("explained", None), folder
        )
        info = {"finished": True, "updates": 600} | more.pop("info", {})
        run = Run(folder, config, info)
        return replace(EvaluatedRun(run, evaluated, logged(run), info.get("parameters") or parameters(run)), **more)

    return make
