"""Are averages averages, and are the checkpoints kept that should be?"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from seq2seq.launch.compose import compose_config
from seq2seq.runs.directory import Run
from seq2seq.runs.weights import save_weights
from seq2seq.training.averaging import MovingAverage, mean_weights
from seq2seq.training.validation import CheckpointKeeper


def test_the_moving_average_follows_its_formula() -> None:
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


def fail_if(condition: bool) -> None:
    if condition:
        raise ValueError("in place")


def test_the_moving_average_takes_the_models_place_and_gives_it_back() -> None:
    model = nn.Linear(3, 2)
    average = MovingAverage(model, 0.9)
    mean = {name: value.clone() for name, value in average.weights.items()}
    with torch.no_grad():
        model.weight.add_(1)
    own = model.weight.detach().clone()
    with pytest.raises(ValueError, match="in place"), average.in_place():
        fail_if(torch.equal(model.weight, mean["weight"]))
    assert torch.equal(model.weight, own)
    assert torch.equal(average.weights["weight"], mean["weight"])


def test_the_mean_of_checkpoints_is_numpys(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.safetensors" for i in range(3)]
    for path in paths:
        save_weights({"a": torch.randn(4, 3), "b": torch.randn(5)}, path)
    mean = mean_weights(paths)
    for name in ("a", "b"):
        expected = np.mean([load_file(path)[name].astype(np.float64) for path in paths], axis=0)
        np.testing.assert_allclose(mean[name].numpy(), expected, rtol=1e-6, atol=1e-7)


SCORES = {1: 3.0, 2: 9.0, 3: 1.0, 4: 7.0, 5: 8.0, 6: 2.0, 7: 9.0}
CASES = [
    ("none", 1, [2], {2}), ("none", 3, [2], {2, 5, 7}), ("best", 3, [2, 7, 5], {2, 5, 7}),
    ("last", 2, [6, 7], {2, 7, 6}), ("last", 1, [7], {2, 7}),
]  # fmt: skip


@pytest.mark.parametrize(("average", "keep", "chosen", "files"), CASES)
def test_exactly_the_wanted_checkpoints_are_kept(
    average: str, keep: int, chosen: list[int], files: set[int], tmp_path: Path
) -> None:
    kept, model = CheckpointKeeper(tmp_path, keep, average), nn.Linear(1, 1)
    best = []
    for update, score in SCORES.items():
        nn.init.constant_(model.weight, update)
        best.append(kept.add(update, score, 1.0, model))
        kept.drop()
    assert best == [True, True, False, False, False, False, False]
    assert kept.chosen() == chosen
    assert {int(path.stem.removeprefix("update-")) for path in (tmp_path / "checkpoints").iterdir()} == files
    assert all(load_file(kept.path(update))["weight"] == update for update in files)
    assert load_file(tmp_path / "weights.safetensors")["weight"] == 2


def test_of_equal_scores_the_lower_dev_loss_is_better(tmp_path: Path) -> None:
    """A model that has hardly begun has a BLEU of 0 again and again."""
    kept, model = CheckpointKeeper(tmp_path, 2, "none"), nn.Linear(1, 1)
    best = [kept.add(update, 0.0, loss, model) for update, loss in enumerate((4.0, 3.0, 3.5, 3.0, 2.0), 1)]
    assert best == [True, True, False, False, True]
    assert kept.ranked() == [5, 2]


@pytest.mark.parametrize("average", ["best", "last"])
def test_the_result_is_the_mean_of_what_was_kept(average: str, trained: Callable[..., Path]) -> None:
    run = trained(f"training.average={average}", "training.keep=2", "training.validate_every=2")
    info = Run.open(run).info
    assert len(info["weights_from"]) == 2
    assert average == "best" or info["weights_from"] == [4, 6]
    parts = [load_file(run / "checkpoints" / f"update-{update}.safetensors") for update in info["weights_from"]]
    for name, value in load_file(run / "weights.safetensors").items():
        np.testing.assert_allclose(value, (parts[0][name] + parts[1][name]) / 2, rtol=1e-6, atol=1e-8)


def test_the_moving_average_is_what_is_kept(trained: Callable[..., Path]) -> None:
    run = trained("training.ema=0.5", "training.keep=1", "training.monitor=loss")
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    saved = load_file(run / "weights.safetensors")
    assert all(
        np.array_equal(saved[name], value.numpy())
        for name, value in state["callbacks"]["Average"].items()
        if name != "updates"
    )
    assert not all(np.array_equal(saved[name], state["state_dict"][f"model.{name}"].numpy()) for name in saved)


def test_a_run_may_start_from_the_weights_of_another(
    tiny_run: Path, small: Callable[..., list[str]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from seq2seq.training.resume import resume
    from seq2seq.training.run import train

    caplog.set_level("INFO", "seq2seq")
    settings = (
        f"init_from={tiny_run}",
        "training.learning_rate=0",
        "training.max_updates=1",
        "training.label_smoothing=0.2",
    )
    run = train(compose_config(small(tmp_path, *settings)))
    ours, theirs = load_file(run / "weights.safetensors"), load_file(tiny_run / "weights.safetensors")
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    assert "differs from init_from: training.label_smoothing 0.1 -> 0.2" in caplog.text
    assert "differs from init_from: model" not in caplog.text
    begun_anew = load_file(run / "checkpoints" / "update-1.safetensors")
    for path in (
        run / "checkpoints" / "last.ckpt",
        run / "weights.safetensors",
    ):  # as if cut off before the first validation
        path.unlink()
    again = load_file(resume(compose_config([f"resume={run}"])) / "weights.safetensors")
    assert all(np.array_equal(again[name], begun_anew[name]) for name in again)


def test_weights_go_on_with_their_tokenizer_on_other_text(
    tiny_run: Path, small: Callable[..., list[str]], corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from seq2seq.runs.directory import Run
    from seq2seq.training.resume import resume
    from seq2seq.training.run import train

    other = shutil.copytree(corpus, tmp_path / "corpus")
    for side in ("en", "de"):
        (other / f"train.{side}").write_text(
            "".join(line[::-1].strip() + "\n" for line in (corpus / f"train.{side}").open())
        )
    caplog.set_level("INFO", "seq2seq")
    words = (f"init_from={tiny_run}", f"data.root={other}", "tokenizer.size=110", "training.max_updates=2")
    run = train(compose_config(small(tmp_path / "runs", *words)))
    assert "init_from brings its tokenizer: tokenizer.size=120, not 110" in caplog.text
    assert Run.open(run).vocabularies.sha256 == Run.open(tiny_run).vocabularies.sha256
    assert Run.open(run).config.tokenizer == Run.open(tiny_run).config.tokenizer
    assert Run.open(run).info["data"] != Run.open(tiny_run).info["data"]
    assert Run.open(resume(compose_config([f"resume={run}", "training.max_updates=3"]))).info["updates"] == 3


def test_weights_of_another_size_are_refused(tiny_run: Path, small: Callable[..., list[str]], tmp_path: Path) -> None:
    from seq2seq.errors import RunError
    from seq2seq.training.run import train

    with pytest.raises(RunError, match="does not fit the model"):
        train(compose_config(small(tmp_path / "runs", f"init_from={tiny_run}", "model.hidden=10")))
    assert not (tmp_path / "runs").exists()


def test_the_average_goes_where_the_model_goes():
    model = torch.nn.Linear(2, 2)
    average = MovingAverage(model, 0.9)
    model.to("meta")
    average.update()
    assert {weight.device.type for weight in average.weights.values()} == {"meta"}
