"""Settings that cannot be trained with are refused before any work."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from seq2seq.config import Config, TrainingConfig
from seq2seq.data.prepare import prepare
from seq2seq.errors import ConfigError, DataError
from seq2seq.training import checks
from seq2seq.training.checks import check_folder, check_limits, check_monitor
from seq2seq.training.run import train
from tests.settings import changed

SmallConfig = Callable[..., Config]
Trained = Callable[..., Path]
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
NO_LIMITS = ("training.max_updates=0", "training.patience=0")


def test_training_without_an_end_is_refused(small_config: SmallConfig, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"training has no end: set training\.max_updates, max_epochs, max_minutes, patience or stop_at",
    ):
        train(small_config(tmp_path / "runs", *NO_LIMITS))
    assert not (tmp_path / "runs").exists()


def test_stop_at_needs_a_score_to_monitor() -> None:
    with pytest.raises(ConfigError, match=r"training\.stop_at=30 would be ignored.*training\.monitor=loss"):
        check_limits(TrainingConfig(stop_at=30, monitor="loss"))


@pytest.mark.parametrize("setting", ["runs", "data.cache"])
def test_folder_that_cannot_be_created_is_refused(setting: str, small_config: SmallConfig, tmp_path: Path) -> None:
    """The message names the setting, and nothing is created."""
    (tmp_path / "file").write_text("dear")
    config = small_config(tmp_path, "data.train=[nowhere]", "data.dev=[nowhere]", f"{setting}={tmp_path}/file/below")
    with pytest.raises(
        ConfigError, match=f"{setting}={tmp_path}/file/below cannot be written to: {tmp_path}/file is not a folder"
    ):
        train(config)
    assert (tmp_path / "file").read_text() == "dear"
    check_folder(setting, tmp_path / "not" / "yet")
    check_folder(setting, Path("not/yet"))
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file"]


def test_rouge_is_refused_for_a_script_that_it_does_not_read(
    small_config: SmallConfig, corpus: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(corpus, tmp_path / "corpus")
    (other / "dev.de").write_text("кот спит\n" * 12, encoding="utf-8")
    with pytest.raises(DataError, match=r"token in any reference .*training.rouge_tokenizer.* or take chrf"):
        train(small_config(tmp_path / "runs", f"data.root={other}", "training.monitor=rouge"))
    assert not (tmp_path / "runs").exists()


def test_rouge_is_accepted_if_one_decoded_reference_can_be_read(
    small_config: SmallConfig, corpus: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(corpus, tmp_path / "corpus")
    for name, last in (("dev.de", "die Katze schläft"), ("dev.en", "the cat sleeps")):
        (other / name).write_text("кот спит\n" * 150 + last + "\n", encoding="utf-8")
    config = small_config(tmp_path, f"data.root={other}", "training.monitor=rouge")
    prepared = prepare(config.data, config.tokenizer)
    check_monitor(config, prepared)
    with pytest.raises(DataError, match="token in any reference"):  # the one that can be read is not decoded
        check_monitor(changed(config, "training.dev_lines=150"), prepared)


def test_too_few_positions_for_the_text_are_refused(small_config: SmallConfig, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"model\.max_length=5 is too small: the longest training source has \d+ tokens"
    ):
        train(small_config(tmp_path, "model.attention.scorer=location", "model.max_length=5"))
    assert not list(tmp_path.iterdir())


def test_padding_beyond_the_models_positions_is_refused(trained: Trained) -> None:
    with pytest.raises(ConfigError, match=r"training\.pad_to_multiple_of=8 does not divide model\.max_length=100"):
        trained("model.attention.scorer=location", "model.max_length=100", "training.pad_to_multiple_of=8")


@no_gpu
def test_float16_on_the_cpu_is_refused(trained: Trained) -> None:
    with pytest.raises(ConfigError, match=r"trainer.precision=16 needs a GPU; .* 32 or bf16"):
        trained("trainer.precision=16")


def test_several_devices_are_refused(trained: Trained) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.devices=2"):
        trained("trainer.devices=2")


@no_gpu
def test_missing_gpu_is_refused(trained: Trained) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.accelerator=gpu, but torch finds no GPU"):
        trained("trainer.accelerator=gpu")


@pytest.mark.parametrize("more", [[], ["trainer.accelerator=cpu"]])
def test_cuda_graphs_on_the_cpu_are_refused(trained: Trained, more: list[str]) -> None:
    if not more and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match=r"trainer\.graphs=true needs a GPU"):
        trained("trainer.accelerator=auto", "trainer.graphs=true", *more)


def test_cuda_graphs_with_float16_are_refused(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "uses_gpu", lambda trainer: True)
    with pytest.raises(ConfigError, match=r"trainer\.graphs=true does not work with trainer\.precision=16"):
        trained("trainer.graphs=true", "trainer.precision=16")


def test_update_of_more_batches_than_an_epoch_has_is_refused(small_config: SmallConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training\.accumulate=1000 is more than an epoch has batches, \d+ of"):
        train(small_config(tmp_path / "runs", "training.accumulate=1000"))
    assert not (tmp_path / "runs").exists()


def test_too_many_threads_are_refused(trained: Trained) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.threads=100000 is too large: at most 1024"):
        trained("trainer.threads=100000")
