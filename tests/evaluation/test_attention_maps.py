"""Attention maps of finished translations equal those of the search that found them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seq2seq.evaluation import attention_maps
from seq2seq.evaluation.attention_maps import AttentionMap, attention_health, compute_attention_maps
from seq2seq.runs.directory import Run
from seq2seq.translator import Translation, Translator

RandomRun = Callable[..., Path]
TRANSFORMER = ("model=transformer", "model.size=16", "model.heads=2", "model.feedforward=16", "model.decoder_layers=2")
FAMILIES = {
    "rnn": (),
    "copying": ("model.head=copy", "tokenizer=word", "tokenizer.size=40"),
    "transformer": TRANSFORMER,
}
HEADS = {"rnn": "model.attention.heads", "transformer": "model.heads"}


def best_of(translator: Translator, lines: list[str], attention: bool = False) -> list[Translation]:
    return [alternatives[0] for alternatives in translator.hypotheses(lines, attention=attention)]


def maps_of(translator: Translator, lines: list[str]) -> list[AttentionMap]:
    maps = [attention for _, attention in compute_attention_maps(translator, best_of(translator, lines))]
    assert len(maps) == sum(bool(line.strip()) for line in lines)
    return maps


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_equal_those_of_the_search(
    family: str, random_run: RandomRun, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches or one by one; empty lines have no map."""
    translator = Translator.open(random_run(*FAMILIES[family]))
    translations = best_of(translator, lines, attention=True)
    for max_weights in (attention_maps.MAX_WEIGHTS, 1):
        monkeypatch.setattr(attention_maps, "MAX_WEIGHTS", max_weights)
        maps = dict(compute_attention_maps(translator, translations))
        assert sorted(maps) == [i for i, line in enumerate(lines) if line.strip()]
        for i, attention in maps.items():
            np.testing.assert_allclose(attention.weights, translations[i].attention, atol=1e-5)
            assert attention.weights.shape == (len(translations[i].target), len(translations[i].source))
            assert attention.centers is None


def test_transformer_has_a_map_per_layer_and_head(random_run: RandomRun, lines: list[str]) -> None:
    """The weights are the mean over the last layer's heads."""
    for attention in maps_of(Translator.open(random_run(*TRANSFORMER)), lines):
        assert attention.maps is not None
        assert attention.maps.shape == (2, 2, *attention.weights.shape)
        np.testing.assert_allclose(attention.maps.sum(-1), 1, atol=1e-5)
        np.testing.assert_allclose(attention.maps[-1].mean(0), attention.weights, atol=1e-6)


def test_single_head_is_not_stored_twice(random_run: RandomRun, lines: list[str]) -> None:
    assert all(attention.maps is None for attention in maps_of(Translator.open(random_run()), lines))


def test_ensemble_has_mean_weights_and_no_single_maps(random_run: RandomRun, lines: list[str]) -> None:
    run = random_run(*TRANSFORMER)
    one, two = Translator.open(run), Translator.open(run, run)
    translations = best_of(one, lines)
    alone, together = dict(compute_attention_maps(one, translations)), dict(compute_attention_maps(two, translations))
    assert together.keys() == alone.keys()
    for i, attention in together.items():
        np.testing.assert_allclose(attention.weights, alone[i].weights, atol=1e-6)
        assert attention.maps is None


@pytest.mark.parametrize("family", ["rnn", pytest.param("transformer", marks=pytest.mark.slow)])
def test_several_heads_have_no_common_centre(family: str, random_run: RandomRun, lines: list[str]) -> None:
    """The mean of a centre at one end and one at the other is in the middle, where no head attends."""
    run = random_run("model/attention=local_p", *FAMILIES[family], f"{HEADS[family]}=2")
    assert all(attention.centers is None for attention in maps_of(Translator.open(run), lines))
    assert not attention_health(Run.open(run).config.model).learned


@pytest.mark.parametrize("family", HEADS)
def test_predicted_centres(family: str, random_run: RandomRun, lines: list[str]) -> None:
    """A centre per step, in source positions: there is no weight further than D from it."""
    single_head = (*FAMILIES[family], "model.heads=1") if family == "transformer" else ()
    translator = Translator.open(random_run("model/attention=local_p", "model.attention.width=1", *single_head))
    translations = best_of(translator, lines)
    for i, attention in compute_attention_maps(translator, translations):
        assert attention.centers is not None
        assert attention.centers.shape == (len(translations[i].target),)
        assert (attention.centers >= 0).all()
        assert (attention.centers <= len(translations[i].source)).all()
        distance = np.abs(np.arange(len(translations[i].source)) - attention.centers[:, None])
        assert (attention.weights[distance > 1.001] == 0).all()
