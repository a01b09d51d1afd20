"""What can be set, what is it by default, and why? The YAML files in conf/ may set nothing that is not here."""

from dataclasses import dataclass

from omegaconf import MISSING

from seq2seq.errors import ConfigError
from seq2seq.group import Group, part, setting

SCHEMA = 1  # raised whenever a saved config would be read differently


@dataclass(kw_only=True)
class DataConfig(Group):
    """Where the text is. conf/data/*.yaml: one file per corpus."""

    path = "data"
    name: str = setting("mine", "the corpus' name, part of the run directory's name")
    format: str = setting("text", "how the files hold pairs", ("text", "tsv", "jsonl", "hub", "toy"))
    source: str = setting("en", "source language: file ending of format=text, field name of jsonl and hub")
    target: str = setting("de", "target language, likewise; it also chooses the BLEU tokenizer")
    root: str = setting("", "folder that the files are looked for in; empty: $SEQ2SEQ_DATA, else ./data")
    train: list[str] = setting([], "text: file names without their language ending; else file names or hub splits; .gz is found")
    dev: list[str] = setting([], "the same for the development set")
    test: dict[str, list[str]] = setting({}, "name -> files of each test set")
    hub: str = setting("", "format=hub: name of a Hugging Face dataset, or a local folder")
    columns: list[int] = setting([0, 1], "format=tsv: columns of source and target, counted from 0")
    pairs: int = setting(24000, "format=toy: training pairs to generate")
    toy_seed: int = setting(1, "format=toy: seed of the generator")
    max_words: int = setting(250, "training pairs with a longer side, in white-space words, are dropped")
    max_tokens: int = setting(1000, "training pairs with a longer side, in subwords, are dropped: they would fill a batch")
    max_ratio: float = setting(9.0, "training pairs whose longer side has more than this times the words of the shorter (+3) are dropped")
    cache: str = setting("", "folder for tokenizers and arrays, by hash of text and settings; empty: $SEQ2SEQ_CACHE, else ./cache")
    licence: str = setting("", "under which terms the text is had")
    how: str = setting("", "how the text is had, for whoever misses it")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "max_words", "max_tokens", "max_ratio", "pairs")
        if self.format != "toy":
            self.ignored(("pairs", "toy_seed"), "it belongs to data.format=toy")
        if self.format != "hub":
            self.ignored(("hub",), "it belongs to data.format=hub")


@dataclass(kw_only=True)
class TokenizerConfig(Group):
    """How text becomes ids. conf/tokenizer/*.yaml: one file per kind."""

    path = "tokenizer"
    kind: str = setting("unigram", "SentencePiece model", ("unigram", "bpe", "word", "char"))
    size: int = setting(8000, "entries of the vocabulary; of each, when separate")
    joint: bool = setting(True, "one vocabulary for both languages; needed by model.tie=all")
    normalizer: str = setting("identity", "Unicode normalisation by SentencePiece; identity keeps every character", ("identity", "nfkc", "nmt_nfkc", "nfkc_cf", "nmt_nfkc_cf"))
    character_coverage: float = setting(1.0, "share of the characters that get an entry; the rest become UNK")
    sampling: float = setting(0.0, "subword regularisation: unigram alpha or BPE dropout of training text (Kudo 2018; Provilkov et al. 2020); 0: none")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(8, "size")
        self.within(0, 1, "sampling")
        if self.kind in ("word", "char"):
            self.ignored(("sampling",), f"tokenizer.kind={self.kind} has one segmentation only")


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
    attention: AttentionConfig = part(AttentionConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "encoder_layers", "decoder_layers", "max_length")
        self.within(0, 1, "dropout")


@dataclass(kw_only=True)
class RNNConfig(ModelConfig):
    """A recurrent encoder-decoder (Bahdanau et al. 2015; Luong et al. 2015)."""

    name: str = "rnn"
    cell: str = setting("lstm", "recurrent cell", ("lstm", "gru"))
    embedding: int = setting(256, "size of the embeddings")
    hidden: int = setting(512, "size of the decoder; the encoder's directions share it")
    bidirectional: bool = setting(True, "read the source in both directions")
    order: str = setting("luong", "attend with the new state (luong) or with the previous one (bahdanau)", ("luong", "bahdanau"))
    input_feeding: bool = setting(True, "the attentional state enters the next step (Luong et al. 2015, section 3.3)")
    bridge: str = setting("dense", "the decoder's first state from the encoder's last: tanh(W h), the same, or zeros", ("dense", "copy", "zero"))
    embedding_init: float = setting(0.3, "embeddings start uniform between plus and minus this: narrow ones, when tied, hold the first updates up")
    init: float = setting(0.1, "other matrices start uniform between plus and minus this (Luong et al. 2015, section 4.1)")
    residual: bool = setting(False, "add each layer's input to its output, from the second layer on (Wu et al. 2016, section 3.1)")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "embedding", "hidden")
        if self.bidirectional and self.hidden % 2:
            raise ConfigError(f"model.hidden={self.hidden} must be even: half for each direction of the encoder")
        if self.order == "bahdanau":
            self.ignored(("input_feeding",), "model.order=bahdanau always feeds the context into the cell")
        if self.residual and max(self.encoder_layers, self.decoder_layers) < 2:
            raise ConfigError("model.residual=true would be ignored: it needs a second layer")
        if self.bridge == "copy" and self.encoder_layers != self.decoder_layers:
            raise ConfigError(f"model.bridge=copy needs as many encoder as decoder layers, not {self.encoder_layers} and {self.decoder_layers}")


@dataclass(kw_only=True)
class TransformerConfig(ModelConfig):
    """A Transformer (Vaswani et al. 2017)."""

    name: str = "transformer"
    encoder_layers: int = setting(3, "layers of the encoder")
    decoder_layers: int = setting(3, "layers of the decoder")
    size: int = setting(256, "size of embeddings and layers")
    heads: int = setting(4, "attention heads; they share `size`")
    feedforward: int = setting(1024, "inner size of the feed-forward layers")
    norm_order: str = setting("pre", "normalise before each sublayer (Xiong et al. 2020) or after it (Vaswani et al. 2017)", ("pre", "post"))
    norm: str = setting("layer", "LayerNorm, or RMSNorm (Zhang & Sennrich 2019)", ("layer", "rms"))
    activation: str = setting("relu", "inside the feed-forward layers", ("relu", "gelu", "swiglu"))
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
            raise ConfigError("model.attention.coverage=true needs a decoder that goes step by step: model=rnn (training.coverage_loss serves both)")


MODELS: dict[str, type[ModelConfig]] = {"rnn": RNNConfig, "transformer": TransformerConfig}


@dataclass(kw_only=True)
class TrainingConfig(Group):
    """How the weights are found."""

    path = "training"
    batch_tokens: int = setting(2048, "padded tokens of the longer side in one batch of one device")
    accumulate: int = setting(1, "batches per update")
    optimizer: str = setting("adam", "how gradients move the weights", table="OPTIMIZERS")
    learning_rate: float = setting(1e-3, "the peak of the schedule")
    beta1: float = setting(0.9, "decay of Adam's and AdamW's mean; momentum of SGD is 0")
    beta2: float = setting(0.98, "decay of Adam's and AdamW's variance")
    weight_decay: float = setting(0.0, "decoupled weight decay of AdamW and Adafactor; L2 of SGD")
    schedule: str = setting("inverse_sqrt", "learning rate over time", table="SCHEDULES")
    warmup: int = setting(400, "updates of linear warm-up")
    halve_from: float = setting(0.66, "schedule=luong: share of the updates after which halving begins")
    halve_every: float = setting(0.08, "schedule=luong: share of the updates between halvings; epochs in the paper")
    plateau_patience: int = setting(2, "schedule=plateau: validations without progress before the rate falls")
    plateau_factor: float = setting(0.5, "schedule=plateau: what the rate is then multiplied by")
    label_smoothing: float = setting(0.1, "share of the target spread over the vocabulary (Szegedy et al. 2016)")
    coverage_loss: float = setting(0.0, "weight of the coverage loss (See et al. 2017, eq. 12-13)")
    clip: float = setting(1.0, "largest norm of the gradient; 0: no limit")
    max_updates: int = setting(0, "stop after so many updates; 0: no limit")
    max_epochs: int = setting(0, "stop after so many passes over the corpus; 0: no limit")
    max_minutes: float = setting(0.0, "stop after so many minutes of training, validation left out; 0: no limit")
    stop_at: float = setting(0.0, "stop when the monitored score is reached; 0: never")
    validate_every: int = setting(500, "updates between validations; 0: at the end of each epoch")
    monitor: str = setting("bleu", "the dev figure that chooses checkpoints and stops", ("bleu", "rouge", "loss"))
    patience: int = setting(8, "stop after so many validations without progress; 0: never")
    dev_lines: int = setting(0, "decode only the first lines of the dev set in validation; 0: all")
    keep: int = setting(3, "best checkpoints kept")
    average: str = setting("none", "weights of the result: the best checkpoint, the mean of the kept best, of the last `keep`", ("none", "best", "last"))
    ema: float = setting(0.0, "decay of an exponential moving average of the weights, which is then what is validated and kept; 0: none")


@dataclass(kw_only=True)
class TrainerConfig(Group):
    """On what it runs, and what it says. Free to change on resume."""

    path = "trainer"
    accelerator: str = setting("auto", "kind of device", ("auto", "cpu", "gpu"))
    devices: int = setting(1, "devices to use")
    precision: str = setting("32", "arithmetic of training", ("32", "bf16", "16"))
    threads: int = setting(0, "threads of the processor; 0: as many as there are cores")
    log_every: int = setting(50, "updates between lines of the log")
    progress: str = setting("auto", "progress as a bar on a terminal, else lines", ("auto", "bar", "lines", "none"))


@dataclass(kw_only=True)
class SearchConfig(Group):
    """How a translation is found; dev and test use the same."""

    path = "search"
    beam: int = setting(5, "hypotheses kept; 1 is greedy")
    n_best: int = setting(1, "hypotheses returned")
    length_penalty: str = setting("average", "how a score is made fair to length: none, average (divide by length) or gnmt (Wu et al. 2016, eq. 14)", ("none", "average", "gnmt"))
    alpha: float = setting(1.0, "power of the length penalty")
    coverage_penalty: float = setting(0.0, "beta of the coverage penalty (Wu et al. 2016, eq. 14)")
    min_length: int = setting(0, "fewest target tokens")
    max_length: int = setting(200, "most target tokens")
    min_ratio: float = setting(0.0, "fewest target tokens per source token")
    max_ratio: float = setting(3.0, "most target tokens per source token, + 10")
    no_repeat: int = setting(0, "n-grams of this size never come twice; 0: they may")
    sampling: bool = setting(False, "draw tokens at random in place of the beam")
    seed: int = setting(1, "sampling: another seed draws other samples")
    temperature: float = setting(1.0, "sampling: divides the log-probabilities")
    top_k: int = setting(0, "sampling: only the k likeliest tokens; 0: all")
    top_p: float = setting(1.0, "sampling: only the likeliest tokens that together have this probability (Holtzman et al. 2020)")
    replace_unknown: bool = setting(False, "an unknown target word is replaced by the source word that got most attention")
    long_source: str = setting("cut", "a source longer than the model's limit is cut with a warning, or refused", ("cut", "refuse"))
    batch: int = setting(64, "sentences decoded together")
    window: int = setting(2048, "lines that are sorted by length together; memory is bounded by it")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "beam", "n_best", "max_length", "batch", "window")
        self.at_least(0, "alpha", "coverage_penalty", "min_length", "min_ratio", "max_ratio", "no_repeat", "top_k")
        if self.length_penalty == "none":
            self.ignored(("alpha",), "search.length_penalty=none has no power")
        if self.sampling:
            self.ignored(("length_penalty", "alpha", "coverage_penalty"), "search.sampling=true ranks nothing")
            self.ignored(("beam",), "search.sampling=true draws search.n_best samples, it keeps no beam")
            if self.temperature <= 0:
                raise ConfigError(f"search.temperature={self.temperature} must be above 0")
            if not 0 < self.top_p <= 1:
                raise ConfigError(f"search.top_p={self.top_p} must be above 0 and at most 1")
        else:
            self.ignored(("seed", "temperature", "top_k", "top_p"), "it belongs to search.sampling=true")
            if self.n_best > self.beam:
                raise ConfigError(f"search.n_best={self.n_best} is more than search.beam={self.beam} can find")
        if self.min_length > self.max_length:
            raise ConfigError(f"search.min_length={self.min_length} is above search.max_length={self.max_length}")


@dataclass(kw_only=True)
class Config(Group):
    """Everything that makes a run."""

    schema: int = setting(SCHEMA, "version of this layout")
    variant: str = setting("", "the run's name beside its corpus; empty: model and attention")
    runs: str = setting("runs", "folder that run directories are made in")
    seed: int = setting(1, "seed of weights, order of batches, dropout")
    resume: str = setting("", "run directory to go on with; saved settings win, only limits, logging and devices may change")
    init_from: str = setting("", "run directory whose weights to start from")
    data: DataConfig = part(DataConfig)
    tokenizer: TokenizerConfig = part(TokenizerConfig)
    model: ModelConfig = MISSING
    training: TrainingConfig = part(TrainingConfig)
    trainer: TrainerConfig = part(TrainerConfig)
    search: SearchConfig = part(SearchConfig)
