"""Run directories that training creates, and the model that it starts from."""

import errno
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq.config import Config, RNNConfig
from seq2seq.data.prepare import prepare
from seq2seq.errors import RunError
from seq2seq.nn.build import build_model
from seq2seq.training.run import create_directory, make_model, parameter_table, plan_training, train

SmallSettings = Callable[..., list[str]]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "tensorboard" not in path.parts}


def test_changed_text_makes_another_run(
    tiny_run: Path, small_config: Callable[..., Config], corpus: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(corpus, tmp_path / "other")
    with (other / "train.de").open("a") as de, (other / "train.en").open("a") as en:
        de.write("Noch ein Satz.\n")
        en.write("One more sentence.\n")
    run = plan_training(small_config(tiny_run.parent, f"data.root={other}")).folder
    assert run != tiny_run
    assert run.parent == tiny_run.parent
    assert run.name.rpartition("-")[0] == tiny_run.name.rpartition("-")[0]


def test_seed_determines_the_weights(small_config: Callable[..., Config], tmp_path: Path) -> None:
    configs = [small_config(tmp_path, f"seed={seed}") for seed in (1, 1, 2)]
    prepared = prepare(configs[0].data, configs[0].tokenizer)
    one, same, other = (
        [p.detach().clone() for p in make_model(config, prepared, None).parameters()] for config in configs
    )
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert all(not torch.equal(a, b) for a, b in zip(one, other, strict=True) if a.dim() > 1)


def test_shared_parameters_are_counted_once() -> None:
    model = build_model(RNNConfig(tie="all", embedding=8, hidden=8), 20, 20)
    assert parameter_table(model)[-1].split() == ["all", f"{sum(p.numel() for p in model.parameters()):,}"]


@pytest.mark.slow
def test_log_says_after_the_parameters_what_rules_out_an_export(
    trained: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    sizes = ("model.size=8", "model.heads=2", "model.feedforward=8", "training.max_updates=1")
    with caplog.at_level(logging.INFO, "seq2seq"):
        trained("model=transformer", *sizes, "model/attention=additive")
    lines = caplog.messages
    (place,) = (i for i, line in enumerate(lines) if "rules out" in line)
    assert lines[place].startswith("model.attention.scorer=additive rules out exports to CTranslate2, ")
    assert lines[place - 1].split()[0] == "all"


def test_existing_run_is_neither_overwritten_nor_restarted(
    tiny_run: Path, small_config: Callable[..., Config], run_copy: Path
) -> None:
    before = contents(tiny_run)
    with pytest.raises(RunError, match=f"{tiny_run} exists and is finished"):
        train(small_config(tiny_run.parent))
    assert contents(tiny_run) == before
    info = run_copy / "run.json"
    info.write_text(info.read_text().replace('"finished": true', '"finished": false'))
    with pytest.raises(RunError, match=f"{run_copy} exists and is not finished: resume={run_copy} resumes it"):
        train(small_config(run_copy.parent))


def test_second_of_two_simultaneous_starts_leaves_the_first_alone(
    tiny_run: Path, small_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory appears between the check and the moment when this process puts its own in place."""
    runs = tmp_path / "runs"

    def slow(plan: Any) -> bool:
        shutil.copytree(tiny_run, plan.folder)
        return create_directory(plan)

    monkeypatch.setattr("seq2seq.training.run.create_directory", slow)
    with pytest.raises(RunError, match=f"{tiny_run.name} exists and is finished"):
        train(small_config(runs))
    assert [path.name for path in runs.iterdir()] == [tiny_run.name]
    assert {p.name: b for p, b in contents(runs).items()} == {p.name: b for p, b in contents(tiny_run).items()}


def test_failed_start_leaves_no_directory(
    small_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "a file")

    monkeypatch.setattr("seq2seq.training.run.write_json", fail)
    with pytest.raises(OSError, match="No space left"):
        train(small_config(tmp_path))
    assert not list(tmp_path.iterdir())
