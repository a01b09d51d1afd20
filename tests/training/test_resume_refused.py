"""Runs that are not resumed: the message is one sentence, and the run stays as it was."""

import math
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq.config import Config
from seq2seq.config.io import every_setting
from seq2seq.errors import ConfigError, RunError
from seq2seq.launch.compose import compose_config
from seq2seq.nn.build import build_meta_model, build_model
from seq2seq.runs.directory import LAST, WEIGHTS, Run, locked
from seq2seq.training.checkpoint import read_checkpoint
from seq2seq.training.optim import OPTIMIZERS, OptimizerOptions, parameter_groups
from seq2seq.training.resume import resume
from seq2seq.training.saved_state import described, first_wrong_part
from seq2seq.utils.files import write_json
from tests.settings import changed, to_resume


def contents(run: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def resumed(run: Path, *more: str) -> Path:
    return resume(to_resume(run, *more))


def composed(run: Path, *more: str) -> Config:
    return compose_config([f"resume={run}", *more])


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


SLOW = {"model.hidden=16", "data.max_words=9", "training=sgd", "training.keep=9", "search.beam=3", "tokenizer=bpe"}


@pytest.mark.parametrize(
    "word", [pytest.param(word, marks=pytest.mark.slow if word in SLOW else ()) for word in REFUSED]
)
def test_changed_setting_is_refused_with_both_values(word: str, tiny_run: Path) -> None:
    name, before, now = REFUSED[word]
    refuse: Callable[..., object] = resumed if word.partition("=")[0] in every_setting() else composed  # a group
    with pytest.raises(ConfigError) as caught:
        refuse(tiny_run, word)
    message = str(caught.value)
    assert f"{name}={now}" in message
    assert before in message
    assert "\n" not in message


def test_finished_run_is_refused(run_copy: Path) -> None:
    before = contents(run_copy)
    for words in ([], ["training.max_updates=4"], ["training.patience=9"]):
        with pytest.raises(RunError, match=r"is finished: training\.max_updates=\d is reached; raise"):
            resumed(run_copy, *words)
    assert contents(run_copy) == before
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


@pytest.mark.parametrize("more", [["model.dropout=2"], ["training.max_updates=9", "model.attention.scorer=dot"]])
def test_architecture_stays_even_where_it_could_not_work(more: list[str], tiny_run: Path) -> None:
    """Rather than that the new one is impossible."""
    with pytest.raises(ConfigError, match=r"the run was started with .*; init_from=\S+ starts a new run"):
        composed(tiny_run, "model.hidden=3", *more)


def parts(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every part of a checkpoint."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, part in entries:
        yield (*place, key)
        yield from parts(part, (*place, key))


def with_change(value: Any, place: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    """A copy of nested values in which the part at `place` is removed if `change` returns REMOVED, else replaced."""
    if not place:
        return change(value)
    entries = dict(value) if isinstance(value, dict) else dict(enumerate(value))
    entries[place[0]] = with_change(entries[place[0]], place[1:], change)
    kept = {key: part for key, part in entries.items() if part is not REMOVED}
    return kept if isinstance(value, dict) else list(kept.values())


def without_first_column(value: Any) -> Any:
    return value[..., 1:] if isinstance(value, torch.Tensor) and value.dim() else REMOVED


REMOVED = object()
CHANGES: dict[str, Callable[[Any], Any]] = {
    "removed": lambda value: REMOVED,
    "text": lambda value: REMOVED if isinstance(value, str) else "7",
    "smaller": without_first_column,
    "nan": lambda value: value * math.nan if isinstance(value, torch.Tensor) and value.dim() else math.nan,
    "empty": lambda value: type(value)() if isinstance(value, dict | list) and value else REMOVED,
}
# neither torch nor Lightning nor this package reads them in training
UNUSED = re.compile(
    r"epoch|callbacks\.Checkpoint(\.run)?|callbacks\.Validation\.scores\.\d|loops\.(validate|test|predict)_loop.*|loops\.fit_loop\.(state_dict|.*val_loop.*|.*manual_optimization.*)"
    r"|.*\.(checksum|multiple)|optimizer_states\.0\.param_groups\.\d\.(foreach|maximize|capturable|differentiable|fused"
    r"|amsgrad|decoupled_weight_decay)|lr_schedulers\.0\.(_is_initial|_get_lr_called_within_step|verbose)|.*exp_avg(_sq)?"
)


@pytest.mark.parametrize("change", CHANGES)
def test_checkpoint_without_a_part_is_refused(change: str, tiny_run: Path) -> None:
    """Or with another kind of value in its place. Some are only refused later, or not at all, for a good reason."""
    run = Run.open(tiny_run)
    whole = read_checkpoint(tiny_run / LAST)
    model = build_meta_model(run.config.model, run.vocabularies.source.size, run.vocabularies.target.size)
    wanted = described(run.config, model, whole)
    assert first_wrong_part(whole, wanted) is None
    places = list(parts(whole))
    assert len(places) > 200
    for place in places:
        damaged = with_change(whole, place, CHANGES[change])
        name = ".".join(map(str, place))
        read = place[-1] in ("global_step", "last")  # to make the description, which takes much longer than the check
        if first_wrong_part(damaged, described(run.config, model, damaged) if read else wanted) is None:
            assert UNUSED.fullmatch(name), name


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_of_every_optimizer_is_as_described(name: str, tiny_run: Path) -> None:
    run = Run.open(tiny_run)
    config = changed(run.config, f"training.optimizer={name}")
    model = build_model(config.model, run.vocabularies.source.size, run.vocabularies.target.size)
    options = OptimizerOptions(0.1, 0.9, 0.9, 0.0, False)
    optimizer = OPTIMIZERS[name](parameter_groups(model, 0.0, 0.1), options)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: 1.0)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    checkpoint = read_checkpoint(tiny_run / LAST) | {"optimizer_states": [optimizer.state_dict()]}
    assert first_wrong_part(checkpoint, described(config, model, checkpoint)) is None


DAMAGED: dict[str, Callable[[Path], object]] = {
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:1000]),
    "another program's": lambda path: torch.save({"callbacks": {}, "loops": {}}, path),
    "a list": lambda path: torch.save([1, 2], path),
    "no optimizer": lambda path: torch.save(torch.load(path, weights_only=True) | {"optimizer_states": []}, path),
    "kept weights missing": lambda path: (path.parent / "update-6.safetensors").unlink(),
    "kept weights damaged": lambda path: (path.parent / "update-6.safetensors").write_text("no weights"),
    "a folder for the log": lambda path: [f := path.parents[1] / "log.txt", f.unlink(), f.mkdir()],
    "a file for the folder of TensorBoard": lambda path: [
        f := path.parents[1] / "tensorboard",
        shutil.rmtree(f, ignore_errors=True),
        f.write_text("dear"),
    ],
    "metrics": lambda path: (path.parents[1] / "metrics.csv").write_text("update,loss\nsix,7\n"),
}


ADVISED = ("metrics", "a folder for the log", "a file for the folder of TensorBoard")  # by the place that they name


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_run_is_refused_and_left_as_it_was(damage: str, run_copy: Path) -> None:
    """Its results stay in run.json, and the message names what to do instead."""
    DAMAGED[damage](run_copy / LAST)
    before = contents(run_copy)
    with pytest.raises(RunError) as caught:
        resumed(run_copy, "training.max_updates=9")
    assert str(run_copy / "") in str(caught.value)
    assert damage in ADVISED or f"init_from={run_copy} starts a new run" in str(caught.value)
    assert contents(run_copy) == before


def test_damaged_checkpoint_without_weights(run_copy: Path) -> None:
    """The advice works."""
    (run_copy / WEIGHTS).unlink()
    (run_copy / LAST).write_text("no checkpoint")
    with pytest.raises(RunError, match=re.escape(f"delete {run_copy / LAST} and resume again")):
        resumed(run_copy)
    (run_copy / LAST).unlink()
    assert Run.open(resumed(run_copy, "training.max_updates=1")).info["updates"] == 1


def test_weights_without_a_checkpoint_are_not_overwritten(run_copy: Path) -> None:
    (run_copy / "checkpoints" / "last.ckpt").unlink()
    before = contents(run_copy)
    for words in ([], ["training.max_updates=9"]):
        with pytest.raises(RunError, match=r"has weights but no checkpoints/last\.ckpt to resume from; init_from="):
            resumed(run_copy, *words)
    assert contents(run_copy) == before


def test_checkpoint_of_another_run_is_refused(run_copy: Path) -> None:
    write_json(run_copy / "run.json", Run.open(run_copy).info | {"id": "another"})
    with pytest.raises(RunError, match=r"last\.ckpt is the checkpoint of another run"):
        resumed(run_copy, "training.max_updates=9")


def test_only_one_process_trains_in_a_directory(run_copy: Path) -> None:
    before = contents(run_copy)
    with locked(run_copy), pytest.raises(RunError, match="is being trained by another process"):
        resumed(run_copy, "training.max_updates=7")
    assert contents(run_copy) == before
    assert Run.open(resumed(run_copy, "training.max_updates=7")).info["updates"] == 7
