"""Is what a model looked at once more what it looked at while it searched?"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seq2seq.evaluation import attention_maps
from seq2seq.evaluation.attention_maps import compute_attention_maps
from seq2seq.runs.directory import Run
from seq2seq.translator import Translator

Lively = Callable[..., Path]
TRANSFORMER = ("model=transformer", "model.size=16", "model.heads=2", "model.feedforward=16", "model.decoder_layers=2")
FAMILIES = {
    "rnn": (),
    "copying": ("model.head=copy", "tokenizer=word", "tokenizer.size=40"),
    "transformer": TRANSFORMER,
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("places", [attention_maps.MAX_WEIGHTS, 1])
def test_weights_are_those_of_the_search(
    family: str, places: int, lively: Lively, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its own size, in batches or one by one; empty lines have none."""
    monkeypatch.setattr(attention_maps, "MAX_WEIGHTS", places)
    translator = Translator.open(lively(*FAMILIES[family]))
    found = [alternatives[0] for alternatives in translator.hypotheses(lines, attention=True)]
    seen = dict(compute_attention_maps(translator, found))
    assert sorted(seen) == [i for i, line in enumerate(lines) if line.strip()]
    for i, looked in seen.items():
        np.testing.assert_allclose(looked.weights, found[i].attention, atol=1e-5)
        assert looked.weights.shape == (len(found[i].target), len(found[i].source))
        assert looked.centers is None


def test_single_maps_of_a_transformer(lively: Lively, lines: list[str]) -> None:
    """The weights are the mean of the last layer's heads; a recurrent decoder has one map, which is not kept twice."""
    translator = Translator.open(lively(*TRANSFORMER))
    for _, looked in compute_attention_maps(translator, [found[0] for found in translator.hypotheses(lines)]):
        assert looked.maps is not None
        assert looked.maps.shape == (2, 2, *looked.weights.shape)
        np.testing.assert_allclose(looked.maps.sum(-1), 1, atol=1e-5)
        np.testing.assert_allclose(looked.maps[-1].mean(0), looked.weights, atol=1e-6)
    translator = Translator.open(lively())
    assert all(
        looked.maps is None
        for _, looked in compute_attention_maps(translator, [found[0] for found in translator.hypotheses(lines)])
    )


def test_an_ensemble_has_its_mean_alone(lively: Lively, lines: list[str]) -> None:
    run = lively(*TRANSFORMER)
    one, two = Translator.open(run), Translator.open(run, run)
    found = [found[0] for found in one.hypotheses(lines)]
    alone, together = dict(compute_attention_maps(one, found)), dict(compute_attention_maps(two, found))
    for i, looked in together.items():
        np.testing.assert_allclose(looked.weights, alone[i].weights, atol=1e-6)
        assert looked.maps is None


HEADS = {"rnn": "model.attention.heads", "transformer": "model.heads"}


@pytest.mark.parametrize("family", HEADS)
def test_heads_that_each_have_a_centre_have_none_together(family: str, lively: Lively, lines: list[str]) -> None:
    """Half of them at one end and half at the other would be one in the middle, which nobody looks at."""
    run = lively("model/attention=local_p", *FAMILIES[family], f"{HEADS[family]}=2")
    translator = Translator.open(run)
    assert {
        looked.centers is None
        for _, looked in compute_attention_maps(translator, [found[0] for found in translator.hypotheses(lines)])
    } == {True}
    assert not attention_maps.attention_health(Run.open(run).config.model).learnt


@pytest.mark.parametrize("family", HEADS)
def test_predicted_centres(family: str, lively: Lively, lines: list[str]) -> None:
    """Of the last layer's window, a step each, in positions of the source: there is no weight further than D from it."""
    one = (*FAMILIES[family], "model.heads=1") if family == "transformer" else ()
    translator = Translator.open(lively("model/attention=local_p", "model.attention.width=1", *one))
    found = [found[0] for found in translator.hypotheses(lines)]
    for i, looked in compute_attention_maps(translator, found):
        assert looked.centers is not None
        assert looked.centers.shape == (len(found[i].target),)
        assert (looked.centers >= 0).all()
        assert (looked.centers <= len(found[i].source)).all()
        distance = np.abs(np.arange(len(found[i].source)) - looked.centers[:, None])
        assert (looked.weights[distance > 1.001] == 0).all()


def test_the_best_of_the_whole_beam_is_the_best(lively: Lively, lines: list[str]) -> None:
    for words in ((), ("search.length_penalty=none",), ("search.coverage_penalty=0.2",)):
        run = lively("search.beam=4", *words)
        best = Translator.open(run).translate(lines)
        assert [found[0].text for found in Translator.open(run, n_best=4).hypotheses(lines)] == best
