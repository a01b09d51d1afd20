"""Models that are resized to about model.parameters parameters."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from seq2seq.config import MODELS, AttentionConfig, Config, ModelConfig, RNNConfig, TransformerConfig
from seq2seq.config.io import differences
from seq2seq.errors import ConfigError
from seq2seq.launch.compose import compose_config, conf_dir
from seq2seq.nn.build import build_meta_model
from seq2seq.runs.directory import Run
from seq2seq.runs.weights import load_model
from seq2seq.training import footprint
from seq2seq.training.budget import SIZES, TOLERANCE, largest_within, resize_to_budget
from seq2seq.training.resume import complete
from seq2seq.training.run import train

ATTENTIONS = sorted(path.stem for path in (conf_dir() / "model" / "attention").glob("*.yaml"))
QUICK = {("rnn", "local_p"), ("transformer", "additive")}  # each is built dozens of times
VARIANTS = [
    pytest.param(family, name, marks=() if (family, name) in QUICK else pytest.mark.slow)
    for family in MODELS
    for name in ATTENTIONS
    if (family, name) != ("transformer", "coverage")
]


@cache
def variant(family: str, attention: str) -> Config:
    return compose_config([f"model={family}", f"model/attention={attention}"])


@pytest.mark.parametrize("wanted", [pytest.param(5_000_000, marks=pytest.mark.slow), 12_345_678])
@pytest.mark.parametrize(("family", "attention"), VARIANTS)
def test_every_variant_comes_near_the_budget(family: str, attention: str, wanted: int) -> None:
    composed = variant(family, attention)
    config = replace(composed, model=replace(composed.model, parameters=wanted, tie="all"))
    found = resize_to_budget(config.model, 8000, 8000)
    number = sum(p.numel() for p in build_meta_model(found, 8000, 8000).parameters())
    assert abs(number - wanted) <= TOLERANCE * wanted
    name, step = SIZES[family]
    assert [name for name, *_ in differences(config, replace(config, model=found))] == [f"model.{name}"]
    for steps in (-step, step):  # its neighbours are no nearer
        other = build_meta_model(replace(found, **{name: getattr(found, name) + steps}), 8000, 8000)
        assert abs(sum(p.numel() for p in other.parameters()) - wanted) >= abs(number - wanted)


@pytest.mark.parametrize("hidden", [2, 64, 65 * 2, 1000])
def test_number_that_can_be_reached_is_reached(hidden: int) -> None:
    model = RNNConfig(hidden=hidden)
    exact = sum(p.numel() for p in build_meta_model(model, 50, 60).parameters())
    assert resize_to_budget(replace(model, hidden=512, parameters=exact), 50, 60) == replace(model, parameters=exact)


def test_chosen_size_suits_the_heads_though_the_given_one_does_not() -> None:
    model = RNNConfig(hidden=512, parameters=3_000_000, attention=AttentionConfig(scorer="general", heads=3))
    assert resize_to_budget(model, 1000, 1000).hidden % 6 == 0


def test_model_is_unchanged_without_a_budget() -> None:
    model = RNNConfig()
    assert resize_to_budget(model, 50, 60) is model


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (
            RNNConfig(parameters=1000),
            r"model\.parameters=1,000 cannot be reached by .*hidden alone: the nearest is [\d,]+ with model\.hidden=2;",
        ),
        (
            RNNConfig(parameters=99999, encoder_hidden=300, attention=AttentionConfig(scorer="dot")),
            r"model\.parameters chooses model\.hidden, and with 4: .*not 4 and 300",
        ),
        (
            TransformerConfig(parameters=7),
            r"by model\.feedforward alone: the nearest is [\d,]+ with model\.feedforward=1;",
        ),
    ],
    ids=["too few", "another encoder", "transformer"],
)
def test_budget_that_cannot_be_reached_is_refused_with_the_nearest(model: ModelConfig, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        resize_to_budget(model, 50, 60)


def test_bisection() -> None:
    limits = (0, 1, 3, 4, 99, 100, 10**9)
    assert [largest_within(lambda n: n * n, wanted, 40) for wanted in limits] == [1, 1, 1, 2, 9, 10, 40]
    assert largest_within(lambda n: n * n, 10**9, 1) == 1


@pytest.mark.slow
def test_run_saves_the_chosen_size(small_settings: Callable[..., list[str]], tmp_path: Path) -> None:
    words = ("model.parameters=20000", "training.max_updates=1", "training.monitor=loss")
    config = compose_config(small_settings(tmp_path, *words))
    run = Run.open(train(config))
    assert abs(run.info["parameters"] - 20_000) <= 400
    assert run.info["parameters"] == sum(p.numel() for p in load_model(run).parameters())
    assert run.config.model.parameters == 20_000
    assert run.config.model.hidden == resize_to_budget(config.model, 200, 200).hidden
    assert complete(config) == (run.folder, False)
    assert compose_config([f"resume={run.folder}"]).model == run.config.model


@pytest.mark.parametrize(("family", "parameters"), [("rnn", 100_000_000), ("transformer", 100_000_000)])
@pytest.mark.fast("rnn-100000000")
def test_model_larger_than_memory_is_refused(
    family: str,
    parameters: int,
    small_config: Callable[..., Config],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = small_config(tmp_path / "runs", f"model={family}", f"model.parameters={parameters}")
    monkeypatch.setattr(footprint, "available_memory", lambda: 2**30)
    with pytest.raises(
        ConfigError, match=r"takes at least [\d.]+ GiB for [\d,]+ parameters, .*adam.* 1.0 GiB of memory"
    ):
        train(config)
    assert not (tmp_path / "runs").exists()
