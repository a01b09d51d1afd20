"""The attention of a layer and a head, of a Transformer with random weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seq2seq import Translator
from seq2seq.evaluation.attention_maps import compute_attention_maps
from seq2seq.serve.batching import Batcher, Limits
from seq2seq.serve.heads import HeadChoice
from seq2seq.serve.models import read_model

LAYERS, HEADS = 2, 2


@pytest.fixture(scope="module")
def run(random_run: Callable[..., Path]) -> Path:
    sizes = ("model.size=16", f"model.heads={HEADS}", "model.feedforward=16", f"model.decoder_layers={LAYERS}")
    return random_run("model=transformer", "model.encoder_layers=1", *sizes)


def test_each_layer_and_head(run: Path, lines: list[str]) -> None:
    """The last layer's mean is what the search gives; every other is that map. Alternatives have their own."""
    info = read_model(str(run))
    assert (info.layers, info.heads) == (LAYERS, HEADS)
    translator = Translator.open(run, beam=3, n_best=2)
    searched = list(translator.hypotheses(lines, attention=True))
    batcher = Batcher(lambda: translator, Limits(wait=0))

    def chosen(layer: int, head: int) -> list[list[Any]]:
        choice = HeadChoice(layer, head)
        return batcher.submit(batcher.job(lines, attention=True, choice=choice)).result(60)

    kinds = {
        batcher.job(lines, attention=True, choice=choice).kind for choice in (None, HeadChoice(1), HeadChoice(1, 1))
    }
    assert len(kinds) == 3  # which share no batch
    flat = [one for ranked in searched for one in ranked]
    maps = {i: found.maps for i, found in compute_attention_maps(translator, flat)}
    assert maps
    for layer in range(LAYERS + 1):
        for head in range(HEADS + 1):
            found = chosen(layer, head)
            assert [[one.text for one in ranked] for ranked in found] == [[one.text for one in r] for r in searched]
            for i, one in enumerate(one for ranked in found for one in ranked):
                if i not in maps:
                    assert one.attention.shape == (0, 0)
                    continue
                of_layer = maps[i][layer - 1]  # type: ignore[index]
                expected = of_layer[head - 1] if head else of_layer.mean(0)
                np.testing.assert_allclose(one.attention, expected, atol=1e-5)
                if head == 0 and layer in (0, LAYERS):
                    np.testing.assert_allclose(one.attention, flat[i].attention, atol=1e-5)
    batcher.close()


def test_a_single_head_is_what_the_search_gives(tiny_run: Path) -> None:
    info = read_model(str(tiny_run))
    assert (info.layers, info.heads) == (1, 1)
    batcher = Batcher(lambda: Translator.open(tiny_run), Limits(wait=0))
    line = ["A dog."]
    plain, chosen = (
        batcher.submit(batcher.job(line, attention=True, choice=choice)).result(60)[0][0]
        for choice in (None, HeadChoice(1, 1))
    )
    batcher.close()
    np.testing.assert_allclose(chosen.attention, plain.attention, atol=1e-5)
