"""Builds models from their settings: the only place where ModelConfig meets the constructors of the parts."""

from collections.abc import Callable
from copy import copy as copy_module
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seq2seq.config import AttentionConfig, ModelConfig, RNNConfig, TransformerConfig
from seq2seq.errors import ConfigError, choose
from seq2seq.ids import EOS, PAD
from seq2seq.nn.attention.attention import Attention
from seq2seq.nn.attention.multihead import MultiHeadAttention
from seq2seq.nn.attention.normalizers import NORMALIZERS
from seq2seq.nn.attention.scorers import SCORERS, Scorer, Sizes
from seq2seq.nn.attention.windows import WINDOWS, Window, WindowConfig
from seq2seq.nn.heads import HEADS, VocabularyHead
from seq2seq.nn.init import INITIALIZERS
from seq2seq.nn.interface import Memory, Output, State
from seq2seq.nn.layers import ACTIVATIONS, NORMS, PositionalEncoding
from seq2seq.nn.rnn.cells import CELLS
from seq2seq.nn.rnn.decoder import DECODERS, READOUTS, RecurrentDecoder
from seq2seq.nn.rnn.encoder import BRIDGES, RecurrentEncoder
from seq2seq.nn.transformer import LayerConfig, TransformerDecoder, TransformerEncoder

Part = TypeVar("Part", bound=nn.Module)


class EncoderDecoder(nn.Module):
    """Implements interface.Model with any encoder, decoder and head."""

    def __init__(
        self,
        encoder: RecurrentEncoder | TransformerEncoder,
        decoder: RecurrentDecoder | TransformerDecoder,
        head: VocabularyHead,
        max_source: int | None,
        max_target: int | None,
        source_end: bool = True,
    ) -> None:
        super().__init__()
        self.source_end = source_end
        self.encoder, self.decoder, self.head = encoder, decoder, head
        self.max_source, self.max_target = max_source, max_target

    def encode(self, source: Tensor, copy: Tensor | None = None) -> Memory:
        """As interface.Model."""
        mask = self.source_mask(source)
        encoded = self.encoder(source, mask)
        tokens = source if copy is None else copy
        return Memory(tokens, encoded.states, mask, encoded.summary, self.decoder.cache(encoded))

    def source_mask(self, source: Tensor) -> Tensor:
        """source (B, S) ids -> (B, S), True on what the model reads.

        Without `source_end` that is not EOS, unless it is alone: something has to be read."""
        mask = source != PAD
        if self.source_end:
            return mask
        return mask & ((source != EOS) | (torch.arange(source.size(1), device=source.device) == 0))

    def start(self, memory: Memory, capacity: int | None = None) -> State:
        """As interface.Model."""
        return self.decoder.start(memory, capacity)

    def step(self, token: Tensor, state: State, memory: Memory, attention: bool = False) -> tuple[Output, State]:
        """As interface.Model."""
        return self.decoder.step(token, state, memory, attention or self.head.reads_weights)

    def select(self, rows: Tensor, state: State) -> State:
        """As interface.Model."""
        return self.decoder.select(rows, state)

    def decode(self, target_in: Tensor, memory: Memory, attention: bool = False) -> Output:
        """As interface.Model."""
        return self.decoder.decode(target_in, memory, attention or self.head.reads_weights)

    def restrict_vocabulary(self, ids: Tensor) -> "EncoderDecoder":
        """As interface.Model. The result shares all other parts with this model."""
        decoder, head = shallow_copy(self.decoder), shallow_copy(self.head)
        decoder.embedding = nn.Embedding.from_pretrained(self.decoder.embedding.weight.detach()[ids], padding_idx=PAD)
        head.output = head.output.select_outputs(ids)
        model = EncoderDecoder(self.encoder, decoder, head, self.max_source, self.max_target, self.source_end)
        return model.train(self.training)

    def forward(self, source: Tensor, target_in: Tensor, copy: Tensor | None = None, attention: bool = False) -> Output:
        """As interface.Model.__call__."""
        return self.decode(target_in, self.encode(source, copy), attention)


def shallow_copy(module: Part) -> Part:
    """A module that shares its submodules with `module`, and in which they can be replaced."""
    other = copy_module(module)
    other._modules = module._modules.copy()
    return other


def build_model(config: ModelConfig, source_size: int, target_size: int) -> EncoderDecoder:
    """The model of `config` for these vocabulary sizes.

    Raises ConfigError for settings that cannot work, or that would be ignored."""
    if config.tie == "all" and source_size != target_size:
        raise ConfigError(
            f"model.tie=all needs one vocabulary for both sides (tokenizer.joint=true), "
            f"not {source_size} and {target_size} entries"
        )
    match config:
        case RNNConfig():
            return build_rnn(config, source_size, target_size)
        case TransformerConfig():
            return build_transformer(config, source_size, target_size)
        case _:
            raise ConfigError(f"model.name={config.name!r} has no builder")


def build_rnn(config: RNNConfig, source_size: int, target_size: int) -> EncoderDecoder:
    """A recurrent encoder-decoder; ConfigError as in build_model."""
    target = make_embedding(target_size, config.embedding)
    source = target if config.tie == "all" else make_embedding(source_size, config.embedding)
    table = None if config.tie == "none" else target.weight
    parts = config.memory_size + config.hidden + config.embedding
    head = choose(HEADS, config.head, "model.head")(config.feature_size, target_size, table, parts)
    attention, limit = build_attention(config)
    if limit is None:
        config.refuse_ignored(("max_length",), "only the location score and learned positions have a limit")
    encoder, decoder = build_recurrent_encoder(config, source), build_recurrent_decoder(config, target, attention, head)
    model = EncoderDecoder(encoder, decoder, head, limit, None, config.source_end)
    initialize = choose(INITIALIZERS, config.initializer, "model.initializer")
    initialize(model, (source.weight, target.weight), config.init, config.embedding_init)
    return model


def build_recurrent_encoder(config: RNNConfig, source: nn.Embedding) -> RecurrentEncoder:
    """The encoder of a recurrent model; it keeps the cell states of its layers if the bridge reads them."""
    bidirectional_layers = (config.bidirectional_layers or config.encoder_layers) if config.bidirectional else 0
    return RecurrentEncoder(
        source,
        choose(CELLS, config.cell, "model.cell"),
        config.memory_size,
        config.encoder_layers,
        dropout=config.dropout,
        bidirectional_layers=bidirectional_layers,
        residual=config.residual_from if config.residual else 0,
        reverse_source=config.reverse,
        keep_state="cells" in choose(BRIDGES, config.bridge, "model.bridge").reads,
    )


def build_attention(config: RNNConfig) -> tuple[Attention | MultiHeadAttention, int | None]:
    """The attention of a recurrent decoder, and the longest source that it can score (None: no limit)."""
    heads, memory = config.attention.heads, config.memory_size
    query = memory if heads > 1 else config.hidden  # multi-head attention projects the query to the memory's size
    sizes = Sizes(query // heads, memory // heads, config.attention.hidden, config.max_length)
    scorer, window = build_scorer_and_window(config, sizes, config.hidden, heads if heads > 1 else None)
    normalize = choose(NORMALIZERS, config.attention.normalizer, "model.attention.normalizer")
    limit = config.max_length if "max_length" in scorer.uses else None
    if heads > 1:
        attention = MultiHeadAttention(
            scorer, window, normalize, query_size=config.hidden, memory_size=memory, heads=heads
        )
        return attention, limit
    return Attention(scorer, window, normalize, config.attention.coverage), limit


def build_recurrent_decoder(
    config: RNNConfig, target: nn.Embedding, attention: Attention | MultiHeadAttention, head: VocabularyHead
) -> RecurrentDecoder:
    """The recurrent decoder of `model.order`."""
    variants = {"luong": config.feed if config.input_feeding else "", "bahdanau": config.readout_state}
    decoder = DECODERS[config.order, variants.get(config.order, "")]
    cell, hidden = choose(CELLS, config.cell, "model.cell"), config.hidden
    features = hidden if config.readout == "state" else config.feature_size
    fed = {"features": features, "context": config.memory_size, "": 0}[decoder.fed]
    above = hidden + config.memory_size if decoder.upper_context else hidden
    first = cell(config.embedding, hidden, fed_size=fed)
    cells = [first, *(cell(above, hidden) for _ in range(config.decoder_layers - 1))]
    bridge = choose(BRIDGES, config.bridge, "model.bridge")(config.memory_size, hidden, config.decoder_layers)
    return decoder(
        target,
        cells,
        attention,
        bridge,
        memory_size=config.memory_size,
        feature_size=features,
        dropout=config.dropout,
        residual=config.residual_from if config.residual else 0,
        readout=choose(READOUTS, config.readout, "model.readout"),
        keeps_parts=head.reads_parts,
    )


def build_transformer(config: TransformerConfig, source_size: int, target_size: int) -> EncoderDecoder:
    """A Transformer encoder-decoder; ConfigError as in build_model."""
    target = make_embedding(target_size, config.size)
    source = target if config.tie == "all" else make_embedding(source_size, config.size)
    for table in (source, target):
        nn.init.normal_(table.weight, std=config.size**-0.5)
    shared = None if config.tie == "none" else target.weight
    head = choose(HEADS, config.head, "model.head")(config.size, target_size, shared)
    layers = LayerConfig(
        config.size,
        config.heads,
        config.feedforward,
        config.dropout,
        pre_norm=config.norm_order == "pre",
        norm=normalization(config),
        activation=choose(ACTIVATIONS, config.activation, "model.activation"),
    )
    normalize = choose(NORMALIZERS, config.attention.normalizer, "model.attention.normalizer")
    head_size = config.size // config.heads

    def cross_attention() -> MultiHeadAttention:
        sizes = Sizes(head_size, head_size, config.attention.hidden, config.max_length)
        scorer, window = build_scorer_and_window(config, sizes, config.size, config.heads)
        return MultiHeadAttention(
            scorer, window, normalize, query_size=config.size, memory_size=config.size, heads=config.heads
        )

    def positions() -> PositionalEncoding:
        return PositionalEncoding(config.positions, size=config.size, heads=config.heads, max_length=config.max_length)

    encoder = TransformerEncoder(source, positions(), config.encoder_layers, layers)
    decoder = TransformerDecoder(target, positions(), config.decoder_layers, layers, cross_attention)
    for name, weight in [*encoder.named_parameters(), *decoder.named_parameters()]:
        if weight.dim() == 2 and "embedding" not in name and "table" not in name:
            nn.init.xavier_uniform_(weight)
    limit = config.max_length if config.positions == "learned" else None
    location = "max_length" in SCORERS[config.attention.scorer].uses
    if limit is None and not location:
        config.refuse_ignored(("max_length",), "only the location score and learned positions have a limit")
    return EncoderDecoder(encoder, decoder, head, config.max_length if location else limit, limit, config.source_end)


def normalization(config: TransformerConfig) -> Callable[[int], nn.Module]:
    """The constructor of a normalization, of the size."""
    norm = choose(NORMS, config.norm, "model.norm")
    return partial(norm, eps=config.norm_epsilon) if config.norm == "layer" else norm


def make_embedding(entries: int, size: int) -> nn.Embedding:
    """An embedding whose entry of PAD gets no gradient, except from an output layer that shares it."""
    return nn.Embedding(entries, size, padding_idx=PAD)


def build_scorer_and_window(
    config: ModelConfig, sizes: Sizes, window_query: int, heads: int | None
) -> tuple[Scorer, Window]:
    """The scorer and window of `config`. Raises ConfigError for attention settings that neither of them reads."""
    attention: AttentionConfig = config.attention
    scorer = choose(SCORERS, attention.scorer, "model.attention.scorer")(sizes)
    form = WindowConfig(*(getattr(attention, name) for name in WindowConfig._fields))
    window = choose(WINDOWS, attention.window, "model.attention.window")(window_query, form, heads)
    unread = [name for name in ("hidden", *WindowConfig._fields) if name not in scorer.uses | window.uses]
    attention.refuse_ignored(unread, f"neither scorer={attention.scorer} nor window={attention.window} reads it")
    if window.single and scorer.reads:
        why = f"window={attention.window} allows one position, whose weight is 1; choose scorer=uniform"
        raise ConfigError(f"model.attention.scorer={attention.scorer} would be ignored: {why}")
    if not scorer.reads:
        attention.refuse_ignored(("normalizer",), f"scorer={attention.scorer} gives equal scores, and so equal weights")
    return scorer, window


class SkipInit(TorchFunctionMode):
    """A context in which parameters are left uninitialized, because their values will come from a file.

    On the meta device it also keeps torch from importing sympy, which would take longer than building the model."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in ("uniform_", "normal_", "zero_", "fill_"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def build_meta_model(config: ModelConfig, source_size: int = 8, target_size: int = 8) -> EncoderDecoder:
    """As `build_model`, with the same errors, on the meta device, which takes next to no time and memory."""
    with torch.device("meta"), SkipInit():
        return build_model(config, source_size, target_size)
