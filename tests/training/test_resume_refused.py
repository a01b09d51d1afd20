"""Runs that are not resumed: the message is one sentence, and the run stays as it was."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from seq2seq.errors import ConfigError, RunError
from seq2seq.launch.compose import compose_config
from seq2seq.runs.directory import Run, locked
from seq2seq.training.resume import resume


def resumed(run: Path, *more: str) -> Path:
    return resume(compose_config([f"resume={run}", *more]))


REFUSED = {
    "seed=2": ("seed", "1", "2"),
    "model=transformer": ("model.name", "rnn", "transformer"),
    "model/attention=local_p": ("model.attention.window", "everywhere", "local_p"),
    "model.hidden=16": ("model.hidden", "8", "16"),
    "data=multi30k": ("data.name", "mine", "multi30k"),
    "data.max_words=9": ("data.max_words", "250", "9"),
    "tokenizer=bpe": ("tokenizer.kind", "unigram", "bpe"),
    "training=sgd": ("training.normalization", "tokens", "sentences"),
    "training.learning_rate=0.5": ("training.learning_rate", "0.001", "0.5"),
    "training.keep=9": ("training.keep", "3", "9"),
    "trainer.precision=bf16": ("trainer.precision", "32", "bf16"),
    "search.beam=3": ("search.beam", "2", "3"),
    "runs=elsewhere": ("runs", "runs", "elsewhere"),
    "experiment=multi30k_rnn": ("variant", "", "multi30k_rnn"),
}


@pytest.mark.parametrize("word", REFUSED)
def test_changed_setting_is_refused_with_both_values(word: str, tiny_run: Path) -> None:
    name, before, now = REFUSED[word]
    with pytest.raises(ConfigError) as caught:
        resumed(tiny_run, word)
    message = str(caught.value)
    assert f"{name}={now}" in message
    assert before in message
    assert "\n" not in message


def test_finished_run_is_refused(run_copy: Path) -> None:
    before = {path: path.read_bytes() for path in run_copy.rglob("*") if path.is_file()}
    for words in ([], ["training.max_updates=4"], ["training.patience=9"]):
        with pytest.raises(RunError, match=r"is finished: training\.max_updates=\d is reached; raise"):
            resumed(run_copy, *words)
    assert {path: path.read_bytes() for path in run_copy.rglob("*") if path.is_file()} == before
    with pytest.raises(ConfigError, match="training has no end"):
        resumed(run_copy, "training.max_updates=0", "training.patience=0")


@pytest.mark.parametrize("name", ["checkpoints", "tensorboard"])
def test_links_that_lead_out_of_the_run_are_refused(name: str, run_copy: Path, tmp_path: Path) -> None:
    """Training would write there, and remove old weights that are not its own."""
    theirs = tmp_path / "theirs"
    shutil.copytree(run_copy / "checkpoints", theirs)
    (theirs / "update-999.safetensors").write_text("dear")
    shutil.rmtree(run_copy / name, ignore_errors=True)
    (run_copy / name).symlink_to(theirs)
    before = {path: path.read_bytes() for path in theirs.iterdir()}
    with pytest.raises(RunError, match=f"{name} leads out of the run"):
        resumed(run_copy, "training.max_updates=9")
    assert {path: path.read_bytes() for path in theirs.iterdir()} == before


def test_changed_text_is_refused(run_copy: Path, corpus: Path, tmp_path: Path) -> None:
    for path in corpus.iterdir():
        text = path.read_text().replace("a", "o") if path.name == "train.en" else path.read_text()
        (tmp_path / path.name).write_text(text)
    with pytest.raises(RunError, match=r"is not what .* was trained on"):
        resumed(run_copy, "training.max_updates=9", f"data.root={tmp_path}")


def test_damaged_checkpoint_is_refused(run_copy: Path) -> None:
    path = run_copy / "checkpoints" / "last.ckpt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"last\.ckpt cannot be read"):
        resumed(run_copy, "training.max_updates=9")


def test_checkpoint_of_another_program_is_refused(run_copy: Path) -> None:
    torch.save({"callbacks": {}, "loops": {}}, run_copy / "checkpoints" / "last.ckpt")
    path = run_copy / "checkpoints" / "last.ckpt"
    with pytest.raises(RunError, match=re.escape(f"{path} is not a checkpoint of this package")):
        resumed(run_copy, "training.max_updates=9")


def test_weights_without_a_checkpoint_are_not_overwritten(run_copy: Path) -> None:
    (run_copy / "checkpoints" / "last.ckpt").unlink()
    before = {path: path.read_bytes() for path in run_copy.rglob("*") if path.is_file()}
    for words in ([], ["training.max_updates=9"]):
        with pytest.raises(RunError, match=r"has weights but no checkpoints/last\.ckpt to resume from; init_from="):
            resumed(run_copy, *words)
    assert {path: path.read_bytes() for path in run_copy.rglob("*") if path.is_file()} == before


def test_checkpoint_of_another_run_is_refused(run_copy: Path, trained: Callable[..., Path]) -> None:
    shutil.copy(trained("seed=2") / "checkpoints" / "last.ckpt", run_copy / "checkpoints")
    with pytest.raises(RunError, match=r"last\.ckpt is the checkpoint of another run"):
        resumed(run_copy, "training.max_updates=9")


def test_only_one_process_trains_in_a_directory(trained: Callable[..., Path]) -> None:
    run = trained("training.max_updates=2")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with locked(run), pytest.raises(RunError, match="is being trained by another process"):
        resumed(run, "training.max_updates=4")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert Run.open(resumed(run, "training.max_updates=4")).info["updates"] == 4
