"""init_from: starting a run from the weights and tokenizer of another one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from seq2seq.errors import RunError
from seq2seq.launch.compose import compose_config
from seq2seq.runs.directory import Run
from seq2seq.training.resume import resume
from seq2seq.training.run import train

SmallSettings = Callable[..., list[str]]


def test_run_starts_from_the_weights_of_another(
    tiny_run: Path, small_settings: SmallSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "seq2seq")
    words = ("training.learning_rate=0", "training.max_updates=1", "training.label_smoothing=0.2")
    run = train(compose_config(small_settings(tmp_path, f"init_from={tiny_run}", *words)))
    ours, theirs = load_file(run / "weights.safetensors"), load_file(tiny_run / "weights.safetensors")
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    assert "differs from init_from: training.label_smoothing 0.1 -> 0.2" in caplog.text
    assert "differs from init_from: model" not in caplog.text
    trained_before = load_file(run / "checkpoints" / "update-1.safetensors")
    for name in ("checkpoints/last.ckpt", "weights.safetensors"):  # as if interrupted before the first checkpoint
        (run / name).unlink()
    again = load_file(resume(compose_config([f"resume={run}"])) / "weights.safetensors")
    assert all(np.array_equal(again[name], trained_before[name]) for name in again)


def test_weights_keep_their_tokenizer_on_other_text(
    tiny_run: Path, small_settings: SmallSettings, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = shutil.copytree(corpus, tmp_path / "corpus")
    for side in ("en", "de"):
        (other / f"train.{side}").write_text(
            "".join(line[::-1].strip() + "\n" for line in (corpus / f"train.{side}").open())
        )
    caplog.set_level("INFO", "seq2seq")
    words = (f"init_from={tiny_run}", f"data.root={other}", "tokenizer.size=110", "training.max_updates=2")
    run = train(compose_config(small_settings(tmp_path / "runs", *words)))
    assert "init_from brings its tokenizer: tokenizer.size=120, not 110" in caplog.text
    assert Run.open(run).vocabularies.sha256 == Run.open(tiny_run).vocabularies.sha256
    assert Run.open(run).config.tokenizer == Run.open(tiny_run).config.tokenizer
    assert Run.open(run).info["data"] != Run.open(tiny_run).info["data"]
    assert Run.open(resume(compose_config([f"resume={run}", "training.max_updates=3"]))).info["updates"] == 3


def test_weights_of_another_size_are_refused(tiny_run: Path, small_settings: SmallSettings, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="does not fit the model"):
        train(compose_config(small_settings(tmp_path / "runs", f"init_from={tiny_run}", "model.hidden=10")))
    assert not (tmp_path / "runs").exists()
