"""Transformers exported to CTranslate2, run by its own translator beside ours."""

import itertools
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece

from seq2seq.config import Config, SearchConfig
from seq2seq.errors import ConfigError
from seq2seq.export.ctranslate2 import search_options, write_ctranslate2
from seq2seq.export.formats import reasons
from seq2seq.ids import UNK
from seq2seq.nn.build import EncoderDecoder
from seq2seq.translator import Translator
from tests.export.tiny import (
    CHOICES,
    LINES,
    SOURCES,
    all_finished,
    choices_fit,
    tiny_config,
    tiny_model,
    tiny_vocabularies,
    translator_of,
)
from tests.pairs import cover


def opened(model: EncoderDecoder, config: Config, folder: Path, dtype: str = "float32", **options: Any) -> Any:
    """The exported model, opened by CTranslate2."""
    ctranslate2 = pytest.importorskip("ctranslate2")
    write_ctranslate2(model, config, tiny_vocabularies(config.tokenizer.joint), folder / "model", dtype)
    return ctranslate2.Translator(str(folder / "model"), intra_threads=1, **options)


def source_tokens(translator: Translator) -> list[list[str]]:
    return [translator.vocabularies.source.segment(line) for line in SOURCES]


def check_same_output(config: Config, folder: Path) -> None:
    """The same probabilities of given targets, and the same hypotheses of greedy and beam search with their scores."""
    model = tiny_model(config)
    ours, theirs = translator_of(model, config), opened(model, config, folder)
    targets = LINES[5 : 5 + len(SOURCES)]
    expected = ours.score(SOURCES, targets)
    scored = theirs.score_batch(source_tokens(ours), [ours.vocabularies.target.segment(line) for line in targets])
    np.testing.assert_allclose([sum(one.log_probs) for one in scored], expected, atol=1e-4)
    symbols = ours.vocabularies.target.symbols()
    for search in (config.search, SearchConfig(beam=1, max_length=40, max_ratio=50.0)):
        ours.search = search
        options = search_options(replace(config, search=search))
        found = theirs.translate_batch(source_tokens(ours), **options)
        compared = 0
        for wanted, one in zip(ours.hypotheses(SOURCES), found, strict=True):
            if search.beam > 1 and not all_finished(wanted):
                continue
            compared += 1
            assert [[symbols[i] for i in each.ids] for each in wanted] == one.hypotheses
            np.testing.assert_allclose(one.scores, [each.score for each in wanted], atol=1e-4)
        assert compared >= len(SOURCES) / 3


@pytest.mark.parametrize("choices", cover(CHOICES, choices_fit), ids=lambda row: "-".join(map(str, row.values())))
@pytest.mark.slow
def test_every_transformer_gives_the_same_output(choices: dict[str, Any], tmp_path: Path) -> None:
    config = tiny_config(**choices)
    assert not reasons("ctranslate2", config)
    check_same_output(config, tmp_path)


def test_folder_is_enough_to_translate(tmp_path: Path) -> None:
    config = tiny_config()
    model = tiny_model(config)
    translator = opened(model, config, tmp_path)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "model" / "joint.spm"))
    options = {"beam_size": 4, "min_decoding_length": 0, "max_decoding_length": 40}
    found = translator.translate_batch([pieces.encode(line, out_type=str) for line in SOURCES], **options)
    texts = [pieces.decode(one.hypotheses[0]) for one in found]
    wanted = list(translator_of(model, config).hypotheses(SOURCES))
    same = [text == one[0].text for text, one in zip(texts, wanted, strict=True) if all_finished(one)]
    assert all(same)
    assert len(same) > len(SOURCES) / 2


@pytest.mark.parametrize("dtype", ["int8", "int8_bfloat16", "bfloat16", "float16"])
@pytest.mark.slow
def test_quantized_models_are_smaller_and_nearly_the_same(dtype: str, tmp_path: Path) -> None:
    ctranslate2 = pytest.importorskip("ctranslate2")
    config = tiny_config()
    model = tiny_model(config)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    exact, small = opened(model, config, tmp_path), tmp_path / "small"
    write_ctranslate2(model, config, tiny_vocabularies(True), small, dtype)
    assert all((weight == before[name]).all() for name, weight in model.named_parameters())
    assert (small / "model.bin").stat().st_size < 0.8 * (tmp_path / "model" / "model.bin").stat().st_size
    tokens = source_tokens(translator_of(model, config))
    scores = [
        [sum(one.log_probs) for one in translator.score_batch(tokens, tokens)]
        for translator in (exact, ctranslate2.Translator(str(small), intra_threads=1))
    ]
    np.testing.assert_allclose(scores[1], scores[0], rtol=0.1)


@pytest.mark.slow
def test_attention_is_the_mean_over_the_heads_of_the_last_layer(tmp_path: Path) -> None:
    config = tiny_config()
    model = tiny_model(config)
    ours, theirs = translator_of(model, config), opened(model, config, tmp_path)
    options = search_options(config)
    # one by one: in a batch the weights of the first step are those of other sentences (CTranslate2 4.8.5)
    found = theirs.translate_batch(source_tokens(ours), return_attention=True, max_batch_size=1, **options)
    for wanted, one in zip(ours.hypotheses(SOURCES, attention=True), found, strict=True):
        if all_finished(wanted) and wanted[0].ids:
            expected = np.array(wanted[0].attention)[: len(wanted[0].ids)]
            attention = np.array(one.attention[0])
            np.testing.assert_allclose(attention, expected[:, :-1], atol=1e-4)  # without EOS of the source


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"alpha": 0.5}, {"length_penalty": "none"}, {"n_best": 1}])
def test_search_settings_have_the_same_effect(change: dict[str, Any], tmp_path: Path) -> None:
    config = tiny_config()
    config.search = config.search.changed(**change)
    check_same_output(config, tmp_path)


@pytest.mark.slow
def test_unknown_words_are_replaced_as_ours(tmp_path: Path) -> None:
    config = tiny_config(beam=1)
    config.search = config.search.changed(replace_unknown=True)
    model = tiny_model(config)
    model.head.output.bias.data[UNK] += 4.0
    ours, theirs = translator_of(model, config), opened(model, config, tmp_path)
    found = theirs.translate_batch(source_tokens(ours), max_batch_size=1, **search_options(config))
    translations = [one[0] for one in ours.hypotheses(SOURCES)]
    texts = ["".join(one.hypotheses[0]).replace("▁", " ").removeprefix(" ") for one in found]
    assert texts == [one.text for one in translations]
    assert sum(UNK in one.ids for one in translations) > 2


@pytest.mark.slow
def test_no_repeat_and_min_length_constrain_the_output(tmp_path: Path) -> None:
    config = tiny_config()
    config.search = config.search.changed(no_repeat=2, min_length=3, n_best=1)
    model = tiny_model(config)
    ours, theirs = translator_of(model, config), opened(model, config, tmp_path)
    found = theirs.translate_batch(source_tokens(ours), **search_options(config))
    for one in found:
        tokens = one.hypotheses[0]
        pairs = [*itertools.pairwise(tokens)]
        assert len(tokens) >= 3
        assert len(set(pairs)) == len(pairs)


def test_nothing_is_left_of_an_export_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ctranslate2")
    config, folder = tiny_config(), tmp_path / "model"
    vocabularies = tiny_vocabularies(True)

    def fail(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(vocabularies, "save", fail)
    with pytest.raises(OSError, match="model"):
        write_ctranslate2(tiny_model(config, search=False), config, vocabularies, folder)
    assert not list(tmp_path.iterdir())


def test_missing_package_and_wrong_models_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    monkeypatch.setitem(sys.modules, "ctranslate2.specs", None)
    config = tiny_config()
    model, vocabularies, folder = tiny_model(config, search=False), tiny_vocabularies(True), tmp_path / "model"
    with pytest.raises(ConfigError, match=r"pip install 'seq2seq\[export\]'"):
        write_ctranslate2(model, config, vocabularies, folder)
    with pytest.raises(ConfigError, match="scorer=additive"):
        write_ctranslate2(model, tiny_config(scorer="additive"), vocabularies, folder)
    assert not list(tmp_path.iterdir())
