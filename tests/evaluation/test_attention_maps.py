"""Attention maps of finished translations equal those of the search that found them."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seq2seq.config import AttentionConfig, ModelConfig, RNNConfig, TransformerConfig
from seq2seq.config.io import write_config
from seq2seq.evaluation import attention_maps
from seq2seq.evaluation.attention_maps import AttentionMap, attention_health, compute_attention_maps
from seq2seq.ids import EOS
from seq2seq.nn.build import build_model
from seq2seq.runs.directory import Run
from seq2seq.runs.weights import save_weights
from seq2seq.translator import Translation, Translator

RandomRun = Callable[..., Path]
RunOf = Callable[[ModelConfig], Path]
FAMILIES = ("rnn", "transformer")
COPYING = ("model.head=copy", "tokenizer=word", "tokenizer.size=40")


def rnn(**attention: Any) -> RNNConfig:
    return RNNConfig(embedding=8, hidden=8, attention=AttentionConfig(**attention))


def transformer(heads: int = 2, **attention: Any) -> TransformerConfig:
    sizes = {"size": 16, "feedforward": 16, "encoder_layers": 1, "decoder_layers": 2}
    return TransformerConfig(**sizes, heads=heads, attention=AttentionConfig(**attention))  # type: ignore[arg-type]


@pytest.fixture
def run_of(random_run: RandomRun, tmp_path: Path) -> Callable[[ModelConfig], Path]:
    """`run_of(model)`: a run directory with such a model of random weights, which was never trained."""

    def make(model: ModelConfig) -> Path:
        run = Path(shutil.copytree(random_run(), tmp_path / "run"))
        opened = Run.open(run)
        write_config(replace(opened.config, model=model), run / "config.yaml")
        torch.manual_seed(3)
        both = opened.vocabularies
        weights = dict(build_model(model, both.source.size, both.target.size).named_parameters())
        weights = {name: 0.5 * torch.randn_like(weight) for name, weight in weights.items()}
        weights["head.output.bias"][EOS] = 1.0
        save_weights(weights, run)
        return run

    return make


def best_of(translator: Translator, lines: list[str], attention: bool = False) -> list[Translation]:
    return [alternatives[0] for alternatives in translator.hypotheses(lines, attention=attention)]


def maps_of(translator: Translator, lines: list[str]) -> list[AttentionMap]:
    maps = [attention for _, attention in compute_attention_maps(translator, best_of(translator, lines))]
    assert len(maps) == sum(bool(line.strip()) for line in lines)
    return maps


@pytest.mark.parametrize("family", ["rnn", "copying", "transformer"])
def test_weights_equal_those_of_the_search(
    family: str, random_run: RandomRun, run_of: RunOf, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches or one by one; empty lines have no map."""
    run = run_of(transformer()) if family == "transformer" else random_run(*COPYING * (family == "copying"))
    translator = Translator.open(run)
    translations = best_of(translator, lines, attention=True)
    for max_weights in (attention_maps.MAX_WEIGHTS, 1):
        monkeypatch.setattr(attention_maps, "MAX_WEIGHTS", max_weights)
        maps = dict(compute_attention_maps(translator, translations))
        assert sorted(maps) == [i for i, line in enumerate(lines) if line.strip()]
        for i, attention in maps.items():
            np.testing.assert_allclose(attention.weights, translations[i].attention, atol=1e-5)
            assert attention.weights.shape == (len(translations[i].target), len(translations[i].source))
            assert attention.centers is None


def test_transformer_has_a_map_per_layer_and_head(run_of: RunOf, lines: list[str]) -> None:
    """The weights are the mean over the last layer's heads."""
    for attention in maps_of(Translator.open(run_of(transformer())), lines):
        assert attention.maps is not None
        assert attention.maps.shape == (2, 2, *attention.weights.shape)
        np.testing.assert_allclose(attention.maps.sum(-1), 1, atol=1e-5)
        np.testing.assert_allclose(attention.maps[-1].mean(0), attention.weights, atol=1e-6)


def test_single_head_is_not_stored_twice(random_run: RandomRun, lines: list[str]) -> None:
    assert all(attention.maps is None for attention in maps_of(Translator.open(random_run()), lines))


def test_ensemble_has_mean_weights_and_no_single_maps(run_of: RunOf, lines: list[str]) -> None:
    run = run_of(transformer())
    one, two = Translator.open(run), Translator.open(run, run)
    translations = best_of(one, lines)
    alone, together = dict(compute_attention_maps(one, translations)), dict(compute_attention_maps(two, translations))
    assert together.keys() == alone.keys()
    for i, attention in together.items():
        np.testing.assert_allclose(attention.weights, alone[i].weights, atol=1e-6)
        assert attention.maps is None


@pytest.mark.parametrize("model", [rnn(window="local_p", heads=2), transformer(window="local_p")], ids=FAMILIES)
def test_several_heads_have_no_common_centre(model: ModelConfig, run_of: RunOf, lines: list[str]) -> None:
    """The mean of a centre at one end and one at the other is in the middle, where no head attends."""
    run = run_of(model)
    assert all(attention.centers is None for attention in maps_of(Translator.open(run), lines))
    assert not attention_health(Run.open(run).config.model).learned


@pytest.mark.parametrize(
    "model", [rnn(window="local_p", width=1), transformer(heads=1, window="local_p", width=1)], ids=FAMILIES
)
def test_predicted_centres(model: ModelConfig, run_of: RunOf, lines: list[str]) -> None:
    """A centre per step, in source positions: there is no weight further than D from it."""
    translator = Translator.open(run_of(model))
    translations = best_of(translator, lines)
    for i, attention in compute_attention_maps(translator, translations):
        assert attention.centers is not None
        assert attention.centers.shape == (len(translations[i].target),)
        assert (attention.centers >= 0).all()
        assert (attention.centers <= len(translations[i].source)).all()
        distance = np.abs(np.arange(len(translations[i].source)) - attention.centers[:, None])
        assert (attention.weights[distance > 1.001] == 0).all()
