"""The largest batches are tried before the first update; what does not fit is one sentence, and leaves no run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq.config import Config
from seq2seq.data.batching import BatchOptions, TrainBatches, eval_batches, largest_eval_batch
from seq2seq.data.prepare import prepare
from seq2seq.errors import ConfigError
from seq2seq.nn.interface import Loss
from seq2seq.training import trial
from seq2seq.training.module import TrainingModule
from seq2seq.training.run import train


def test_batch_that_would_not_fit_is_one_sentence_and_leaves_no_run(
    small_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "free_memory", lambda device: 40 << 10)
    monkeypatch.setattr(trial, "memory_taken", lambda module, batch: 1000.0 * batch.padded)
    with pytest.raises(ConfigError) as caught:
        train(small_config(tmp_path / "runs", "training.accumulate=2"))
    assert str(caught.value).startswith("training.batch_tokens=256 is too large: a batch of 2")
    assert str(caught.value).endswith(
        "set training.batch_tokens=32 and training.accumulate=16 for updates of the same size"
    )
    assert list((tmp_path / "runs").iterdir()) == []


def test_accelerator_tries_smaller_parts_until_one_fits(
    small_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses, tried = TrainingModule.losses, list[tuple[int, bool]]()

    def little(self: TrainingModule, batch: Any) -> Loss:
        tried.append((batch.padded, torch.is_inference_mode_enabled()))
        if batch.padded > 100:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return losses(self, batch)

    monkeypatch.setattr(TrainingModule, "losses", little)
    monkeypatch.setattr(trial, "asynchronous", lambda x: True)
    with pytest.raises(
        ConfigError, match=r"fills the memory; set training\.batch_tokens=64 and training\.accumulate=4"
    ):
        train(small_config(tmp_path))
    assert [inference for _, inference in tried] == [False, False, False, True]
    assert tried[0][0] > 200


def test_largest_batches_are_those_of_the_most_padded_tokens(
    small_config: Callable[..., Config], tmp_path: Path
) -> None:
    config = small_config(tmp_path)
    prepared = prepare(config.data, config.tokenizer)
    batches = TrainBatches(prepared.train, 128, 1, BatchOptions(multiple=2))
    found = batches.largest()
    assert found.padded == max(batch.padded for batch in batches)
    assert found.target_out.max() > 2
    dev = largest_eval_batch(prepared.dev, 128, max_length=100)
    assert dev.padded == max(batch.padded for batch in eval_batches(prepared.dev, 128, max_length=100))


def test_trial_leaves_no_gradient_and_no_random_number(trained: Callable[..., Path], monkeypatch: Any) -> None:
    """Weights are those of a training without it, dropout on."""
    words = ("model.dropout=0.3", "training.max_updates=2", "training.validate_every=2", "training.monitor=loss")
    before = (trained(*words) / "weights.safetensors").read_bytes()
    monkeypatch.setattr(trial, "asynchronous", lambda x: True)
    assert (trained(*words) / "weights.safetensors").read_bytes() == before


@pytest.mark.slow
def test_memory_is_about_proportional_to_the_rows(small_config: Callable[..., Config], tmp_path: Path) -> None:
    from seq2seq.config import RNNConfig
    from seq2seq.nn.build import build_model
    from tests.training.test_module import copy_task, module_of

    module = module_of(build_model(RNNConfig(embedding=64, hidden=256), 4000, 4000))
    few, many = (trial.memory_taken(module, copy_task(rows, vocabulary=4000, longest=40)) for rows in (100, 400))
    assert 2 * few < many < 8 * few
