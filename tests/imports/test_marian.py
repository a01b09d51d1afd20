"""Folders in the Hugging Face format of Marian, read as runs."""

import json
import os
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import torch
from safetensors.torch import load_file, save_file

from seq2seq import cli
from seq2seq.errors import RunError
from seq2seq.export.huggingface import write_huggingface
from seq2seq.imports.marian import read_marian
from seq2seq.imports.run import write_run
from seq2seq.launch.compose import compose_config
from seq2seq.nn.build import EncoderDecoder
from seq2seq.runs.directory import Run
from seq2seq.translator import Translator
from tests.export.tiny import LINES, SOURCES, tiny_config, tiny_model, tiny_vocabularies, translator_of

TARGETS = LINES[5 : 5 + len(SOURCES)]
SCRIPT = Path(__file__).parents[2] / "scripts" / "reference_transformers.py"
CHOICES: list[dict[str, Any]] = [
    {"norm_order": "post", "activation": "swish", "positions": "sinusoidal", "tie": "all", "joint": True},
    {"norm_order": "post", "activation": "relu", "positions": "learned", "tie": "target", "joint": False},
    {"norm_order": "pre", "activation": "gelu", "positions": "sinusoidal", "tie": "none", "joint": False},
]


def exported(folder: Path, **choices: Any) -> tuple[EncoderDecoder, Translator]:
    """A model that our own exporter has written, and its translator."""
    config = tiny_config(**choices)
    model = tiny_model(config, search=False)
    write_huggingface(model, config, tiny_vocabularies(config.tokenizer.joint), folder)
    return model, translator_of(model, config)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    exported(tmp_path / "marian", **CHOICES[0])
    return tmp_path / "marian"


@pytest.mark.parametrize("choices", CHOICES, ids=lambda row: "-".join(map(str, row.values())))
def test_what_we_exported_comes_back(choices: dict[str, Any], tmp_path: Path) -> None:
    model, ours = exported(tmp_path / "marian", **choices)
    write_run(read_marian(tmp_path / "marian"), tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert {name: getattr(run.config.model, name) for name in ("norm_order", "activation", "positions", "tie")} == {
        name: value for name, value in choices.items() if name != "joint"
    }
    assert run.vocabularies.joint == choices["joint"]
    again = Translator.open(tmp_path / "run")
    assert again.score(SOURCES, TARGETS) == pytest.approx(ours.score(SOURCES, TARGETS), abs=1e-5)
    for (name, found), wanted in zip(again.models[0].named_parameters(), model.parameters(), strict=True):  # type: ignore[attr-defined]
        if "positions" not in name:
            assert torch.equal(found, wanted), name


def change(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def reordered(folder: Path) -> None:
    """Ids as in OPUS-MT: EOS first, PAD last, which decoding starts with, and languages' names."""
    old = json.loads((folder / "vocab.json").read_text())
    names = ["</s>", "<unk>", *(text for text, i in old.items() if i > 3), ">>deu<<", "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({text: i for i, text in enumerate(names)}))
    rows = torch.tensor([{">>deu<<": 5, "<pad>": 2}.get(text, old.get(text, 0)) for text in names])
    tensors = load_file(folder / "model.safetensors")
    tensors["model.shared.weight"] = tensors["model.shared.weight"][rows]
    tensors["final_logits_bias"] = tensors["final_logits_bias"][:, rows]
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    last = len(names) - 1
    change(folder, vocab_size=last + 1, pad_token_id=last, decoder_start_token_id=last, eos_token_id=0)


def test_other_ids_and_a_pickled_file_are_read(folder: Path, tmp_path: Path) -> None:
    before = read_marian(folder)
    reordered(folder)
    write_run(read_marian(folder, ("en", "de")), tmp_path / "run")
    write_run(before, tmp_path / "before")
    after, again = (Translator.open(tmp_path / name) for name in ("run", "before"))
    tokens = after.encode_source(f">>deu<< {SOURCES[0]}").ids
    assert after.vocabularies.source.symbols()[tokens[0]] == "▁>>deu<<"
    assert tokens[1:] == again.encode_source(SOURCES[0]).ids
    with torch.no_grad():
        rows = [model.encode(torch.tensor([again.encode_source(SOURCES[1]).ids])).states for model in
                (after.models[0], again.models[0])]  # fmt: skip
        assert torch.equal(*rows)
    bias = after.models[0].head.output.bias  # type: ignore[attr-defined]
    assert bias[0] == -100  # PAD has no row of its own there
    assert torch.equal(bias[1:4], again.models[0].head.output.bias[1:4])  # type: ignore[attr-defined]
    assert Run.open(tmp_path / "run").config.data.languages() == ("en", "de")


CHANGES: dict[str, tuple[Any, str]] = {
    "model_type": ("bart", "model_type='bart' cannot be imported"),
    "activation_function": ("gelu_new", "activation_function='gelu_new' cannot be imported"),
    "scale_embedding": (False, "scale_embedding=False cannot be imported"),
    "decoder_attention_heads": (2, "decoder_attention_heads=2 cannot be imported"),
    "decoder_ffn_dim": (7, "decoder_ffn_dim=7 cannot be imported"),
    "encoder_attention_heads": ("4", "encoder_attention_heads is not"),
    "d_model": (64, r"has the shape \[1024, 32\], where its settings need \[1024, 64\]"),
    "encoder_layers": (1, "tensors that this model has no place for"),
    "decoder_layers": (10**9, "has no tensor"),
    "vocab_size": (10**12, "vocab_size=1000000000000 cannot be imported"),
    "decoder_start_token_id": (99, "decoder_start_token_id=99 cannot be imported"),
    "eos_token_id": (None, "does not say eos_token_id"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_cannot_be_represented_is_refused_by_name(name: str, folder: Path) -> None:
    value, message = CHANGES[name]
    change(folder, **{name: value})
    with pytest.raises(RunError, match=message.replace("'", "'?")):
        read_marian(folder)


def damage_vocabulary(folder: Path) -> None:
    (folder / "vocab.json").write_text('{"a": -1}')


def repeat_an_id(folder: Path) -> None:
    ids = json.loads((folder / "vocab.json").read_text())
    (folder / "vocab.json").write_text(json.dumps(dict.fromkeys(ids, 1)))


def cut_tokenizer(folder: Path) -> None:
    (folder / "source.spm").write_bytes((folder / "source.spm").read_bytes()[:-100])


def fill_tokenizer(folder: Path) -> None:
    (folder / "target.spm").write_bytes(b"\x0a\xff\xff\xff\xff\x0f")


def add_nan(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["model.encoder.layers.0.fc1.weight"][0, 0] = torch.nan
    save_file(tensors, folder / "model.safetensors")


def add_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"model.encoder.layernorm_embedding.weight": torch.ones(32)}, folder / "model.safetensors")


def pickle_an_object(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"x": Path("x")}, folder / "pytorch_model.bin")


def save_pickled(tensor: Callable[[], torch.Tensor]) -> Callable[[Path], None]:
    """Put a pickled file of one tensor in the place of the weights."""

    def save(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.save({"model.shared.weight": tensor()}, folder / "pytorch_model.bin")

    return save


def compress_pickled(folder: Path) -> None:
    save_pickled(lambda: torch.zeros(10**6))(folder)
    path = folder / "pytorch_model.bin"
    with ZipFile(path) as stored:
        entries = {name: stored.read(name) for name in stored.namelist()}
    with ZipFile(path, "w", ZIP_DEFLATED) as compressed:
        for name, content in entries.items():
            compressed.writestr(name, content)


def link_outside(folder: Path) -> None:
    (folder / "vocab.json").unlink()
    os.symlink("/etc/passwd", folder / "vocab.json")


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (damage_vocabulary, "does not map pieces to ids"),
    (repeat_an_id, "an id is there twice"),
    (cut_tokenizer, "not a complete SentencePiece model"),
    (fill_tokenizer, "not a complete SentencePiece model"),
    (add_nan, "not finite"),
    (add_tensor, "no place for, such as model.encoder.layernorm_embedding.weight"),
    (pickle_an_object, "other objects than tensors"),
    (save_pickled(lambda: torch.ones(1).expand(10**12)), "larger than the file"),
    (save_pickled(lambda: torch.empty(10**6, 10**6, device="meta")), "other objects than named tensors"),
    (save_pickled(lambda: torch.eye(3).to_sparse()), "other objects than named tensors"),
    (save_pickled(lambda: torch.eye(3).to_sparse_csr()), "other objects than named tensors"),
    (save_pickled(lambda: torch.nested.nested_tensor([torch.ones(2)])), "other objects than named tensors"),
    (compress_pickled, "is compressed, which torch.save does not do"),
    (link_outside, "a link that leads out of"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES, ids=lambda value: getattr(value, "__name__", ""))
def test_damaged_folders_are_refused_and_nothing_is_written(
    damage: Callable[[Path], None], message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(folder)
    assert cli.main(["import", "marian", str(folder), "--output", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [*tmp_path.iterdir()] == [folder]


def test_the_command_compares_with_a_reference(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(read_marian(folder), tmp_path / "first")
    ours = Translator.open(tmp_path / "first", max_length=9, beam=2, length_penalty="none", alpha=1.0)
    scores, found = ours.score(SOURCES[:3], TARGETS[:3]), ours.translate(SOURCES[:3])
    reference = {"library": "ours", "beam": 2, "max_length": 9, "translations": [*zip(SOURCES[:3], found, strict=True)]}
    pairs = [*zip(SOURCES[:3], TARGETS[:3], scores, strict=True)]
    (folder / "reference.json").write_text(json.dumps(reference | {"pairs": pairs}))
    arguments = ["import", "marian", str(folder), "--source-language", "en", "--output"]
    assert cli.main([*arguments, str(tmp_path / "run")]) == 0
    assert "parity with ours: log-probabilities of 3 targets differ by at most" in capsys.readouterr().out
    parity = json.loads((tmp_path / "run" / "parity.json").read_text())
    assert (parity["pairs"], parity["same"], parity["translations"]) == (3, 3, 3)
    (folder / "reference.json").write_text(json.dumps(reference | {"pairs": [(*pairs[0][:2], pairs[0][2] + 0.5)]}))
    assert cli.main([*arguments, str(tmp_path / "other")]) == 2
    assert "the imported model is not the original" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_transformers_agrees(folder: Path, tmp_path: Path) -> None:
    """SEQ2SEQ_TRANSFORMERS is a Python with transformers and sentencepiece."""
    python = os.environ.get("SEQ2SEQ_TRANSFORMERS")
    if not python:
        pytest.skip("SEQ2SEQ_TRANSFORMERS names no Python with transformers")
    for name, lines in (("source", SOURCES), ("target", TARGETS)):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    reordered(folder)
    files = ["--source", tmp_path / "source", "--target", tmp_path / "target"]
    subprocess.run([python, SCRIPT, folder, *files], check=True, capture_output=True)
    parity = write_run(read_marian(folder), tmp_path / "run", folder / "reference.json")
    assert parity is not None
    assert parity.difference < 1e-4


def test_training_starts_from_an_imported_run_with_another_corpus(folder: Path, tmp_path: Path) -> None:
    write_run(read_marian(folder), tmp_path / "run")
    before = Run.open(tmp_path / "run").config
    config = compose_config([f"init_from={tmp_path / 'run'}", "data=mine"])  # whose tokenizer has another size
    assert (config.model, config.tokenizer) == (before.model, before.tokenizer)
