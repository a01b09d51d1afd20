"""Exports Transformers to CTranslate2 (Klein et al. 2020): a folder that `ctranslate2.Translator` opens.

It holds the model, its vocabularies and settings, and the SentencePiece models that split text into tokens:

>>> tokens = sentencepiece.SentencePieceProcessor(model_file="FOLDER/joint.spm").encode("A dog runs .", out_type=str)
>>> ctranslate2.Translator("FOLDER").translate_batch([tokens], beam_size=5)
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from seq2seq.config import Config, TransformerConfig
from seq2seq.data.folders import new_folder
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.errors import ConfigError
from seq2seq.export.formats import check_format
from seq2seq.export.projections import (
    Projection,
    array,
    cross_attention,
    layers_of,
    longest_target,
    position_entries,
    position_table,
    projection,
    self_attention,
)
from seq2seq.ids import BOS, EOS, UNK
from seq2seq.nn.build import EncoderDecoder
from seq2seq.nn.layers import FeedForward
from seq2seq.nn.transformer import TransformerDecoder, TransformerEncoder

ACTIVATIONS = {
    "relu": "RELU",
    "gelu": "GELU",
    "swish": "SWISH",
    "swiglu": "SWISH",
}  # names of theirs; swiglu is a gated swish


def write_ctranslate2(
    model: EncoderDecoder, config: Config, vocabularies: Vocabularies, folder: Path, dtype: str = "float32"
) -> None:
    """Write the model as a new folder for CTranslate2, which quantizes the weights to `dtype`.

    Raises ConfigError for a model that it cannot represent, an unknown dtype, an existing folder, and if the package
    ctranslate2 is missing."""
    check_format("ctranslate2", config, dtype)
    spec = build_spec(model, config, vocabularies)
    spec.validate()
    spec.optimize(quantization=None if dtype == "float32" else dtype)
    with new_folder(folder) as temporary:
        spec.save(str(temporary))
        vocabularies.save(temporary)


def search_options(config: Config) -> dict[str, Any]:
    """The options of `ctranslate2.Translator.translate_batch` for our search settings.

    Those that have no counterpart are `left_out` of FORMATS."""
    search = config.search
    options: dict[str, Any] = {
        "beam_size": 1 if search.sampling else search.beam,
        "num_hypotheses": search.n_best,
        "min_decoding_length": search.min_length,
        "max_decoding_length": longest_target(config),
        "max_input_length": min(search.max_source, position_entries(config) or search.max_source),
        "no_repeat_ngram_size": search.no_repeat,
        "length_penalty": search.alpha if search.length_penalty == "average" else 0.0,
        "replace_unknowns": search.replace_unknown,
        "return_scores": True,
    }
    if search.sampling:
        options |= {"sampling_topk": search.top_k, "sampling_topp": search.top_p}
        options["sampling_temperature"] = search.temperature
    return options


def build_spec(model: EncoderDecoder, config: Config, vocabularies: Vocabularies) -> Any:
    """The model as a specification of CTranslate2 that holds copies of all weights."""
    specs, settings = import_ctranslate2().specs, config.model
    assert isinstance(settings, TransformerConfig)
    assert isinstance(model.encoder, TransformerEncoder)
    assert isinstance(model.decoder, TransformerDecoder)
    common = {
        "num_heads": settings.heads,
        "pre_norm": settings.norm_order == "pre",
        "activation": specs.common_spec.Activation[ACTIVATIONS[settings.activation]],
        "ffn_glu": settings.activation == "swiglu",
        "rms_norm": settings.norm == "rms",
        "rotary_dim": settings.size // settings.heads if settings.positions == "rotary" else None,
    }
    encoder = specs.TransformerEncoderSpec(settings.encoder_layers, **common)
    decoder = specs.TransformerDecoderSpec(settings.decoder_layers, alignment_heads=settings.heads, **common)
    entries = position_entries(config)
    set_stack(encoder, encoder.embeddings[0], model.encoder, entries)
    set_stack(decoder, decoder.embeddings, model.decoder, entries)
    set_linear(decoder.projection, projection(model.output_layer))
    for layer, own in zip(decoder.layer, model.decoder.layers, strict=True):
        query, key, value, out = cross_attention(own.cross)
        set_norm(layer.attention.layer_norm, own.around_cross.norm)
        set_linear(layer.attention.linear[0], query)
        set_linear(layer.attention.linear[1], key, value)
        set_linear(layer.attention.linear[2], out)
    spec = specs.TransformerSpec(encoder, decoder)
    register(spec, vocabularies.source, vocabularies.target)
    spec.config.add_source_eos = settings.source_end
    spec.config.layer_norm_epsilon = norm_epsilon(layers_of(model.encoder)[0].around_own.norm)
    return spec


def import_ctranslate2() -> Any:
    """The module ctranslate2. Raises ConfigError if it is not installed."""
    try:
        import ctranslate2
        import ctranslate2.specs
    except ImportError as error:
        raise ConfigError("this format needs the package ctranslate2: pip install 'seq2seq[export]'") from error
    return ctranslate2


def set_stack(spec: Any, embeddings: Any, stack: TransformerEncoder | TransformerDecoder, entries: int | None) -> None:
    """Set what encoder and decoder have in common: embeddings, positions, self-attention and feed-forward layers.

    entries: of the table of positions; None: there is none."""
    embeddings.weight = array(stack.embedding.weight)
    if entries:
        spec.position_encodings.encodings = position_table(stack.positions, entries)
    elif hasattr(spec, "position_encodings"):
        del spec.position_encodings
    if not isinstance(stack.norm, nn.Identity):
        set_norm(spec.layer_norm, stack.norm)
    for layer, own in zip(spec.layer, layers_of(stack), strict=True):
        query, key, value, out = self_attention(own.own)
        set_norm(layer.self_attention.layer_norm, own.around_own.norm)
        set_linear(layer.self_attention.linear[0], query, key, value)
        set_linear(layer.self_attention.linear[1], out)
        set_norm(layer.ffn.layer_norm, own.around_feed.norm)
        set_feed_forward(layer.ffn, own.feed)


def set_feed_forward(spec: Any, feed: FeedForward) -> None:
    """Set the layers of a feed-forward network, whose first is two if its activation is gated."""
    gated = feed.inner.out_features > feed.outer.in_features
    weights, biases = (np.split(part, 2 if gated else 1) for part in projection(feed.inner))
    set_linear(spec.linear_0, Projection(weights[0], biases[0]))
    if gated:
        set_linear(spec.linear_0_noact, Projection(weights[1], biases[1]))
    set_linear(spec.linear_1, projection(feed.outer))


def set_linear(spec: Any, *layers: Projection) -> None:
    """Set a linear layer, to several that read the same if they are given."""
    spec.weight = np.concatenate([layer.weight for layer in layers])
    spec.bias = np.concatenate([layer.bias for layer in layers])


def set_norm(spec: Any, norm: nn.Module) -> None:
    """Set the weights of LayerNorm or RMSNorm, which has no bias."""
    spec.gamma = array(norm.weight)  # type: ignore[arg-type]
    if isinstance(norm, nn.LayerNorm):
        spec.beta = array(norm.bias)


def norm_epsilon(norm: nn.Module) -> float:
    """The epsilon of a normalization: torch's RMSNorm has by default that of the dtype."""
    assert isinstance(norm, nn.LayerNorm | nn.RMSNorm)
    return torch.finfo(torch.float32).eps if norm.eps is None else norm.eps


def register(spec: Any, source: Tokenizer, target: Tokenizer) -> None:
    """Set the vocabularies, and what the tokens mean that begin and end a sentence."""
    spec.register_source_vocabulary(source.symbols())
    spec.register_target_vocabulary(target.symbols())
    names = target.symbols()
    spec.config.unk_token, spec.config.bos_token, spec.config.eos_token = names[UNK], names[BOS], names[EOS]
    spec.config.decoder_start_token = names[BOS]
