"""init_from: starting a run from the weights and tokenizer of another one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from seq2seq.config import Config
from seq2seq.config.io import flatten
from seq2seq.errors import ConfigError, RunError, Seq2SeqError
from seq2seq.launch.compose import compose_config
from seq2seq.launch.sweep import compose_jobs
from seq2seq.runs.directory import Run
from seq2seq.training.resume import resume
from seq2seq.training.run import train
from tests.settings import to_resume

SmallSettings = Callable[..., list[str]]
SmallConfig = Callable[..., Config]
OTHERS = ("model.hidden=10", "tokenizer.size=110")
DEFAULTS = ("model.hidden=512", "tokenizer.size=8000")


def test_run_starts_from_the_weights_of_another(
    tiny_run: Path, small_config: SmallConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "seq2seq")
    words = ("training.learning_rate=0", "training.max_updates=1", "training.label_smoothing=0.2")
    run = train(small_config(tmp_path, f"init_from={tiny_run}", *words))
    ours, theirs = load_file(run / "weights.safetensors"), load_file(tiny_run / "weights.safetensors")
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    assert "differs from init_from: training.label_smoothing 0.1 -> 0.2" in caplog.text
    assert "differs from init_from: model" not in caplog.text
    trained_before = load_file(run / "checkpoints" / "update-1.safetensors")
    for name in ("checkpoints/last.ckpt", "weights.safetensors"):  # as if interrupted before the first checkpoint
        (run / name).unlink()
    again = load_file(resume(to_resume(run)) / "weights.safetensors")
    assert all(np.array_equal(again[name], trained_before[name]) for name in again)


def test_weights_keep_their_tokenizer_on_other_text(
    tiny_run: Path, small_config: SmallConfig, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = shutil.copytree(corpus, tmp_path / "corpus")
    for side in ("en", "de"):
        (other / f"train.{side}").write_text(
            "".join(line[::-1].strip() + "\n" for line in (corpus / f"train.{side}").open())
        )
    caplog.set_level("INFO", "seq2seq")
    words = (f"init_from={tiny_run}", f"data.root={other}", "training.max_updates=1", "training.monitor=loss")
    run = train(small_config(tmp_path / "runs", *words))
    assert "differs from init_from: tokenizer" not in caplog.text
    assert Run.open(run).vocabularies.sha256 == Run.open(tiny_run).vocabularies.sha256
    assert Run.open(run).config.tokenizer == Run.open(tiny_run).config.tokenizer
    assert Run.open(run).info["data"] != Run.open(tiny_run).info["data"]
    assert Run.open(resume(to_resume(run, "training.max_updates=2"))).info["updates"] == 2


TAKEN = {  # what the user sets -> what differs from the run's model and tokenizer
    "": {},
    "model=rnn tokenizer=unigram model.attention.scorer=general": {},
    "model/attention=dot model.dropout=0.4 tokenizer.sampling=0.2": {
        "model.attention.scorer": "dot", "model.dropout": 0.4, "tokenizer.sampling": 0.2,
    },
    "experiment=demo model.hidden=8 model.embedding=8 model.dropout=0.1": {"model.dropout": 0.1},
}  # fmt: skip


@pytest.mark.parametrize("words", TAKEN)
@pytest.mark.fast(*list(TAKEN)[2:])
def test_model_and_tokenizer_are_those_of_the_run_where_the_user_sets_none(words: str, tiny_run: Path) -> None:
    saved = flatten(Run.open(tiny_run).config)
    ours = flatten(compose_config([f"init_from={tiny_run}", *words.split()]))
    parts = [name for name in saved if name.startswith(("model.", "tokenizer."))]
    assert saved["model.hidden"] == ours["model.hidden"] == 8
    assert {name: ours[name] for name in parts if ours[name] != saved[name]} == TAKEN[words]
    assert ours["training.max_updates"] != saved["training.max_updates"]


@pytest.mark.parametrize("word", [*DEFAULTS, *(pytest.param(w, marks=pytest.mark.slow) for w in OTHERS)])
def test_settings_that_do_not_fit_are_refused_by_name(
    word: str, tiny_run: Path, small_settings: SmallSettings, tmp_path: Path
) -> None:
    """Also where the user sets what happens to be the default."""
    with pytest.raises(Seq2SeqError, match=word):
        train(compose_config([*small_settings(tmp_path / "runs"), f"init_from={tiny_run}", word]))
    assert not (tmp_path / "runs").exists()


def test_another_family_is_refused(tiny_run: Path) -> None:
    with pytest.raises(ConfigError, match=r"model=transformer is given, but the weights of .* are of model=rnn"):
        compose_config([f"init_from={tiny_run}", "model=transformer"])


def test_what_is_no_run_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=str(tmp_path)):
        compose_config([f"init_from={tmp_path}"])
    for wrong in (tmp_path / "missing", tiny_run / "run.json"):
        with pytest.raises(RunError, match=str(wrong)):
            Run.open(wrong)


@pytest.mark.slow
def test_grid_takes_the_model_too(tiny_run: Path) -> None:
    configs = [config for _, config in compose_jobs([f"init_from={tiny_run}", "seed=1,2"], None)]
    assert [(config.seed, config.model.hidden, config.tokenizer.size) for config in configs] == [
        (1, 8, 200),
        (2, 8, 200),
    ]
