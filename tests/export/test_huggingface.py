"""Transformers exported to Hugging Face, run by transformers beside ours."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from seq2seq.config import Config, SearchConfig
from seq2seq.errors import ConfigError
from seq2seq.export.formats import reasons
from seq2seq.export.huggingface import write_huggingface
from seq2seq.ids import BOS, EOS, PAD
from seq2seq.nn.build import EncoderDecoder
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

FITTING = {
    **CHOICES,
    "norm": ("layer",),
    "activation": ("relu", "gelu", "swish"),
    "positions": ("sinusoidal", "learned"),
}


def written(model: EncoderDecoder, config: Config, folder: Path, dtype: str = "float32") -> Path:
    write_huggingface(model, config, tiny_vocabularies(config.tokenizer.joint), folder / "model", dtype)
    return folder / "model"


def opened(folder: Path) -> tuple[Any, Any]:
    """The exported model and its tokenizer, opened by transformers, which misses no weights and ignores none."""
    transformers = pytest.importorskip("transformers", minversion="5")
    model, report = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()), report
    return model.eval(), transformers.AutoTokenizer.from_pretrained(folder)


def ids_of(sequence: list[int]) -> list[int]:
    """The ids between the first token and EOS."""
    ids = sequence[1:]
    return ids[: ids.index(EOS)] if EOS in ids else [i for i in ids if i != PAD]


@pytest.mark.slow
@pytest.mark.parametrize("choices", cover(FITTING, choices_fit), ids=lambda row: "-".join(map(str, row.values())))
def test_every_fitting_transformer_gives_the_same_output(choices: dict[str, Any], tmp_path: Path) -> None:
    config = tiny_config(**choices)
    assert not reasons("huggingface", config)
    model = tiny_model(config)
    ours = translator_of(model, config)
    theirs, tokenizer = opened(written(model, config, tmp_path))
    batch = tokenizer(SOURCES, return_tensors="pt", padding=True)
    encoded = [ours.encode_source(line).ids for line in SOURCES]
    assert [[i for i in row if i != PAD] for row in batch.input_ids.tolist()] == encoded
    targets = [ours.vocabularies.encode_target(line) for line in LINES[5 : 5 + len(SOURCES)]]
    labels = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in targets], True, PAD)
    with torch.no_grad():
        start = torch.full((len(targets), 1), theirs.config.decoder_start_token_id)
        logits = theirs(**batch, decoder_input_ids=torch.cat((start, labels[:, :-1]), 1)).logits
    log_probs = logits.log_softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1) * (labels != PAD)
    expected = ours.score(SOURCES, LINES[5 : 5 + len(SOURCES)])
    np.testing.assert_allclose(log_probs.sum(1), expected, atol=1e-4)
    found = theirs.generate(**batch, return_dict_in_generate=True, output_scores=True)
    n_best, compared = config.search.n_best, 0
    for i, wanted in enumerate(ours.hypotheses(SOURCES)):
        if not all_finished(wanted):
            continue
        compared += 1
        rows = slice(i * n_best, (i + 1) * n_best)
        assert [ids_of(row) for row in found.sequences[rows].tolist()] == [[*each.ids] for each in wanted]
        np.testing.assert_allclose(found.sequences_scores[rows], [each.score for each in wanted], atol=1e-4)
    assert compared >= len(SOURCES) / 3
    ours.search = SearchConfig(beam=1, max_length=40, max_ratio=50.0)
    greedy = theirs.generate(**batch, num_beams=1, num_return_sequences=1, early_stopping=None, length_penalty=None)
    assert [ids_of(row) for row in greedy.tolist()] == [[*one[0].ids] for one in ours.hypotheses(SOURCES)]


@pytest.mark.slow
@pytest.mark.parametrize("beam", [1, 4])
def test_pad_and_bos_are_never_generated(beam: int, tmp_path: Path) -> None:
    config = tiny_config(beam=beam)
    model = tiny_model(config)
    model.head.output.bias.data[[PAD, BOS]] = 3.0
    theirs, tokenizer = opened(written(model, config, tmp_path))
    found = theirs.generate(**tokenizer(SOURCES, return_tensors="pt", padding=True)).tolist()
    wanted = [one for translations in translator_of(model, config).hypotheses(SOURCES) for one in translations]
    same = [ids_of(row) == [*one.ids] for row, one in zip(found, wanted, strict=True) if one.finished or beam == 1]
    assert all(same)
    assert len(same) > 2


@pytest.mark.slow
def test_text_is_encoded_and_decoded_as_ours(tmp_path: Path) -> None:
    config = tiny_config(joint=False)
    vocabularies = tiny_vocabularies(False)
    _, tokenizer = opened(written(tiny_model(config, search=False), config, tmp_path))
    for line in (*LINES[::50], "the </s> cat <s> <pad>", "öther wörds", "  two  spaces "):
        assert tokenizer(line).input_ids == vocabularies.encode_source(line).ids
    for line in LINES[::50]:
        ids = vocabularies.encode_target(line)
        assert tokenizer(text_target=line).input_ids == ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == line


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("norm_order", ["pre", "post"])
def test_files_say_what_the_model_is(norm_order: str, dtype: str, tmp_path: Path) -> None:
    config = tiny_config(norm_order=norm_order, tie="target")
    folder = written(tiny_model(config, search=False), config, tmp_path, dtype)
    settings = json.loads((folder / "config.json").read_text())
    assert settings["model_type"] == {"pre": "pegasus", "post": "marian"}[norm_order]
    assert settings["dtype"] == dtype
    assert {weight.dtype for weight in load_file(folder / "model.safetensors").values()} == {getattr(torch, dtype)}
    generation = json.loads((folder / "generation_config.json").read_text())
    assert (generation["num_beams"], generation["max_new_tokens"], generation["length_penalty"]) == (4, 40, 1.0)


@pytest.mark.parametrize("choices", cover(CHOICES, choices_fit), ids=lambda row: "-".join(map(str, row.values())))
def test_a_model_is_written_if_there_is_no_reason_against_it(choices: dict[str, Any], tmp_path: Path) -> None:
    config = tiny_config(**choices)
    model, found = tiny_model(config, search=False), reasons("huggingface", config)
    if not found:
        written(model, config, tmp_path)
        return
    with pytest.raises(ConfigError) as raised:
        written(model, config, tmp_path)
    assert str(raised.value) == found[0]
    assert not list(tmp_path.iterdir())
