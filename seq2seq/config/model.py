"""Which settings make a model?"""

from dataclasses import dataclass

from omegaconf import MISSING

from seq2seq.config.fields import Group, part, setting
from seq2seq.errors import ConfigError


@dataclass(kw_only=True)
class AttentionConfig(Group):
    """One attention variant. conf/model/attention/*.yaml: one file per named variant."""

    path = "model.attention"
    scorer: str = setting("general", "how well a source position matches the decoder", table="SCORERS")
    window: str = setting("everywhere", "which source positions a step may see", table="WINDOWS")
    normalizer: str = setting("softmax", "scores to weights", table="NORMALIZERS")
    coverage: bool = setting(
        False, "score what was attended before as well (See et al. 2017, eq. 11); recurrent decoders"
    )
    heads: int = setting(
        1, "heads of a recurrent decoder's attention (Chen et al. 2018, section 4.1); a Transformer's are model.heads"
    )
    hidden: int = setting(256, "size inside the additive and concat scores")
    width: int = setting(10, "D of a local window (Luong et al. 2015, section 3.2)")
    window_size: str = setting("2D+1", "positions that a local window sees; 2D leaves out the last", ("2D+1", "2D"))
    center_range: str = setting(
        "S",
        "window=local_p: what the predicted share is of, the length of the source or, as in Luong's code, the length less 1",
        ("S", "S-1"),
    )
    rounding: str = setting(
        "none",
        "window=local_p: floor lies the window, not its Gaussian, around the floor of the centre, as Luong's code does",
        ("none", "floor"),
    )
    renormalize: bool = setting(
        False, "window=local_p: weights sum to one after the Gaussian too, an option of Luong's code"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "hidden", "width", "heads")
        if self.heads > 1 and self.coverage:
            raise ConfigError(f"model.attention.coverage=true needs one head, not model.attention.heads={self.heads}")


@dataclass(kw_only=True)
class ModelConfig(Group):
    """What both model families have."""

    path = "model"
    name: str = MISSING
    encoder_layers: int = setting(1, "layers of the encoder")
    decoder_layers: int = setting(1, "layers of the decoder")
    dropout: float = setting(0.2, "share of activations dropped in training")
    tie: str = setting(
        "none", "shared tables: target input with output, or all three (Press & Wolf 2017)", ("none", "target", "all")
    )
    head: str = setting("vocabulary", "features to probabilities", table="HEADS")
    max_length: int = setting(
        512, "most positions of learned positions and of the location score; nothing else has a limit"
    )
    parameters: int = setting(
        0,
        "choose model.hidden of an rnn, model.feedforward of a transformer, for about so many parameters; 0: as they are set",
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
    hidden: int = setting(512, "size of the decoder")
    encoder_hidden: int = setting(0, "size of the encoder's states, which its directions share; 0: that of the decoder")
    features: int = setting(
        0, "size of what the head reads; 0: that of the decoder, or of the embeddings where they are tied"
    )
    bidirectional: bool = setting(True, "read the source in both directions")
    bidirectional_layers: int = setting(
        0, "so many lower layers read in both directions, the others forwards (Wu et al. 2016: 1); 0: all"
    )
    reverse: bool = setting(
        False, "read the source last to first (Sutskever et al. 2014, section 3.3); bidirectional=false"
    )
    order: str = setting(
        "luong",
        "attend with the new state (luong), with the previous one (bahdanau), or with the first layer's, the context going to all layers: "
        "with its previous state (gnmt; Wu et al. 2016) or its new one (gnmt_v2; code of tf/nmt)",
        ("luong", "bahdanau", "gnmt", "gnmt_v2"),
    )
    input_feeding: bool = setting(True, "the attentional state enters the next step (Luong et al. 2015, section 3.3)")
    feed: str = setting(
        "attentional",
        "what is fed: the attentional state or the context (code of See et al. 2017)",
        ("attentional", "context"),
    )
    readout: str = setting("tanh", "what is made of state and context before the head", table="READOUTS")
    readout_state: str = setting(
        "new",
        "order=bahdanau: the state that the readout sees; previous is that of the paper's appendix and code",
        ("new", "previous"),
    )
    bridge: str = setting("dense", "the decoder's first state from the encoder's last", table="BRIDGES")
    initializer: str = setting("uniform", "what the weights start as", table="INITIALIZERS")
    embedding_init: float = setting(
        0.3, "embeddings start uniform between plus and minus this: narrow ones, when tied, hold the first updates up"
    )
    init: float = setting(
        0.1, "other matrices start uniform between plus and minus this (Luong et al. 2015, section 4.1)"
    )
    residual: bool = setting(
        False, "add each layer's input to its output, from layer residual_from on (Wu et al. 2016, section 3.1)"
    )
    residual_from: int = setting(2, "the first layer with a residual connection, counted from 1 (Wu et al. 2016: 3)")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "embedding", "hidden")
        self.at_least(0, "embedding_init", "init", "features", "bidirectional_layers", "encoder_hidden")
        self.at_least(2, "residual_from")
        hidden = 0 if self.parameters else self.hidden  # 0: training.budget will choose it, and mind the heads
        for name, size in (("hidden", hidden), ("encoder_hidden", self.encoder_hidden or hidden)):
            if size % self.attention.heads:
                raise ConfigError(
                    f"model.{name}={size} must be a multiple of model.attention.heads={self.attention.heads}"
                )
        if self.initializer != "uniform":
            self.ignored(("init", "embedding_init"), f"model.initializer={self.initializer} has numbers of its own")
        self.check_directions()
        self.check_order()
        self.check_layers()

    def check_directions(self) -> None:
        """Which way the source is read."""
        if self.bidirectional and self.memory_size % 2:
            name = "encoder_hidden" if self.encoder_hidden else "hidden"
            raise ConfigError(f"model.{name}={self.memory_size} must be even: half for each direction of the encoder")
        if self.bidirectional and self.reverse:
            raise ConfigError(
                "model.reverse=true would be ignored: model.bidirectional=true reads the source both ways"
            )
        if not self.bidirectional:
            self.ignored(("bidirectional_layers",), "model.bidirectional=false has none")
        if self.bidirectional_layers > self.encoder_layers:
            raise ConfigError(
                f"model.bidirectional_layers={self.bidirectional_layers} is more than model.encoder_layers={self.encoder_layers}"
            )
        both = self.bidirectional_layers or self.encoder_layers if self.bidirectional else 0
        if self.bridge in ("backward", "directions") and both < self.encoder_layers:
            raise ConfigError(
                f"model.bridge={self.bridge} needs layers that read backwards: model.bidirectional=true in all layers"
            )

    def check_order(self) -> None:
        """What enters the cells and the readout."""
        if self.order != "luong":
            self.ignored(("input_feeding", "feed"), f"model.order={self.order} always feeds the context into the cell")
        if not self.input_feeding:
            self.ignored(("feed",), "model.input_feeding=false feeds nothing")
        if self.order != "bahdanau":
            self.ignored(("readout_state",), "it belongs to model.order=bahdanau")
        if self.readout == "state":
            entering = self.order != "luong" or (self.input_feeding and self.feed == "context")
            if not entering and self.attention.window != "last":  # which is what is chosen to have none
                raise ConfigError(
                    "model.readout=state would ignore the attention: the context must enter the cells, as with model.order=gnmt"
                )
            self.ignored(("features", "readout_state"), "model.readout=state is the decoder's state itself")
            if self.tie != "none" and self.embedding != self.hidden:
                raise ConfigError(
                    f"model.tie={self.tie} and model.readout=state need one model.embedding={self.embedding} and model.hidden={self.hidden}"
                )
        elif self.tie != "none":
            self.ignored(("features",), f"model.tie={self.tie} makes it model.embedding={self.embedding}")

    def check_layers(self) -> None:
        """What connects layers."""
        layers = max(self.encoder_layers, self.decoder_layers)
        if self.residual and layers < self.residual_from:
            raise ConfigError(
                f"model.residual=true would be ignored: it begins with layer {self.residual_from}, and there are {layers}"
            )
        if not self.residual:
            self.ignored(("residual_from",), "model.residual=false has none")
        self.check_bridge()

    def check_bridge(self) -> None:
        """Whether the encoder ends with what the decoder is to begin with."""
        both = self.bridge == "directions"
        if both and self.decoder_layers != 2 * self.encoder_layers:
            needed = f"decoder_layers={2 * self.encoder_layers}, two for each of the encoder"
            raise ConfigError(f"model.bridge=directions needs {needed}, not {self.decoder_layers}")
        if both and self.memory_size != 2 * self.hidden:
            raise ConfigError(
                f"model.bridge=directions needs encoder_hidden={2 * self.hidden}, twice model.hidden, not {self.memory_size}"
            )
        if self.bridge in ("copy", "copy_all") and self.encoder_layers != self.decoder_layers:
            raise ConfigError(
                f"model.bridge={self.bridge} needs as many encoder as decoder layers, not {self.encoder_layers} and {self.decoder_layers}"
            )
        if self.bridge in ("copy", "copy_all") and self.memory_size != self.hidden:
            raise ConfigError(
                f"model.bridge={self.bridge} needs model.encoder_hidden={self.encoder_hidden} and hidden={self.hidden} equal"
            )
        if self.bridge in ("copy_all", "directions", "reduce") and self.cell != "lstm":
            raise ConfigError(
                f"model.bridge={self.bridge} hands over the cells of an LSTM, and model.cell={self.cell} has none"
            )

    @property
    def memory_size(self) -> int:
        """Size of the encoder's states."""
        return self.encoder_hidden or self.hidden

    @property
    def feature_size(self) -> int:
        """Size of what the head reads."""
        if self.tie != "none":
            return self.embedding
        return self.features or self.hidden


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
        if self.attention.heads > 1:
            raise ConfigError(
                f"model.attention.heads={self.attention.heads} would be ignored: model.heads={self.heads} is for all of a Transformer"
            )
        if self.head == "pointer":
            raise ConfigError(
                "model.head=pointer reads the state of a recurrent decoder: model=rnn, or model.head=copy"
            )
        if self.attention.coverage:
            raise ConfigError(
                "model.attention.coverage=true needs a decoder that goes step by step: model=rnn (training.coverage_loss serves both)"
            )


MODELS: dict[str, type[ModelConfig]] = {"rnn": RNNConfig, "transformer": TransformerConfig}
