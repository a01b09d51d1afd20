"""Averages of weights: the moving average, and the mean of checkpoints."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from seq2seq.runs.directory import Run
from seq2seq.runs.weights import save_weights
from seq2seq.training.averaging import MovingAverage, mean_weights
from seq2seq.utils.files import write_json

SHORT = ("training.max_updates=3", "training.validate_every=1", "training.monitor=loss")


def test_moving_average_follows_its_formula() -> None:
    model = nn.Linear(3, 2)
    average = MovingAverage(model, 0.6)
    expected = model.weight.detach().double().clone()
    for n in range(1, 12):
        with torch.no_grad():
            model.weight.copy_(torch.randn(2, 3))
        average.update()
        decay = min(0.6, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * model.weight.detach().double()
        torch.testing.assert_close(average.weights["weight"].double(), expected, rtol=1e-6, atol=1e-6)


def test_moving_average_is_in_place_only_inside_its_context() -> None:
    model = nn.Linear(3, 2)
    average = MovingAverage(model, 0.9)
    mean = {name: value.clone() for name, value in average.weights.items()}
    with torch.no_grad():
        model.weight.add_(1)
    own = model.weight.detach().clone()
    with average.in_place():
        assert torch.equal(model.weight, mean["weight"])
    assert torch.equal(model.weight, own)
    with pytest.raises(KeyboardInterrupt), average.in_place():
        raise KeyboardInterrupt
    assert torch.equal(model.weight, own)
    assert torch.equal(average.weights["weight"], mean["weight"])


def test_mean_of_checkpoints_equals_numpys(tmp_path: Path) -> None:
    names, model = [f"{i}.safetensors" for i in range(3)], nn.Linear(4, 3)
    write_json(tmp_path / "run.json", {"tokenizer": ""})
    for name in names:
        save_weights({"weight": torch.randn(3, 4), "bias": torch.randn(3)}, tmp_path, name)
    mean = mean_weights(model, tmp_path, names)
    for name in ("weight", "bias"):
        expected = np.mean([load_file(tmp_path / file)[name].astype(np.float64) for file in names], axis=0)
        np.testing.assert_allclose(mean[name].numpy(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("average", ["best", "last"])
@pytest.mark.fast("best")
def test_result_is_the_mean_of_the_kept_checkpoints(average: str, trained: Callable[..., Path]) -> None:
    run = trained(f"training.average={average}", "training.keep=2", *SHORT)
    info = Run.open(run).info
    assert len(info["weights_from"]) == 2
    assert average == "best" or info["weights_from"] == [2, 3]
    parts = [load_file(run / "checkpoints" / f"update-{update}.safetensors") for update in info["weights_from"]]
    for name, value in load_file(run / "weights.safetensors").items():
        np.testing.assert_allclose(value, (parts[0][name] + parts[1][name]) / 2, rtol=1e-6, atol=1e-8)


def test_moving_average_is_what_is_kept(trained: Callable[..., Path]) -> None:
    run = trained("training.ema=0.5", "training.keep=1", *SHORT)
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    saved = load_file(run / "weights.safetensors")
    assert all(
        np.array_equal(saved[name], value.numpy())
        for name, value in state["callbacks"]["Average"].items()
        if name != "updates"
    )
    assert not all(np.array_equal(saved[name], state["state_dict"][f"model.{name}"].numpy()) for name in saved)


def test_average_follows_the_model_to_its_device() -> None:
    model = torch.nn.Linear(2, 2)
    average = MovingAverage(model, 0.9)
    model.to("meta")
    average.update()
    assert {weight.device.type for weight in average.weights.values()} == {"meta"}
