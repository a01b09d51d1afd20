"""Exports Transformers to Hugging Face: a folder that the `AutoModelForSeq2SeqLM` and `AutoTokenizer` of transformers
open.

The Marian of transformers is a post-norm Transformer, its Pegasus a pre-norm one; both keep their positions in a table
that is loaded like other weights, so that it may be learned. transformers is not needed to write the folder:

>>> marian, subwords = AutoModelForSeq2SeqLM.from_pretrained("FOLDER"), AutoTokenizer.from_pretrained("FOLDER")
>>> found = marian.generate(**subwords(["A dog runs ."], return_tensors="pt"))
>>> subwords.batch_decode(found, skip_special_tokens=True)
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.config import Config, TransformerConfig
from seq2seq.data.folders import new_folder
from seq2seq.data.vocabulary import Vocabularies
from seq2seq.export.formats import check_format
from seq2seq.export.projections import (
    Projections,
    cross_attention,
    layers_of,
    longest_target,
    position_entries,
    position_table,
    self_attention,
)
from seq2seq.ids import BOS, EOS, PAD, UNK
from seq2seq.nn.build import EncoderDecoder
from seq2seq.nn.transformer import DecoderLayer, TransformerDecoder, TransformerEncoder
from seq2seq.runs.weights import save_tensors
from seq2seq.utils.files import write_json

ARCHITECTURES = {"post": ("marian", "MarianMTModel"), "pre": ("pegasus", "PegasusForConditionalGeneration")}
# names of the parts of a layer: ours -> theirs; the import reads them, too
ATTENTIONS = {"own": "self_attn", "cross": "encoder_attn"}
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")
LAYERS = {
    "around_own.norm": "self_attn_layer_norm",
    "around_cross.norm": "encoder_attn_layer_norm",
    "feed.inner": "fc1",
    "feed.outer": "fc2",
    "around_feed.norm": "final_layer_norm",
}
SPECIAL_IDS = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS, "decoder_start_token_id": BOS}


def write_huggingface(
    model: EncoderDecoder, config: Config, vocabularies: Vocabularies, folder: Path, dtype: str = "float32"
) -> None:
    """Write the model as a new folder for transformers, its weights in `dtype`.

    Raises ConfigError for a model that it cannot represent, an unknown dtype and an existing folder."""
    check_format("huggingface", config, dtype)
    settings = config.model
    assert isinstance(settings, TransformerConfig)
    entries = position_entries(config)
    assert entries is not None
    rows = vocabularies.larger  # Pegasus has one size for both vocabularies, and so has the search of transformers 5.0
    with new_folder(folder) as temporary:
        write_json(temporary / "config.json", architecture(settings, rows, entries, dtype))
        write_json(temporary / "generation_config.json", generation(config))
        write_tokenizer(vocabularies, temporary, entries)
        tensors = {name: x.to(getattr(torch, dtype)) for name, x in weights(model, settings, rows, entries)}
        save_tensors(tensors, temporary / "model.safetensors", format="pt")


def output_is_tied(settings: TransformerConfig) -> bool:
    """Whether the output layer is a target embedding; Pegasus ties that to the source embedding as well, or not at
    all."""
    return settings.tie == "all" or (settings.tie == "target" and settings.norm_order == "post")


def architecture(settings: TransformerConfig, rows: int, entries: int, dtype: str) -> dict[str, Any]:
    """config.json for vocabularies of `rows` entries and tables of `entries` positions."""
    kind, name = ARCHITECTURES[settings.norm_order]
    own = {"decoder_vocab_size": rows, "share_encoder_decoder_embeddings": settings.tie == "all"}
    return {
        "model_type": kind,
        "architectures": [name],
        "vocab_size": rows,
        **(own if kind == "marian" else {}),
        "tie_word_embeddings": output_is_tied(settings),
        "d_model": settings.size,
        "encoder_layers": settings.encoder_layers,
        "decoder_layers": settings.decoder_layers,
        "encoder_attention_heads": settings.heads,
        "decoder_attention_heads": settings.heads,
        "encoder_ffn_dim": settings.feedforward,
        "decoder_ffn_dim": settings.feedforward,
        "activation_function": settings.activation,
        "max_position_embeddings": entries,
        "scale_embedding": True,
        "dropout": settings.dropout,
        "is_encoder_decoder": True,
        "use_cache": True,
        "dtype": dtype,
        "forced_eos_token_id": None,
        **SPECIAL_IDS,
    }


def generation(config: Config) -> dict[str, Any]:
    """generation_config.json: the settings of a search by the names that `generate` has for them.

    Those that have no counterpart are `left_out` of FORMATS."""
    search = config.search
    options: dict[str, Any] = {
        **SPECIAL_IDS,
        "suppress_tokens": [PAD, BOS],
        "max_new_tokens": longest_target(config),
        "num_return_sequences": search.n_best,
    }
    if search.min_length:
        options["min_new_tokens"] = search.min_length
    if search.no_repeat:
        options["no_repeat_ngram_size"] = search.no_repeat
    if search.sampling:
        sampled = {"temperature": search.temperature, "top_k": search.top_k, "top_p": search.top_p}
        return options | {"do_sample": True, **sampled}
    if search.beam == 1:
        return options | {"num_beams": 1}
    alpha = search.alpha if search.length_penalty == "average" else 0.0
    return options | {"num_beams": search.beam, "length_penalty": alpha, "early_stopping": True}


def write_tokenizer(vocabularies: Vocabularies, folder: Path, longest: int) -> None:
    """Write the files of a MarianTokenizer, which splits text by our SentencePiece models."""
    for name, tokenizer in (("source.spm", vocabularies.source), ("target.spm", vocabularies.target)):
        tokenizer.save(folder / name)
    ids = [{s: i for i, s in enumerate(side.symbols())} for side in (vocabularies.source, vocabularies.target)]
    write_json(folder / "vocab.json", ids[0])
    settings: dict[str, Any] = {"tokenizer_class": "MarianTokenizer", "separate_vocabs": not vocabularies.joint}
    if not vocabularies.joint:
        write_json(folder / "target_vocab.json", ids[1])
    symbols = vocabularies.target.symbols()
    settings |= {"pad_token": symbols[PAD], "unk_token": symbols[UNK], "eos_token": symbols[EOS]}
    settings |= {"bos_token": symbols[BOS], "model_max_length": longest, "split_special_tokens": True}
    write_json(folder / "tokenizer_config.json", settings)


def weights(
    model: EncoderDecoder, settings: TransformerConfig, rows: int, entries: int
) -> Iterator[tuple[str, Tensor]]:
    """All weights by their names in transformers; in tables of `rows` entries those that a vocabulary lacks have
    probability 0."""
    encoder, decoder = model.encoder, model.decoder
    assert isinstance(encoder, TransformerEncoder)
    assert isinstance(decoder, TransformerDecoder)
    source, target = (padded_rows(part.embedding.weight, rows) for part in (encoder, decoder))
    if settings.tie == "all":
        yield "model.shared.weight", target
    else:
        if settings.norm_order == "pre":
            yield "model.shared.weight", source.clone()  # not read; without it Pegasus warns of missing weights
        yield "model.encoder.embed_tokens.weight", source
        yield "model.decoder.embed_tokens.weight", target
        yield "lm_head.weight", padded_rows(model.output_layer.weight, rows)  # transformers 5.0 reads it if tied, too
    yield "final_logits_bias", padded_rows(model.output_layer.bias, rows, -torch.inf).unsqueeze(0)
    for name, stack in (("encoder", encoder), ("decoder", decoder)):
        yield f"model.{name}.embed_positions.weight", torch.from_numpy(position_table(stack.positions, entries))
        yield from named(f"model.{name}.layer_norm", stack.norm)
        for i, layer in enumerate(layers_of(stack)):
            prefix = f"model.{name}.layers.{i}"
            yield from attention(f"{prefix}.{ATTENTIONS['own']}", self_attention(layer.own))
            if isinstance(layer, DecoderLayer):
                yield from attention(f"{prefix}.{ATTENTIONS['cross']}", cross_attention(layer.cross))
            for ours, theirs in LAYERS.items():
                if isinstance(layer, DecoderLayer) or not ours.startswith("around_cross"):
                    yield from named(f"{prefix}.{theirs}", layer.get_submodule(ours))


def padded_rows(table: Tensor, rows: int, value: float = 0.0) -> Tensor:
    """A copy of the table (N, ...) with at least `rows` rows; the new ones hold `value`."""
    missing = max(0, rows - len(table))
    return torch.cat((table.detach().cpu(), table.new_full((missing, *table.shape[1:]), value, device="cpu")))


def named(name: str, layer: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The weights of a layer; none of an Identity."""
    for part, weight in layer.named_parameters():
        yield f"{name}.{part}", weight.detach()


def attention(name: str, layers: Projections) -> Iterator[tuple[str, Tensor]]:
    """The weights of an attention."""
    for part, (weight, bias) in zip(PROJECTIONS, layers, strict=True):
        yield f"{name}.{part}.weight", torch.from_numpy(weight)
        yield f"{name}.{part}.bias", torch.from_numpy(bias)
