"""Settings of the model: what both families share, the attention, and the two families."""

from dataclasses import dataclass, fields
from typing import ClassVar

from omegaconf import MISSING

from seq2seq.config.data import TARGETS
from seq2seq.errors import ConfigError
from seq2seq.runtime.bounds import Bounds
from seq2seq.runtime.fields import Group, setting, subgroup

SIZES = Bounds(1, 65536, "a square matrix of that size takes 16 GiB")
SIZES_OR_ZERO = SIZES._replace(least=0)
LAYERS = Bounds(1, 256)
HEADS = Bounds(1, 1024)
LABEL_SETTINGS = ("pooling", "hops", "hop_penalty", "crf", "bio")
INITIAL = Bounds(0.0, 10.0, "weights this far from 0 saturate every unit")


@dataclass(kw_only=True)
class AttentionConfig(Group):
    """One attention variant. conf/model/attention/*.yaml: one file per named variant."""

    path = "model.attention"
    scorer: str = setting("general", "attention score of a source position", table="SCORERS")
    window: str = setting("everywhere", "source positions that a step can attend to", table="WINDOWS")
    normalizer: str = setting("softmax", "turns scores into weights", table="NORMALIZERS")
    coverage: bool = setting(
        False, "the score also reads the sum of earlier attention (See et al. 2017, eq. 11); recurrent decoders only"
    )
    heads: int = setting(
        1,
        "attention heads of a recurrent decoder (Chen et al. 2018, section 4.1); a Transformer's are model.heads",
        bounds=HEADS,
    )
    hidden: int = setting(256, "hidden size of the additive and concat scores", bounds=SIZES)
    width: int = setting(
        10, "half-width D of a local window (Luong et al. 2015, section 3.2)", bounds=Bounds(1, 100_000)
    )
    window_size: str = setting("2D+1", "positions in a local window; 2D leaves out the last", ("2D+1", "2D"))
    center_range: str = setting(
        "S",
        "window=local_p: what the predicted fraction is multiplied by, source length S or, as in Luong's code, S - 1",
        ("S", "S-1"),
    )
    rounding: str = setting(
        "none",
        "window=local_p: floor rounds the centre of the window, but not that of its Gaussian, as Luong's code does",
        ("none", "floor"),
    )
    renormalize: bool = setting(
        False, "window=local_p: normalize the weights again after the Gaussian, an option of Luong's code"
    )
    center_rate: float = setting(
        1.0,
        "window=local_p: learning rate of the predicted centre as a share of training.learning_rate; with Adam's full"
        " rate the centre can run to an end of the sentence, where its sigmoid is flat",
        bounds=Bounds(0.0, 1000.0),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.heads > 1 and self.coverage:
            raise ConfigError(f"model.attention.coverage=true needs one head, not model.attention.heads={self.heads}")


@dataclass(kw_only=True)
class ModelConfig(Group):
    """Settings that both model families have."""

    path = "model"
    decoder_settings: ClassVar[tuple[str, ...]] = ("decoder_layers", "tie", "head")  # of decoders that generate text
    name: str = MISSING
    encoder_layers: int = setting(1, "number of encoder layers", bounds=LAYERS)
    decoder_layers: int = setting(1, "number of decoder layers", bounds=LAYERS)
    dropout: float = setting(0.2, "dropout probability", bounds=Bounds(0.0, 1.0, below=True))
    tie: str = setting(
        "none",
        "weight tying: target embedding and output layer, or the source embedding as well (Press & Wolf 2017)",
        ("none", "target", "all"),
    )
    head: str = setting("vocabulary", "output layer; copy and pointer can also copy source words", table="HEADS")
    max_length: int = setting(
        512,
        "longest sequence for learned positions and the location score; nothing else has a limit",
        bounds=Bounds(1, 1_000_000, "each position has weights"),
    )
    source_end: bool = setting(
        True, "the model reads the token that ends a source; false, as in OpenNMT-py: it is masked like padding"
    )
    parameters: int = setting(
        0,
        "about so many parameters in all, by choosing model.hidden (rnn) or model.feedforward (transformer); 0: off",
        bounds=Bounds(0, 10**12),
    )
    output: str = setting(
        "text",
        "what a target is: text; or one label a text, several labels a text, or tags, one label a word, for which there"
        " is no decoder but a pooling (docs/explanation/labels.md)",
        TARGETS,
    )
    pooling: str = setting(
        "attention", "output=label and labels: how the states of a text become one vector", table="POOLINGS"
    )
    hops: int = setting(
        8, "pooling=structured: rows of attention, each with a part of the vector (Lin et al. 2017)", bounds=HEADS
    )
    hop_penalty: float = setting(
        0.0,
        "pooling=structured: weight of the penalty that keeps the hops apart (Lin et al. 2017, eq. 8)",
        bounds=Bounds(0.0, 1000.0),
    )
    crf: bool = setting(False, "output=tags: labels of neighbouring words depend on each other (Lafferty et al. 2001)")
    bio: bool = setting(False, "output=tags: an I- tag only continues a B- or I- tag of the same type")
    attention: AttentionConfig = subgroup(AttentionConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        output = f"model.output={self.output}"
        if self.output == "text":
            self.refuse_ignored(LABEL_SETTINGS, f"{output} has a decoder that attends at every step")
            return
        self.refuse_ignored(self.decoder_settings, f"{output} has no decoder of that kind")
        self.attention.refuse_ignored(
            ("window", "coverage"), f"{output} has one step, from which all positions are attended to"
        )
        if self.output == "tags":
            self.refuse_ignored(("pooling", "hops", "hop_penalty"), f"{output} labels each word by its own state")
            self.attention.refuse_ignored(
                [field.name for field in fields(AttentionConfig)], f"{output} labels each word by its own state"
            )
        else:
            self.refuse_ignored(("crf", "bio"), "it belongs to model.output=tags")


@dataclass(kw_only=True)
class RNNConfig(ModelConfig):
    """A recurrent encoder-decoder (Bahdanau et al. 2015; Luong et al. 2015)."""

    decoder_settings = (
        *ModelConfig.decoder_settings,
        *("encoder_hidden", "features", "order", "input_feeding", "feed", "readout", "readout_state", "bridge"),
    )
    name: str = "rnn"
    cell: str = setting("lstm", "recurrent cell", table="CELLS")
    embedding: int = setting(256, "embedding size", bounds=SIZES)
    hidden: int = setting(512, "hidden size of the decoder", bounds=SIZES)
    encoder_hidden: int = setting(
        0, "size of the encoder's states, both directions together; 0: that of the decoder", bounds=SIZES_OR_ZERO
    )
    features: int = setting(
        0,
        "size of what the head reads; 0: that of the decoder, or of the embeddings if they are tied",
        bounds=SIZES_OR_ZERO,
    )
    bidirectional: bool = setting(True, "read the source in both directions")
    bidirectional_layers: int = setting(
        0,
        "number of lower encoder layers that are bidirectional, the others read forwards (Wu et al. 2016: 1); 0: all",
        bounds=LAYERS._replace(least=0),
    )
    reverse: bool = setting(
        False,
        "read the source from last word to first (Sutskever et al. 2014, section 3.3); needs bidirectional=false",
    )
    order: str = setting(
        "luong",
        "attention reads the new state (luong) or the previous one (bahdanau); or the first layer's, and the context"
        " enters all layers: its previous state (gnmt; Wu et al. 2016) or its new one (gnmt_v2; code of tf/nmt)",
        ("luong", "bahdanau", "gnmt", "gnmt_v2"),
    )
    input_feeding: bool = setting(
        True, "feed the attentional state into the next step (Luong et al. 2015, section 3.3)"
    )
    feed: str = setting(
        "attentional",
        "what input feeding feeds: the attentional state, or the context (code of See et al. 2017)",
        ("attentional", "context"),
    )
    readout: str = setting("tanh", "how state and context are combined before the head", table="READOUTS")
    readout_state: str = setting(
        "new",
        "order=bahdanau: the state that the readout reads; previous is that of the paper's appendix and code",
        ("new", "previous"),
    )
    bridge: str = setting("dense", "how the encoder's last states become the decoder's initial state", table="BRIDGES")
    initializer: str = setting("uniform", "weight initialization", table="INITIALIZERS")
    embedding_init: float = setting(
        0.3,
        "initialize embeddings uniformly within plus or minus this; a narrow range, with tied embeddings,"
        " slows the first updates",
        bounds=INITIAL,
    )
    init: float = setting(
        0.1,
        "initialize other matrices uniformly within plus or minus this (Luong et al. 2015, section 4.1)",
        bounds=INITIAL,
    )
    residual: bool = setting(
        False, "residual connections between layers, from layer residual_from on (Wu et al. 2016, section 3.1)"
    )
    residual_from: int = setting(
        2, "first layer with a residual connection, counted from 1 (Wu et al. 2016: 3)", bounds=LAYERS._replace(least=2)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        hidden = 0 if self.parameters else self.hidden  # training.budget will choose it, a multiple of the heads
        for name, size in (("hidden", hidden), ("encoder_hidden", self.encoder_hidden or hidden)):
            if size % self.attention.heads:
                raise ConfigError(
                    f"model.{name}={size} must be a multiple of model.attention.heads={self.attention.heads}"
                )
        if self.initializer != "uniform":
            self.refuse_ignored(("init", "embedding_init"), f"model.initializer={self.initializer} uses its own values")
        self._check_directions()
        self._check_order()
        self._check_layers()

    def _check_directions(self) -> None:
        """Refuse impossible reading directions of the encoder."""
        if self.bidirectional and self.memory_size % 2:
            name = "encoder_hidden" if self.encoder_hidden else "hidden"
            raise ConfigError(f"model.{name}={self.memory_size} must be even: half for each direction of the encoder")
        if self.bidirectional and self.reverse:
            raise ConfigError(
                "model.reverse=true would be ignored: model.bidirectional=true reads the source both ways"
            )
        if not self.bidirectional:
            self.refuse_ignored(("bidirectional_layers",), "model.bidirectional=false has none")
        if self.bidirectional_layers > self.encoder_layers:
            raise ConfigError(
                f"model.bidirectional_layers={self.bidirectional_layers} is more"
                f" than model.encoder_layers={self.encoder_layers}"
            )
        backward_layers = (self.bidirectional_layers or self.encoder_layers) if self.bidirectional else 0
        if self.bridge in ("backward", "directions") and backward_layers < self.encoder_layers:
            raise ConfigError(
                f"model.bridge={self.bridge} needs layers that read backwards: model.bidirectional=true in all layers"
            )

    def _check_order(self) -> None:
        """Refuse impossible inputs of the cells and of the readout."""
        if self.order != "luong":
            self.refuse_ignored(
                ("input_feeding", "feed"), f"model.order={self.order} always feeds the context into the cell"
            )
        if not self.input_feeding:
            self.refuse_ignored(("feed",), "model.input_feeding=false feeds nothing")
        if self.order != "bahdanau":
            self.refuse_ignored(("readout_state",), "it belongs to model.order=bahdanau")
        if self.readout == "state":
            entering = self.order != "luong" or (self.input_feeding and self.feed == "context")
            if not entering and self.attention.window != "last":  # window=last means no attention
                raise ConfigError(
                    "model.readout=state would ignore the attention: the context must enter the cells,"
                    " as with model.order=gnmt"
                )
            self.refuse_ignored(("features", "readout_state"), "model.readout=state is the decoder's state itself")
            if self.tie != "none" and self.embedding != self.hidden:
                raise ConfigError(
                    f"model.tie={self.tie} and model.readout=state need"
                    f" model.embedding={self.embedding} and model.hidden={self.hidden} to be equal"
                )
        elif self.tie != "none":
            self.refuse_ignored(("features",), f"model.tie={self.tie} makes it model.embedding={self.embedding}")

    def _check_layers(self) -> None:
        """Refuse impossible connections between layers."""
        layers = max(self.encoder_layers, self.decoder_layers)
        if self.residual and layers < self.residual_from:
            raise ConfigError(
                f"model.residual=true would be ignored: it starts at layer {self.residual_from}, and there are {layers}"
            )
        if not self.residual:
            self.refuse_ignored(("residual_from",), "model.residual=false has none")
        self._check_bridge()

    def _check_bridge(self) -> None:
        """Refuse a bridge that the encoder's last states do not fit."""
        bridge = f"model.bridge={self.bridge}"
        if self.bridge == "directions":
            if self.decoder_layers != 2 * self.encoder_layers:
                needed = f"decoder_layers={2 * self.encoder_layers}, two for each of the encoder"
                raise ConfigError(f"{bridge} needs {needed}, not {self.decoder_layers}")
            if self.memory_size != 2 * self.hidden:
                needed = f"encoder_hidden={2 * self.hidden}, twice model.hidden"
                raise ConfigError(f"{bridge} needs {needed}, not {self.memory_size}")
        if self.bridge in ("copy", "copy_all"):
            if self.encoder_layers != self.decoder_layers:
                layers = f"{self.encoder_layers} and {self.decoder_layers}"
                raise ConfigError(f"{bridge} needs as many encoder as decoder layers, not {layers}")
            if self.memory_size != self.hidden:
                sizes = f"model.encoder_hidden={self.encoder_hidden} and hidden={self.hidden}"
                raise ConfigError(f"{bridge} needs {sizes} equal")
        if self.bridge in ("copy_all", "directions", "reduce") and self.cell != "lstm":
            raise ConfigError(f"{bridge} copies the cell states of an LSTM, and model.cell={self.cell} has none")

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
    encoder_layers: int = setting(3, "number of encoder layers", bounds=LAYERS)
    decoder_layers: int = setting(3, "number of decoder layers", bounds=LAYERS)
    size: int = setting(256, "size of embeddings and layers", bounds=SIZES)
    heads: int = setting(4, "attention heads; they share `size`", bounds=HEADS)
    feedforward: int = setting(1024, "hidden size of the feed-forward layers", bounds=Bounds(1, 4 * SIZES.most))
    norm_order: str = setting(
        "pre", "normalize before each sublayer (Xiong et al. 2020) or after it (Vaswani et al. 2017)", ("pre", "post")
    )
    norm: str = setting("layer", "LayerNorm, or RMSNorm (Zhang & Sennrich 2019)", table="NORMS")
    norm_epsilon: float = setting(
        1e-5, "norm=layer: what is added to the variance; 1e-6 in OpenNMT-py", bounds=Bounds(1e-12, 1.0)
    )
    activation: str = setting("relu", "activation of the feed-forward layers", table="ACTIVATIONS")
    positions: str = setting("sinusoidal", "positional encoding", ("sinusoidal", "learned", "rotary"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size % self.heads:
            raise ConfigError(f"model.size={self.size} must be a multiple of model.heads={self.heads}")
        if self.norm != "layer":
            self.refuse_ignored(("norm_epsilon",), "it belongs to model.norm=layer")
        if self.positions == "rotary" and self.size // self.heads % 2:
            raise ConfigError(f"model.positions=rotary needs an even size per head, not {self.size // self.heads}")
        if self.positions == "sinusoidal" and self.size % 2:
            raise ConfigError(f"model.positions=sinusoidal needs an even model.size, not {self.size}")
        if self.attention.heads > 1:
            raise ConfigError(
                f"model.attention.heads={self.attention.heads} would be ignored:"
                f" model.heads={self.heads} is that of all attention in a Transformer"
            )
        if self.head == "pointer":
            raise ConfigError(
                "model.head=pointer reads the state of a recurrent decoder: model=rnn, or model.head=copy"
            )
        if self.attention.coverage:
            raise ConfigError(
                "model.attention.coverage=true needs a decoder that runs step by step: model=rnn"
                " (training.coverage_loss works with both)"
            )


MODELS: dict[str, type[ModelConfig]] = {"rnn": RNNConfig, "transformer": TransformerConfig}
