"""The memory that a training takes is estimated before anything is built."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from seq2seq.config import Config
from seq2seq.errors import ConfigError
from seq2seq.training import footprint
from seq2seq.training.footprint import check_memory
from seq2seq.training.optim import OPTIMIZERS, OptimizerOptions
from seq2seq.training.run import train

DOMINATING = {  # settings -> those that the message names
    ("model.hidden=65536",): "model.hidden=65536",
    ("model.decoder_layers=256", "model.hidden=2048"): "model.hidden=2048 or model.decoder_layers=256",
    ("model.attention.scorer=location", "model.hidden=512", "model.max_length=1000000"): "model.max_length=1000000",
    ("model=transformer", "model.size=16384", "model.positions=rotary"): "model.size=16384",
    ("model=transformer", "model.feedforward=262144"): "model.feedforward=262144",
}


@pytest.mark.parametrize("settings", DOMINATING)
def test_message_names_the_settings_that_dominate(
    settings: tuple[str, ...], small_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footprint, "available_memory", lambda: 2**30)
    with pytest.raises(ConfigError, match=rf"takes at least [\d.,]+ GiB .* 1\.0 GiB .*: lower {DOMINATING[settings]}"):
        check_memory(small_config(Path("runs"), *settings))


def test_training_that_exceeds_the_memory_leaves_nothing(
    small_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found with the vocabulary and the batches of the text, which the settings alone do not tell."""
    free = 6_000_000
    monkeypatch.setattr(footprint, "available_memory", lambda: free)
    with pytest.raises(ConfigError, match=r"optimizer=adam, and 5\.7 MiB .*: lower model\.embedding=10000$"):
        train(small_config(tmp_path / "runs", "model.embedding=10000"))
    words = ("training.batch_tokens=5000", "model.hidden=128", "model.cell=gru")
    with pytest.raises(ConfigError, match=r"in batches of [1-4],\d+ tokens, .*: lower training\.batch_tokens=5000"):
        train(small_config(tmp_path / "runs", *words))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_states_of_the_optimizers(optimizer: str) -> None:
    """The estimate has as many floats for a parameter as the optimizer keeps, those of factored states left out."""
    weight = torch.nn.Parameter(torch.ones(64, 64))
    weight.grad = torch.ones(64, 64)
    made = OPTIMIZERS[optimizer]([weight], OptimizerOptions(0.1, 0.9, 0.9, 0.0, False))
    made.step()
    floats = sum(value.numel() for value in made.state[weight].values() if torch.is_tensor(value)) / weight.numel()
    assert footprint.STATES[optimizer] == int(floats)
