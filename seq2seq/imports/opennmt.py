"""Reads models of OpenNMT-py 3, recurrent and Transformer, that scripts/convert_opennmt.py converted.

A folder holds model.safetensors, and model.json with the options and both vocabularies. OpenNMT-py does not read the
end of a source: model.source_end=false. Its sinusoids alternate sines and cosines, and come in two blocks here, so that
the features of a Transformer are permuted wherever they occur.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seq2seq.config import AttentionConfig, Config, ModelConfig, RNNConfig, SearchConfig, TransformerConfig
from seq2seq.config.data import DataConfig, TokenizerConfig
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.errors import ConfigError, RunError, shortened
from seq2seq.imports.entries import MOST_ENTRIES, Entries, SpecialIds, entries_of, gathered, output_bias
from seq2seq.imports.pieces import BYTE, read_pieces, tokenizer_of, word_tokenizer
from seq2seq.imports.run import ImportedModel
from seq2seq.imports.weights import ForeignWeights, open_safetensors
from seq2seq.runtime.untrusted import MIB, TEXT, fits, read_bytes, read_json
from seq2seq.runtime.vocabulary import MAX_MODEL_BYTES, SPACE_MARK

MOST_BYTES = 64 * MIB  # of model.json
SCHEMA = {"format": TEXT, "options": {}, "source": [TEXT], "target": [TEXT], "start": TEXT}
PAD, UNKNOWN, END = "<blank>", "<unk>", "</s>"  # special tokens there

Layer = tuple[Tensor, Tensor]  # weight and bias

# option -> the values that can be represented; the first is what a checkpoint without the option means
COMMON: dict[str, tuple[Any, ...]] = {
    "model_task": ("seq2seq",), "model_type": ("text",), "n_src_feats": (0,), "copy_attn": (False,),
    "coverage_attn": (False, 0), "context_gate": (None,), "generator_function": ("softmax",),
    "quant_layers": ([], None), "lora_layers": ([], None),
}  # fmt: skip
RECURRENT: dict[str, tuple[Any, ...]] = {
    "decoder_type": ("rnn",), "rnn_type": ("LSTM", "GRU"), "bridge": (False,), "position_encoding": (False,),
    "global_attention": ("general", "dot", "mlp"), "global_attention_function": ("softmax", "sparsemax"),
}  # fmt: skip
TRANSFORMER: dict[str, tuple[Any, ...]] = {
    "decoder_type": ("transformer",), "position_encoding": (True,), "max_relative_positions": (0,),
    "position_encoding_type": ("SinusoidalInterleaved",), "relative_positions_buckets": (0,),
    "self_attn_type": ("scaled-dot", "scaled-dot-flash"), "layer_norm": ("standard",), "parallel_residual": (False,),
    "num_kv": (0,), "multiquery": (False,), "num_experts": (0,), "sliding_window": (0,),
    "pos_ffn_activation_fn": ("relu", "gelu", "silu"),
}  # fmt: skip
ENCODERS = {"rnn": RECURRENT, "brnn": RECURRENT, "transformer": TRANSFORMER}
SIZES = ("enc_layers", "dec_layers", "enc_hid_size", "dec_hid_size", "src_word_vec_size", "tgt_word_vec_size")
SCORERS = {"general": "general", "dot": "dot", "mlp": "additive"}
ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "silu": "swiglu"}  # silu is gated there


def read_opennmt(
    folder: Path, languages: tuple[str, str] = ("", ""), models: tuple[Path | None, Path | None] = (None, None)
) -> ImportedModel:
    """The model in a folder; models: the SentencePiece models that its text was split by, None if by spaces.

    Raises RunError if a file is missing or damaged, and, with the name of the option and its value, for a model that
    cannot be represented here."""
    path = folder / "model.json"
    description = read_json(path, MOST_BYTES)
    if not fits(description, SCHEMA) or description["format"] != "OpenNMT-py 3":
        raise RunError(f"{path} is not what scripts/convert_opennmt.py writes")
    options = checked_options(path, description["options"])
    sides = [entries(path, description, side, model) for side, model in zip(("source", "target"), models, strict=True)]
    both = description["source"] == description["target"] and models[0] == models[1]
    tokenizers = [side[1] for side in sides]
    vocabularies = Vocabularies(tokenizers[1] if both else tokenizers[0], tokenizers[1])
    tie = tying(options, joint=both)
    try:
        model = recurrent_config(options, tie) if "rnn_type" in options else transformer_config(options, tie)
        config = Config(
            variant="opennmt",
            data=DataConfig(name="imported", source_language=languages[0], target_language=languages[1]),
            tokenizer=TokenizerConfig(joint=both, size=vocabularies.larger, kind="unigram" if models[1] else "word"),
            model=model,
            search=SearchConfig(),
        )
    except ConfigError as error:
        raise RunError(f"{path} cannot be imported: {error}") from error
    with open_safetensors(folder / "model.safetensors") as weights:
        read = recurrent_weights if "rnn_type" in options else transformer_weights
        sizes = len(description["source"]), len(description["target"])
        tensors = dict(read(weights, options, sizes, (sides[0][0], sides[1][0])))
        weights.ignore("pe.pe")
        weights.refuse_others()
    return ImportedModel(config, vocabularies, tensors, {"format": "opennmt", "architecture": options["encoder_type"]})


def checked_options(path: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that matter. Raises RunError for the first that cannot be represented."""
    encoder = given.get("encoder_type")
    if not isinstance(encoder, str) or encoder not in ENCODERS:
        raise RunError(refusal(path, "encoder_type", encoder, tuple(ENCODERS)))
    found: dict[str, Any] = {"encoder_type": encoder}
    for name, allowed in (COMMON | ENCODERS[encoder]).items():
        value = given.get(name, allowed[0])
        if not any(value == one and type(value) is type(one) for one in allowed):
            raise RunError(refusal(path, name, value, allowed))
        found[name] = value
    needed = (*SIZES, "heads", "transformer_ff") if ENCODERS[encoder] is TRANSFORMER else SIZES
    for name in needed:
        if type(value := given.get(name)) is not int or not 0 < value < 2**20:
            raise RunError(f"{path}: {name}={shortened(value)} is no size")
        found[name] = value
    if found["enc_hid_size"] != found["dec_hid_size"]:
        raise RunError(refusal(path, "dec_hid_size", found["dec_hid_size"], (found["enc_hid_size"],)))
    for name in ("input_feed", "share_embeddings", "share_decoder_embeddings", "add_qkvbias", "add_ffnbias"):
        found[name] = bool(given.get(name, name == "input_feed"))
    epsilon, dropout = given.get("norm_eps", 1e-6), given.get("dropout", 0.1)
    dropout = dropout[0] if isinstance(dropout, list) and dropout else dropout
    for name, number in (("norm_eps", epsilon), ("dropout", dropout)):
        if not isinstance(number, float | int):
            raise RunError(f"{path}: {name}={shortened(number)} is no number")
        found[name] = float(number)
    return found


def refusal(path: Path, name: str, value: Any, allowed: Sequence[Any]) -> str:
    """The error sentence for an option."""
    choices = " or ".join(map(str, allowed))
    return f"{path}: {name}={shortened(value)} cannot be imported: this package represents {choices}"


def entries(path: Path, description: Mapping[str, Any], side: str, model: Path | None) -> tuple[Entries, Tokenizer]:
    """The vocabulary of one side, and its tokenizer."""
    words: list[str] = description[side]
    ids = {word: i for i, word in enumerate(words)}
    if len(ids) < len(words) or len(words) > MOST_ENTRIES:
        raise RunError(f"{path} is damaged: a word of its {side} vocabulary is there twice, or it has too many")
    for word in (PAD, UNKNOWN, END, description["start"]):
        if word not in ids:
            raise RunError(f"{path}: the {side} vocabulary has no {shortened(word)}")
    special = SpecialIds(ids[PAD], ids[UNKNOWN], ids[description["start"]], ids[END])
    if model is not None:
        content = read_bytes(model.resolve(), MAX_MODEL_BYTES)
        pieces = read_pieces(content, str(model))
        if any(piece.kind == BYTE for piece in pieces):
            raise RunError(f"{model} cannot be imported: it spells unknown characters as bytes")
        found = entries_of(pieces, ids, special, whole=True)
        return found, tokenizer_of(content, found.pieces, str(model))
    if any(SPACE_MARK in word for word in words):
        raise RunError(
            f"{path}: the {side} vocabulary has pieces of SentencePiece, such as"
            f" {shortened(next(word for word in words if SPACE_MARK in word))}: name its model by --{side}-spm"
        )
    taken = {*special}
    rest = [i for i in range(len(words)) if i not in taken]
    pad = None if special.pad == special.start else special.pad
    found = Entries([], [pad, special.unknown, special.start, special.end, *rest])
    return found, word_tokenizer([words[i] if words[i] else f"<{i}>" for i in rest], str(path))


def tying(options: Mapping[str, Any], *, joint: bool) -> str:
    """Our model.tie."""
    if not options["share_decoder_embeddings"]:
        return "none"
    return "all" if options["share_embeddings"] and joint else "target"


def recurrent_config(options: Mapping[str, Any], tie: str) -> ModelConfig:
    """Our settings of a recurrent model. Raises ConfigError if they are impossible."""
    if options["src_word_vec_size"] != options["tgt_word_vec_size"]:
        raise ConfigError(
            f"tgt_word_vec_size={options['tgt_word_vec_size']} is not src_word_vec_size={options['src_word_vec_size']}"
        )
    scorer = SCORERS[options["global_attention"]]
    hidden = {"hidden": options["dec_hid_size"]} if scorer == "additive" else {}
    normalizer = options["global_attention_function"]
    return RNNConfig(
        cell=options["rnn_type"].lower(),
        embedding=options["src_word_vec_size"],
        hidden=options["dec_hid_size"],
        encoder_layers=options["enc_layers"],
        decoder_layers=options["dec_layers"],
        bidirectional=options["encoder_type"] == "brnn",
        input_feeding=options["input_feed"],
        readout="linear" if scorer == "additive" else "tanh",
        bridge="copy_all" if options["rnn_type"] == "LSTM" else "copy",
        dropout=options["dropout"],
        tie=tie,
        source_end=False,
        attention=AttentionConfig(scorer=scorer, normalizer=normalizer, **hidden),
    )


def transformer_config(options: Mapping[str, Any], tie: str) -> ModelConfig:
    """Our settings of a Transformer. Raises ConfigError if they are impossible."""
    return TransformerConfig(
        encoder_layers=options["enc_layers"],
        decoder_layers=options["dec_layers"],
        size=options["enc_hid_size"],
        heads=options["heads"],
        feedforward=options["transformer_ff"],
        activation=ACTIVATIONS[options["pos_ffn_activation_fn"]],
        norm_epsilon=options["norm_eps"],
        dropout=options["dropout"],
        tie=tie,
        source_end=False,
        attention=AttentionConfig(scorer="scaled_dot"),
    )


def tables(
    weights: ForeignWeights, options: Mapping[str, Any], sizes: tuple[int, int], sides: tuple[Entries, Entries]
) -> Iterator[tuple[str, Tensor]]:
    """Embeddings and output layer in our order."""
    for name, size, side, entry in zip(("encoder", "decoder"), sizes, sides, ("src", "tgt"), strict=True):
        stored = f"{name}.embeddings.make_embedding.emb_luts.0.weight"
        table = weights.take(stored, size, options[f"{entry}_word_vec_size"])
        yield f"{name}.embedding.weight", gathered(table, side.rows)
    weight, bias = weights.linear("generator", sizes[1], options["dec_hid_size"])
    yield "head.output.weight", gathered(weight, sides[1].rows)
    yield "head.output.bias", output_bias(bias, sides[1].rows)


def recurrent_weights(
    weights: ForeignWeights, options: Mapping[str, Any], sizes: tuple[int, int], sides: tuple[Entries, Entries]
) -> Iterator[tuple[str, Tensor]]:
    """The parameters of a recurrent model."""
    yield from tables(weights, options, sizes, sides)
    gates = 4 if options["rnn_type"] == "LSTM" else 3
    H, E, both = options["dec_hid_size"], options["src_word_vec_size"], options["encoder_type"] == "brnn"
    width = H // 2 if both else H
    for i in range(options["enc_layers"]):
        for ours, ending in (("forwards", ""), ("backwards", "_reverse"))[: 2 if both else 1]:
            layer = cell(weights, "encoder.rnn.", f"_l{i}{ending}", gates, (H if i else E, width))
            names = f"encoder.{ours}.{i}"
            if gates == 4:
                yield from cell_weights(layer, f"{names}.cell", 0)
            else:  # a layer of torch
                yield from zip((f"{names}.{part}_l0" for part in PARTS), layer, strict=True)
    feeds = options["input_feed"]
    for i in range(options["dec_layers"]):
        read = H if i else E + (H if feeds else 0)
        place = (f"decoder.rnn.layers.{i}.", "") if feeds else ("decoder.rnn.", f"_l{i}")
        layer = cell(weights, *place, gates, (read, H))
        yield from cell_weights(layer, f"decoder.cells.{i}", H if feeds and not i else 0)
    yield from global_attention(weights, options["global_attention"], H)


PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # of a layer of torch


def cell(weights: ForeignWeights, before: str, after: str, gates: int, sizes: tuple[int, int]) -> list[Tensor]:
    """PARTS of a cell, named `before` + part + `after`. sizes: of what it reads, and of its state."""
    rows = gates * sizes[1]
    shapes = ((rows, sizes[0]), (rows, sizes[1]), (rows,), (rows,))
    return [weights.take(f"{before}{part}{after}", *shape) for part, shape in zip(PARTS, shapes, strict=True)]


def cell_weights(layer: Sequence[Tensor], name: str, fed: int) -> Iterator[tuple[str, Tensor]]:
    """The parameters of our cell; the last `fed` features of what it reads are fed back."""
    read, recurrent, bias, recurrent_bias = layer
    own = read.size(1) - fed
    yield f"{name}.input.weight", read[:, :own]
    if read.size(0) == 4 * recurrent.size(1):  # LSTM
        yield f"{name}.input.bias", bias + recurrent_bias
        yield f"{name}.recurrent.weight", torch.cat((read[:, own:], recurrent), 1)
        return
    yield f"{name}.input.bias", bias
    yield f"{name}.recurrent.weight", recurrent
    yield f"{name}.recurrent.bias", recurrent_bias
    if fed:
        yield f"{name}.feed.weight", read[:, own:]


def global_attention(weights: ForeignWeights, kind: str, size: int) -> Iterator[tuple[str, Tensor]]:
    """The parameters of Luong's attention and of the layer after it."""
    scorer = "decoder.attention.scorer"
    if kind == "general":  # (W q) . h there, q . (W' h) here
        yield f"{scorer}.keys.weight", weights.take("decoder.attn.linear_in.weight", size, size).t()
    if kind == "mlp":
        yield f"{scorer}.keys.weight", weights.take("decoder.attn.linear_context.weight", size, size)
        query = weights.linear("decoder.attn.linear_query", size, size)
        yield from zip((f"{scorer}.query.weight", f"{scorer}.query.bias"), query, strict=True)
        yield f"{scorer}.energy.weight", weights.take("decoder.attn.v.weight", 1, size)
        yield "decoder.combine.bias", weights.take("decoder.attn.linear_out.bias", size)
    yield "decoder.combine.weight", weights.take("decoder.attn.linear_out.weight", size, 2 * size)


def transformer_weights(
    weights: ForeignWeights, options: Mapping[str, Any], sizes: tuple[int, int], sides: tuple[Entries, Entries]
) -> Iterator[tuple[str, Tensor]]:
    """The parameters of a Transformer, whose features are permuted."""
    D = options["enc_hid_size"]
    order = torch.cat((torch.arange(0, D, 2), torch.arange(1, D, 2)))
    for name, table in tables(weights, options, sizes, sides):
        yield name, table[:, order] if table.dim() == 2 else table
    for side in ("encoder", "decoder"):
        yield from permuted_norm(weights, f"{side}.layer_norm", f"{side}.norm", order)
    for i in range(options["enc_layers"]):
        theirs, ours = f"encoder.transformer.{i}", f"encoder.layers.{i}"
        yield from permuted_norm(weights, f"{theirs}.layer_norm", f"{ours}.around_own.norm", order)
        yield from self_attention(weights, f"{theirs}.self_attn", f"{ours}.own", options, order)
        yield from feed_forward(weights, theirs, ours, options, order)
    for i in range(options["dec_layers"]):
        theirs, ours = f"decoder.transformer_layers.{i}", f"decoder.layers.{i}"
        yield from permuted_norm(weights, f"{theirs}.layer_norm_1", f"{ours}.around_own.norm", order)
        yield from permuted_norm(weights, f"{theirs}.layer_norm_2", f"{ours}.around_cross.norm", order)
        yield from self_attention(weights, f"{theirs}.self_attn", f"{ours}.own", options, order)
        layers = projections(weights, f"{theirs}.context_attn", options, order)
        for part, layer in zip(("query", "key", "value", "out"), layers, strict=True):
            yield from zip((f"{ours}.cross.{part}.weight", f"{ours}.cross.{part}.bias"), layer, strict=True)
        yield from feed_forward(weights, theirs, ours, options, order)


def permuted_norm(weights: ForeignWeights, theirs: str, ours: str, order: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The parameters of a LayerNorm."""
    for part in ("weight", "bias"):
        yield f"{ours}.{part}", weights.take(f"{theirs}.{part}", len(order))[order]


def projections(weights: ForeignWeights, name: str, options: Mapping[str, Any], order: Tensor) -> list[Layer]:
    """The layers of query, key, value and output of an attention."""
    D, bias = len(order), options["add_qkvbias"]
    names = ("linear_query", "linear_keys", "linear_values", "final_linear")
    *inner, out = (weights.linear(f"{name}.{part}", D, D, bias) for part in names)
    return [*((weight[:, order], b) for weight, b in inner), (out[0][order], out[1][order])]


def self_attention(
    weights: ForeignWeights, theirs: str, ours: str, options: Mapping[str, Any], order: Tensor
) -> Iterator[tuple[str, Tensor]]:
    """The parameters of self-attention, whose first three layers are one here."""
    *inner, out = projections(weights, theirs, options, order)
    yield f"{ours}.project.weight", torch.cat([weight for weight, _ in inner])
    yield f"{ours}.project.bias", torch.cat([bias for _, bias in inner])
    yield from zip((f"{ours}.out.weight", f"{ours}.out.bias"), out, strict=True)


def feed_forward(
    weights: ForeignWeights, theirs: str, ours: str, options: Mapping[str, Any], order: Tensor
) -> Iterator[tuple[str, Tensor]]:
    """The parameters of a feed-forward network and of its normalization; a gate comes last in its first layer."""
    name, D, inner, bias = f"{theirs}.feed_forward", len(order), options["transformer_ff"], options["add_ffnbias"]
    gated = options["pos_ffn_activation_fn"] == "silu"
    first = [weights.linear(f"{name}.{part}", inner, D, bias) for part in (("w_1", "w_3") if gated else ("w_1",))]
    yield f"{ours}.feed.inner.weight", torch.cat([weight[:, order] for weight, _ in first])
    yield f"{ours}.feed.inner.bias", torch.cat([b for _, b in first])
    second = weights.linear(f"{name}.w_2", D, inner, bias)
    yield f"{ours}.feed.outer.weight", second[0][order]
    yield f"{ours}.feed.outer.bias", second[1][order]
    yield from permuted_norm(weights, f"{name}.layer_norm", f"{ours}.around_feed.norm", order)
