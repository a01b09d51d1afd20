"""Which settings make a model?"""

from dataclasses import dataclass

from omegaconf import MISSING

from seq2seq.config.group import Group, part, setting
from seq2seq.errors import ConfigError


@dataclass(kw_only=True)
class AttentionConfig(Group):
    """One attention variant. conf/model/attention/*.yaml: one file per named variant."""

    path = "model.attention"
    scorer: str = setting("general", "how well a source position matches the decoder", table="SCORERS")
    window: str = setting("everywhere", "which source positions a step may see", table="WINDOWS")
    normalizer: str = setting("softmax", "scores to weights", table="NORMALIZERS")
    coverage: bool = setting(False, "score what was attended before as well (See et al. 2017, eq. 11); recurrent decoders")
    hidden: int = setting(256, "size inside the additive and concat scores")
    width: int = setting(10, "D of a local window: it sees 2D + 1 positions (Luong et al. 2015, section 3.2)")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "hidden", "width")


@dataclass(kw_only=True)
class ModelConfig(Group):
    """What both model families have."""

    path = "model"
    name: str = MISSING
    encoder_layers: int = setting(1, "layers of the encoder")
    decoder_layers: int = setting(1, "layers of the decoder")
    dropout: float = setting(0.2, "share of activations dropped in training")
    tie: str = setting("none", "shared tables: target input with output, or all three (Press & Wolf 2017)", ("none", "target", "all"))
    head: str = setting("vocabulary", "features to probabilities", table="HEADS")
    max_length: int = setting(512, "most positions of learned positions and of the location score; nothing else has a limit")
    parameters: int = setting(
        0, "choose model.hidden of an rnn, model.feedforward of a transformer, for about so many parameters; 0: as they are set"
    )
    attention: AttentionConfig = part(AttentionConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "encoder_layers", "decoder_layers", "max_length")
        self.at_least(0, "parameters")
        self.within(0, 1, "dropout")


@dataclass(kw_only=True)
class RNNConfig(ModelConfig):
    """A recurrent encoder-decoder (Bahdanau et al. 2015; Luong et al. 2015)."""

    name: str = "rnn"
    cell: str = setting("lstm", "recurrent cell", table="CELLS")
    embedding: int = setting(256, "size of the embeddings")
    hidden: int = setting(512, "size of the decoder; the encoder's directions share it")
    bidirectional: bool = setting(True, "read the source in both directions")
    order: str = setting("luong", "attend with the new state (luong) or with the previous one (bahdanau)", ("luong", "bahdanau"))
    input_feeding: bool = setting(True, "the attentional state enters the next step (Luong et al. 2015, section 3.3)")
    bridge: str = setting(
        "dense", "the decoder's first state from the encoder's last: tanh(W h), the same, or zeros", ("dense", "copy", "zero")
    )
    embedding_init: float = setting(
        0.3, "embeddings start uniform between plus and minus this: narrow ones, when tied, hold the first updates up"
    )
    init: float = setting(0.1, "other matrices start uniform between plus and minus this (Luong et al. 2015, section 4.1)")
    residual: bool = setting(False, "add each layer's input to its output, from the second layer on (Wu et al. 2016, section 3.1)")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "embedding", "hidden")
        self.at_least(0, "embedding_init", "init")
        if self.bidirectional and self.hidden % 2:
            raise ConfigError(f"model.hidden={self.hidden} must be even: half for each direction of the encoder")
        if self.order == "bahdanau":
            self.ignored(("input_feeding",), "model.order=bahdanau always feeds the context into the cell")
        if self.residual and max(self.encoder_layers, self.decoder_layers) < 2:
            raise ConfigError("model.residual=true would be ignored: it needs a second layer")
        if self.bridge == "copy" and self.encoder_layers != self.decoder_layers:
            raise ConfigError(
                f"model.bridge=copy needs as many encoder as decoder layers, not {self.encoder_layers} and {self.decoder_layers}"
            )


@dataclass(kw_only=True)
class TransformerConfig(ModelConfig):
    """A Transformer (Vaswani et al. 2017)."""

    name: str = "transformer"
    encoder_layers: int = setting(3, "layers of the encoder")
    decoder_layers: int = setting(3, "layers of the decoder")
    size: int = setting(256, "size of embeddings and layers")
    heads: int = setting(4, "attention heads; they share `size`")
    feedforward: int = setting(1024, "inner size of the feed-forward layers")
    norm_order: str = setting(
        "pre", "normalise before each sublayer (Xiong et al. 2020) or after it (Vaswani et al. 2017)", ("pre", "post")
    )
    norm: str = setting("layer", "LayerNorm, or RMSNorm (Zhang & Sennrich 2019)", table="NORMS")
    activation: str = setting("relu", "inside the feed-forward layers", table="ACTIVATIONS")
    positions: str = setting("sinusoidal", "how order is told", ("sinusoidal", "learned", "rotary"))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "size", "heads", "feedforward")
        if self.size % self.heads:
            raise ConfigError(f"model.size={self.size} must be a multiple of model.heads={self.heads}")
        if self.positions == "rotary" and self.size // self.heads % 2:
            raise ConfigError(f"model.positions=rotary needs an even size per head, not {self.size // self.heads}")
        if self.positions == "sinusoidal" and self.size % 2:
            raise ConfigError(f"model.positions=sinusoidal needs an even model.size, not {self.size}")
        if self.attention.coverage:
            raise ConfigError(
                "model.attention.coverage=true needs a decoder that goes step by step: model=rnn (training.coverage_loss serves both)"
            )


MODELS: dict[str, type[ModelConfig]] = {"rnn": RNNConfig, "transformer": TransformerConfig}
