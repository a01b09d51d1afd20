"""Exported models run by other libraries, line by line beside ours."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seq2seq.export.argos import write_argos
from seq2seq.export.ctranslate2 import write_ctranslate2
from seq2seq.export.huggingface import write_huggingface
from seq2seq.export.runners import RUNNERS, Found, translate_by_limits
from seq2seq.ids import UNK
from seq2seq.runtime.parity import SETTINGS
from tests.export.tiny import SOURCES, all_finished, tiny_config, tiny_model, tiny_vocabularies, translator_of

WRITERS = {"ctranslate2": write_ctranslate2, "huggingface": write_huggingface, "argos": write_argos}
LIBRARY = {"ctranslate2": "ctranslate2", "huggingface": "transformers", "argos": "ctranslate2"}


@pytest.mark.slow
@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
@pytest.mark.parametrize("name", RUNNERS)
def test_runners_give_our_translations(name: str, positions: str, tmp_path: Path) -> None:
    pytest.importorskip(LIBRARY[name])
    config = tiny_config(positions=positions)
    lines = [*SOURCES, "", "a cat " * 80, "öther wörds"]  # the long one is cut, if positions are learned
    model = tiny_model(config)
    config = replace(config, search=config.search.changed(max_ratio=1.0, n_best=1))
    WRITERS[name](model, config, tiny_vocabularies(True), tmp_path / "model", "float32")
    ours = translator_of(model, replace(config, search=config.search.changed(n_best=config.search.beam)))
    compared = 0
    found = RUNNERS[name](tmp_path / "model", lines, config)
    for wanted, one in zip(ours.hypotheses(lines), found, strict=True):
        if all_finished(wanted):
            compared += 1
            assert one.text == wanted[0].text
            np.testing.assert_allclose(one.score, wanted[0].score, atol=1e-4)
    assert compared > len(lines) / 3


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNNERS)
def test_an_export_of_a_run_that_samples_is_compared_by_beam_search(name: str, tmp_path: Path) -> None:
    pytest.importorskip(LIBRARY[name])
    config = tiny_config()
    model = tiny_model(config)
    sampling = replace(config, search=config.search.changed(sampling=True, temperature=1.5, n_best=1))
    WRITERS[name](model, sampling, tiny_vocabularies(True), tmp_path / "model", "float32")
    compared = replace(sampling, search=sampling.search.changed(**SETTINGS))
    ours = translator_of(model, replace(compared, search=compared.search.changed(n_best=compared.search.beam)))
    found = RUNNERS[name](tmp_path / "model", SOURCES, compared)
    pairs = [
        (wanted[0].text, one.text)
        for wanted, one in zip(ours.hypotheses(SOURCES), found, strict=True)
        if all_finished(wanted)
    ]
    assert len(pairs) > 1
    assert all(wanted == text for wanted, text in pairs)


@pytest.mark.slow
def test_unknown_words_are_replaced_as_by_us(tmp_path: Path) -> None:
    """Also by those that no vocabulary holds."""
    pytest.importorskip("ctranslate2")
    config = tiny_config(beam=1)
    model = tiny_model(config)
    with torch.no_grad():
        model.head.output.bias[UNK] += 60
    config = replace(config, search=config.search.changed(replace_unknown=True))
    write_ctranslate2(model, config, tiny_vocabularies(True), tmp_path / "model")
    expected = translator_of(model, config).translate(["qqq", "☃"])
    assert [one.text for one in RUNNERS["ctranslate2"](tmp_path / "model", ["qqq", "☃"], config)] == expected
    assert "☃" in expected[1]


def test_sentences_are_translated_with_their_own_limits() -> None:
    config = tiny_config()
    config = replace(config, search=config.search.changed(max_ratio=2.0, min_ratio=1.0, batch=2))
    batches: list[Any] = []

    def translate(sources: Any, least: int, most: int) -> list[Found]:
        batches.append((len(sources), least, most))
        return [Found(" ".join(source), 1.0) for source in sources]

    sources = [["a"] * length for length in (3, 0, 5, 3, 3)]
    found = translate_by_limits(sources, config, translate)
    assert [one.text for one in found] == [" ".join(source) for source in sources]
    assert batches == [(2, 3, 16), (1, 3, 16), (1, 5, 20)]
