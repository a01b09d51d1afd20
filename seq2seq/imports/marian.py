"""Reads Transformers in the Hugging Face format of Marian, such as those of OPUS-MT, and those that we exported.

A folder holds config.json, model.safetensors or pytorch_model.bin, source.spm and target.spm, which segment text, and
vocab.json, which gives pieces their ids. Marian starts decoding with PAD, so that its row becomes our BOS.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seq2seq.config import AttentionConfig, Config, SearchConfig, TransformerConfig
from seq2seq.config.data import DataConfig, TokenizerConfig
from seq2seq.data.vocabulary import SOURCE, TARGET, Vocabularies
from seq2seq.errors import ConfigError, RunError, shortened
from seq2seq.export.huggingface import ARCHITECTURES, ATTENTIONS, LAYERS, PROJECTIONS
from seq2seq.ids import UNK
from seq2seq.imports.entries import MOST_ENTRIES, Entries, SpecialIds, entries_of, gathered, output_bias
from seq2seq.imports.pieces import BYTE, SPECIAL_PIECES, read_pieces, tokenizer_of
from seq2seq.imports.run import ImportedModel
from seq2seq.imports.weights import ForeignWeights, open_pickled, open_safetensors
from seq2seq.nn.layers import PositionalEncoding
from seq2seq.runtime.untrusted import FLAG, MIB, NUMBER, TEXT, WHOLE, check_types, fits, read_bytes, read_json
from seq2seq.runtime.vocabulary import MAX_MODEL_BYTES

MOST_BYTES = 64 * MIB  # of a JSON file; a vocabulary of 60,000 entries has less than two
ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "swish": "swish", "silu": "swish"}  # theirs -> ours
TYPES = {
    "model_type": TEXT, "activation_function": TEXT, "scale_embedding": FLAG, "tie_word_embeddings": FLAG,
    "share_encoder_decoder_embeddings": FLAG, "dropout": NUMBER,
    **dict.fromkeys(
        (
            "d_model", "encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads",
            "encoder_ffn_dim", "decoder_ffn_dim", "max_position_embeddings", "vocab_size", "decoder_vocab_size",
            "pad_token_id", "eos_token_id", "decoder_start_token_id",
        ),
        WHOLE,
    ),
}  # fmt: skip
NEEDED = (
    "model_type", "activation_function", "d_model", "encoder_layers", "decoder_layers", "encoder_attention_heads",
    "decoder_attention_heads", "encoder_ffn_dim", "decoder_ffn_dim", "max_position_embeddings", "vocab_size",
    "pad_token_id", "eos_token_id", "decoder_start_token_id",
)  # fmt: skip


def read_marian(folder: Path, languages: tuple[str, str] = ("", "")) -> ImportedModel:
    """The model in a folder; languages: of source and target, if they are known.

    Raises RunError if a file is missing or damaged, and, with the name of the entry and its value, for a model that
    cannot be represented here."""
    settings = read_settings(folder)
    joint, entries = read_vocabularies(folder, settings)
    source, target = entries
    with open_weights(folder) as weights:
        tied, shared = tying(settings)
        positions = {name: position_table(weights, settings, name) for name in ("encoder", "decoder")}
        learned = any(table is not None for table in positions.values())
        tie = "none" if not tied else "all" if shared and joint else "target"
        tensors = dict(model_weights(weights, settings, source, target))
        if learned:
            for name, table in positions.items():
                tensors[f"{name}.positions.table.weight"] = sinusoids(settings) if table is None else table
        weights.refuse_others()
    vocabularies = make_vocabularies(folder, joint, source, target)
    try:
        config = model_config(folder, settings, languages, vocabularies, tie=tie, learned=learned)
    except ConfigError as error:
        raise RunError(f"{folder / 'config.json'} cannot be imported: {error}") from error
    return ImportedModel(config, vocabularies, tensors, {"format": "marian", "architecture": settings["model_type"]})


def model_config(
    folder: Path,
    settings: Mapping[str, Any],
    languages: tuple[str, str],
    vocabularies: Vocabularies,
    *,
    tie: str,
    learned: bool,
) -> Config:
    """Our settings of the model. Raises ConfigError if they are impossible."""
    return Config(
        variant="marian",
        data=data_settings(languages),
        tokenizer=TokenizerConfig(joint=vocabularies.joint, size=vocabularies.larger),
        model=TransformerConfig(
            encoder_layers=settings["encoder_layers"],
            decoder_layers=settings["decoder_layers"],
            size=settings["d_model"],
            heads=settings["encoder_attention_heads"],
            feedforward=settings["encoder_ffn_dim"],
            dropout=settings.get("dropout", 0.1),
            norm_order="post" if settings["model_type"] == "marian" else "pre",
            activation=ACTIVATIONS[settings["activation_function"]],
            positions="learned" if learned else "sinusoidal",
            tie=tie,
            attention=AttentionConfig(scorer="scaled_dot"),
            **({"max_length": settings["max_position_embeddings"]} if learned else {}),
        ),
        search=search_settings(folder),
    )


def read_settings(folder: Path) -> dict[str, Any]:
    """config.json. Raises RunError if it is damaged, or asks for what our Transformer does not have."""
    path = folder / "config.json"
    settings = read_json(path, MOST_BYTES)
    if not isinstance(settings, dict):
        raise RunError(f"{path} is damaged: it is no object")
    try:
        check_types(settings, TYPES)
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from error
    missing = [name for name in NEEDED if settings.get(name) is None]
    if missing:
        raise RunError(f"{path} does not say {missing[0]}: it is not that of a Marian model")
    refuse_settings(path, settings)
    return settings


def refuse_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Raise RunError for the first setting that our Transformer cannot represent."""

    def refuse(name: str, why: str) -> None:
        raise RunError(f"{path}: {name}={shortened(settings.get(name))} cannot be imported: {why}")

    kinds = [kind for kind, _ in ARCHITECTURES.values()]
    if settings["model_type"] not in kinds:
        refuse("model_type", f"these are {' and '.join(kinds)}")
    if settings["activation_function"] not in ACTIVATIONS:
        refuse("activation_function", f"there are {', '.join(ACTIVATIONS)}")
    if not settings.get("scale_embedding", False):
        refuse("scale_embedding", "embeddings are scaled here")
    for name in ("attention_heads", "ffn_dim"):
        if settings[f"decoder_{name}"] != settings[f"encoder_{name}"]:
            refuse(f"decoder_{name}", f"it is that of the encoder here, {settings[f'encoder_{name}']}")
    if not 0 < settings["vocab_size"] <= MOST_ENTRIES:
        refuse("vocab_size", f"there may be {MOST_ENTRIES:,} entries")
    if not settings["d_model"] or settings["d_model"] % 2:
        refuse("d_model", "it has to be even")
    if (settings.get("decoder_vocab_size") or settings["vocab_size"]) != settings["vocab_size"]:
        refuse("decoder_vocab_size", f"it is that of the source here, vocab_size={settings['vocab_size']}")
    for name in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
        if settings[name] >= settings["vocab_size"]:
            refuse(name, f"there are only {settings['vocab_size']} entries")


def tying(settings: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether the output layer is the target embedding, and whether that is the source embedding."""
    tied = settings.get("tie_word_embeddings") is not False
    own = settings.get("share_encoder_decoder_embeddings") is not False if settings["model_type"] == "marian" else tied
    return tied, own


def read_vocabularies(folder: Path, settings: Mapping[str, Any]) -> tuple[bool, tuple[Entries, Entries]]:
    """Whether one vocabulary serves both sides, and the vocabularies of source and target."""
    path = folder / "tokenizer_config.json"
    names = read_json(path, MOST_BYTES) if os.path.lexists(path) else {}
    if not isinstance(names, dict):
        raise RunError(f"{path} is damaged: it is no object")
    separate = names.get("separate_vocabs") is True
    ids = [read_ids(folder / "vocab.json", settings)]
    ids.append(read_ids(folder / "target_vocab.json", settings) if separate else ids[0])
    models = [read_bytes(folder / name, MAX_MODEL_BYTES) for name in (SOURCE, TARGET)]
    joint = models[0] == models[1] and ids[0] == ids[1]
    unknown = names.get("unk_token")
    unknown = unknown if isinstance(unknown, str) else SPECIAL_PIECES[UNK]
    sides = []
    for name, model, known, whole in zip((SOURCE, TARGET), models, ids, (joint, True), strict=True):
        if unknown not in known:
            raise RunError(f"{folder}: its vocabulary has no {shortened(unknown)}, the token for unknown words")
        pieces = read_pieces(model, str(folder / name))
        if any(piece.kind == BYTE for piece in pieces):
            raise RunError(f"{folder / name} cannot be imported: it spells unknown characters as bytes")
        ids_there = SpecialIds(
            settings["pad_token_id"],
            known[unknown],
            settings["decoder_start_token_id"],
            settings["eos_token_id"],
        )
        sides.append(entries_of(pieces, known, ids_there, whole=whole))
    return joint, (sides[0], sides[1])


def read_ids(path: Path, settings: Mapping[str, Any]) -> dict[str, int]:
    """The ids of the pieces. Raises RunError for a damaged file."""
    found = read_json(path, MOST_BYTES)
    if not fits(found, {...: WHOLE}) or not found:
        raise RunError(f"{path} is damaged: it does not map pieces to ids")
    if max(found.values()) >= settings["vocab_size"] or len({*found.values()}) < len(found):
        raise RunError(f"{path} does not fit config.json: an id is there twice, or is not below its vocab_size")
    return dict(found)


def make_vocabularies(folder: Path, joint: bool, source: Entries, target: Entries) -> Vocabularies:
    """The tokenizers."""
    made = [
        tokenizer_of(read_bytes(folder / name, MAX_MODEL_BYTES), side.pieces, str(folder / name))
        for name, side in ((SOURCE, source), (TARGET, target))
    ]
    return Vocabularies(made[1] if joint else made[0], made[1])


def open_weights(folder: Path) -> AbstractContextManager[ForeignWeights]:
    """The tensors of model.safetensors, or of pytorch_model.bin."""
    if os.path.lexists(folder / "model.safetensors"):
        return open_safetensors(folder / "model.safetensors")
    if os.path.lexists(folder / "pytorch_model.bin"):
        return open_pickled(folder / "pytorch_model.bin")
    raise RunError(f"{folder} has neither model.safetensors nor pytorch_model.bin")


def position_table(weights: ForeignWeights, settings: Mapping[str, Any], name: str) -> Tensor | None:
    """The positions of encoder or decoder if they are learned; None for sinusoids, which need no table."""
    stored = f"model.{name}.embed_positions.weight"
    if stored not in weights:
        return None
    table = weights.take(stored, settings["max_position_embeddings"], settings["d_model"])
    precise = weights.tensors[stored].dtype in (torch.float32, torch.float64)
    return None if torch.allclose(table, sinusoids(settings), atol=1e-4 if precise else 1e-2) else table


def sinusoids(settings: Mapping[str, Any]) -> Tensor:
    """What is added to embeddings, (positions, D)."""
    entries, size = settings["max_position_embeddings"], settings["d_model"]
    encoding = PositionalEncoding("sinusoidal", size=size, heads=1, max_length=1)
    return encoding(torch.zeros(1, entries, size), torch.arange(entries))[0]


def model_weights(
    weights: ForeignWeights, settings: Mapping[str, Any], source: Entries, target: Entries
) -> Iterator[tuple[str, Tensor]]:
    """Our parameters by name, but positions."""
    D, V = settings["d_model"], settings["vocab_size"]
    tables = {name: embedding(weights, settings, name) for name in ("encoder", "decoder")}
    output = tables["decoder"] if tying(settings)[0] else weights.take("lm_head.weight", V, D)
    bias = torch.zeros(V)
    if "final_logits_bias" in weights:
        bias = weights.take("final_logits_bias", 1, V)[0]
    unnamed = torch.ones(V, dtype=torch.bool)
    unnamed[[row for row in target.rows if row is not None]] = unnamed[settings["pad_token_id"]] = False
    if (bias[unnamed] > -torch.inf).any():
        raise RunError(f"{weights.path} has entries that its vocabulary does not name: vocab_size={V} is larger")
    weights.ignore("embed_tokens.weight", "shared.weight", "lm_head.weight", "embed_positions.weight")
    yield "encoder.embedding.weight", gathered(tables["encoder"], source.rows)
    yield "decoder.embedding.weight", gathered(tables["decoder"], target.rows)
    yield "head.output.weight", gathered(output, target.rows)
    yield "head.output.bias", output_bias(bias, target.rows)
    for name in ("encoder", "decoder"):
        if settings["model_type"] != "marian":
            yield from norm(weights, f"model.{name}.layer_norm", f"{name}.norm", D)
        for i in range(settings[f"{name}_layers"]):
            yield from layer_weights(weights, f"model.{name}.layers.{i}", f"{name}.layers.{i}", settings, name)


def embedding(weights: ForeignWeights, settings: Mapping[str, Any], name: str) -> Tensor:
    """The embedding (V, D) of encoder or decoder, of which one is stored where several are tied."""
    tied, shared = tying(settings)
    names = [f"model.{name}.embed_tokens.weight"]
    if shared:
        names = ["model.shared.weight", *names, "model.encoder.embed_tokens.weight"]
    if tied and (shared or name == "decoder"):
        names.append("lm_head.weight")
    stored = next((each for each in names if each in weights), names[0])
    return weights.take(stored, settings["vocab_size"], settings["d_model"])


def norm(weights: ForeignWeights, theirs: str, ours: str, size: int) -> Iterator[tuple[str, Tensor]]:
    """Weight and bias of a LayerNorm."""
    for part in ("weight", "bias"):
        yield f"{ours}.{part}", weights.take(f"{theirs}.{part}", size)


def layer_weights(
    weights: ForeignWeights, theirs: str, ours: str, settings: Mapping[str, Any], name: str
) -> Iterator[tuple[str, Tensor]]:
    """The parameters of a layer."""
    D, inner = settings["d_model"], settings[f"{name}_ffn_dim"]
    sizes = {"feed.inner": (inner, D), "feed.outer": (D, inner)}
    for part, stored in LAYERS.items():
        if part.startswith("around_cross") and name == "encoder":
            continue
        if part in sizes:
            layer = weights.linear(f"{theirs}.{stored}", *sizes[part])
            yield from zip((f"{ours}.{part}.weight", f"{ours}.{part}.bias"), layer, strict=True)
        else:
            yield from norm(weights, f"{theirs}.{stored}", f"{ours}.{part}", D)
    for part, stored in ATTENTIONS.items():
        if part == "own" or name == "decoder":
            layers = [weights.linear(f"{theirs}.{stored}.{projection}", D, D) for projection in PROJECTIONS]
            yield from attention_weights(layers, f"{ours}.{part}", merged=part == "own")


def attention_weights(
    layers: Sequence[tuple[Tensor, Tensor]], name: str, *, merged: bool
) -> Iterator[tuple[str, Tensor]]:
    """The parameters of an attention, from the layers of query, key, value and output; `merged`: the first three are
    one layer here."""
    for n, part in enumerate(("weight", "bias")):
        query, key, value, out = (layer[n] for layer in layers)
        if merged:
            yield f"{name}.project.{part}", torch.cat((query, key, value))
        else:
            yield from ((f"{name}.query.{part}", query), (f"{name}.key.{part}", key), (f"{name}.value.{part}", value))
        yield f"{name}.out.{part}", out


def data_settings(languages: tuple[str, str]) -> DataConfig:
    """Settings of an unknown corpus between these languages, which may be empty."""
    return DataConfig(name="imported", source_language=languages[0], target_language=languages[1])


def search_settings(folder: Path) -> SearchConfig:
    """The beam of generation_config.json, or of config.json."""
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        found = read_json(path, MOST_BYTES) if os.path.lexists(path) else {}
        if isinstance(found, dict) and fits(found.get("num_beams"), WHOLE) and 0 < found["num_beams"] <= 64:
            alpha = found.get("length_penalty", 1.0)
            alpha = float(alpha) if fits(alpha, NUMBER) and 0 <= alpha <= 2 and math.isfinite(alpha) else 1.0
            return SearchConfig(beam=found["num_beams"], alpha=alpha)
    return SearchConfig()
