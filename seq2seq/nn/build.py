"""Builds models from their settings: the only place where ModelConfig meets the constructors of the parts."""

from collections.abc import Callable, Sequence
from copy import copy as copy_module
from functools import partial
from typing import Any, Never, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seq2seq.config import AttentionConfig, ModelConfig, RNNConfig, TransformerConfig
from seq2seq.errors import ConfigError, choose
from seq2seq.ids import EOS, PAD
from seq2seq.nn.attention.attention import Attention
from seq2seq.nn.attention.multihead import MultiHeadAttention
from seq2seq.nn.attention.normalizers import NORMALIZERS
from seq2seq.nn.attention.pooling import POOLINGS, Pooling, PoolingConfig
from seq2seq.nn.attention.scorers import SCORERS, Scorer, Sizes
from seq2seq.nn.attention.windows import WINDOWS, Window, WindowConfig
from seq2seq.nn.heads import HEADS, VocabularyHead
from seq2seq.nn.init import INITIALIZERS
from seq2seq.nn.interface import Memory, Output, State
from seq2seq.nn.labels import LABEL_DECODERS, TAG_DECODERS, LabelDecoder, LabelHead
from seq2seq.nn.layers import ACTIVATIONS, NORMS, PositionalEncoding
from seq2seq.nn.ops.linear import Linear
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
        decoder: RecurrentDecoder | TransformerDecoder | LabelDecoder,
        head: VocabularyHead | LabelHead,
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
        return Memory(tokens, encoded.states, mask, encoded.summary, self.decoder.cache(encoded, source, mask))

    def source_mask(self, source: Tensor) -> Tensor:
        """source (B, S) ids -> (B, S), True on what the model reads.

        Without `source_end` that is not EOS, unless it is alone: something has to be read."""
        mask = source != PAD
        if self.source_end:
            return mask
        return mask & ((source != EOS) | (torch.arange(source.size(1), device=source.device) == 0))

    @property
    def output_layer(self) -> Linear:
        """The layer with an output for each entry of the target vocabulary."""
        return self.head.output  # type: ignore[return-value]

    def read_entries(self, source: Sequence[str], target: Sequence[str]) -> None:
        """Tell the model the entries of both vocabularies, as `SubwordModel.pieces` returns them."""

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
        embedding = cast(nn.Embedding, self.decoder.embedding)
        decoder.embedding = nn.Embedding.from_pretrained(embedding.weight.detach()[ids], padding_idx=PAD)
        head.output = self.output_layer.select_outputs(ids)
        model = EncoderDecoder(self.encoder, decoder, head, self.max_source, self.max_target, self.source_end)
        return model.train(self.training)

    def forward(self, source: Tensor, target_in: Tensor, copy: Tensor | None = None, attention: bool = False) -> Output:
        """As interface.Model.__call__."""
        return self.decode(target_in, self.encode(source, copy), attention)


class LabelModel(EncoderDecoder):
    """An encoder with a decoder that gives labels."""

    decoder: LabelDecoder
    head: LabelHead

    @property
    def output_layer(self) -> Linear:
        """As EncoderDecoder."""
        return self.decoder.output

    def read_entries(self, source: Sequence[str], target: Sequence[str]) -> None:
        """As EncoderDecoder. Raises RunError for vocabularies of other targets."""
        self.decoder.read_entries(source, target)

    def restrict_vocabulary(self, ids: Tensor) -> Never:
        """Raises ConfigError: there are few labels, and all of them are needed."""
        raise ConfigError("the model gives labels: it has few outputs, takes no shortlist and cannot be shrunk")


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
    if config.output != "text":
        return build_labeller(config, source_size, target_size)
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
    layers = layer_config(config)
    normalize = choose(NORMALIZERS, config.attention.normalizer, "model.attention.normalizer")
    head_size = config.size // config.heads

    def cross_attention() -> MultiHeadAttention:
        sizes = Sizes(head_size, head_size, config.attention.hidden, config.max_length)
        scorer, window = build_scorer_and_window(config, sizes, config.size, config.heads)
        return MultiHeadAttention(
            scorer, window, normalize, query_size=config.size, memory_size=config.size, heads=config.heads
        )

    encoder = TransformerEncoder(source, positions(config), config.encoder_layers, layers)
    decoder = TransformerDecoder(target, positions(config), config.decoder_layers, layers, cross_attention)
    init_xavier(encoder, decoder)
    limit = config.max_length if config.positions == "learned" else None
    location = "max_length" in SCORERS[config.attention.scorer].uses
    if limit is None and not location:
        config.refuse_ignored(("max_length",), "only the location score and learned positions have a limit")
    return EncoderDecoder(encoder, decoder, head, config.max_length if location else limit, limit, config.source_end)


def layer_config(config: TransformerConfig) -> LayerConfig:
    """What all layers share."""
    return LayerConfig(
        config.size,
        config.heads,
        config.feedforward,
        config.dropout,
        pre_norm=config.norm_order == "pre",
        norm=normalization(config),
        activation=choose(ACTIVATIONS, config.activation, "model.activation"),
    )


def positions(config: TransformerConfig) -> PositionalEncoding:
    """The positional encoding of one side."""
    return PositionalEncoding(config.positions, size=config.size, heads=config.heads, max_length=config.max_length)


def init_xavier(*parts: nn.Module) -> None:
    """Xavier's initialization of all matrices but those of embeddings, in the order of the parts."""
    for name, weight in [entry for part in parts for entry in part.named_parameters()]:
        if weight.dim() == 2 and "embedding" not in name and "table" not in name:
            nn.init.xavier_uniform_(weight)


def normalization(config: TransformerConfig) -> Callable[[int], nn.Module]:
    """The constructor of a normalization, of the size."""
    norm = choose(NORMS, config.norm, "model.norm")
    return partial(norm, eps=config.norm_epsilon) if config.norm == "layer" else norm


def build_labeller(config: ModelConfig, source_size: int, target_size: int) -> LabelModel:
    """Any encoder with a decoder of labels; ConfigError as in build_model."""
    match config:
        case RNNConfig():
            source, size = make_embedding(source_size, config.embedding), config.memory_size
            encoder: RecurrentEncoder | TransformerEncoder = build_recurrent_encoder(config, source)
            limit = None
        case TransformerConfig():
            source, size = make_embedding(source_size, config.size), config.size
            nn.init.normal_(source.weight, std=config.size**-0.5)
            encoder = TransformerEncoder(source, positions(config), config.encoder_layers, layer_config(config))
            limit = config.max_length if config.positions == "learned" else None
        case _:
            raise ConfigError(f"model.name={config.name!r} has no builder")
    location = False
    if config.output == "tags":
        tags = TAG_DECODERS[config.crf]
        decoder: LabelDecoder = tags(size, target_size, config.dropout, sources=source_size, bio=config.bio)
    else:
        pooling, location = build_pooling(config, size)
        decoder = LABEL_DECODERS[config.output](pooling, target_size, config.dropout)
    if limit is None and not location:
        config.refuse_ignored(("max_length",), "only the location score and learned positions have a limit")
    head, limit = LabelHead(config.hop_penalty), config.max_length if location else limit
    model = LabelModel(encoder, decoder, head, limit, None, config.source_end)
    if isinstance(config, RNNConfig):
        initialize = choose(INITIALIZERS, config.initializer, "model.initializer")
        initialize(model, (source.weight,), config.init, config.embedding_init)
    else:
        init_xavier(encoder, decoder)
    return model


def build_pooling(config: ModelConfig, size: int) -> tuple[Pooling, bool]:
    """The pooling of states of this size, and whether its score has a limit of positions. Raises ConfigError for
    settings that it does not read."""
    attention, pooling = config.attention, choose(POOLINGS, config.pooling, "model.pooling")
    heads = config.heads if isinstance(config, TransformerConfig) else attention.heads
    normalize = choose(NORMALIZERS, attention.normalizer, "model.attention.normalizer")
    why = f"model.pooling={config.pooling} does not read it"
    config.refuse_ignored([name for name in ("hops", "hop_penalty") if name not in pooling.uses], why)
    if "scorer" not in pooling.uses:
        names = ("scorer", "normalizer", "hidden", "heads", *WindowConfig._fields)
        attention.refuse_ignored([name for name in names if name not in pooling.uses], why)

    def make_attention() -> Attention | MultiHeadAttention:
        sizes = Sizes(size // heads, size // heads, attention.hidden, config.max_length)
        scorer, window = build_scorer_and_window(config, sizes, size, heads if heads > 1 else None)
        if heads > 1:
            return MultiHeadAttention(scorer, window, normalize, query_size=size, memory_size=size, heads=heads)
        return Attention(scorer, window, normalize)

    parts = PoolingConfig(size, make_attention, normalize, attention.hidden, config.hops)
    has_limit = "scorer" in pooling.uses and "max_length" in SCORERS[attention.scorer].uses
    return pooling(parts), has_limit


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
