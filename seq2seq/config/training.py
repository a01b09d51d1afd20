"""Settings of training: how the weights are found (`TrainingConfig`), and on which devices (`TrainerConfig`)."""

from dataclasses import dataclass

from seq2seq.config.fields import Group, setting
from seq2seq.errors import ConfigError


@dataclass(kw_only=True)
class TrainingConfig(Group):
    """Batches, optimizer, losses, limits and validation."""

    path = "training"
    batch_tokens: int = setting(2048, "padded tokens of the longer side in one batch of one device")
    accumulate: int = setting(1, "batches per update")
    pad_to_multiple_of: int = setting(1, "pad lengths to a multiple of this; with 8 a GPU meets few different shapes")
    normalization: str = setting(
        "tokens",
        "divide an update's loss by the number of its target tokens or sentences; clip and SGD depend on it",
        ("tokens", "sentences"),
    )
    optimizer: str = setting("adam", "optimizer", table="OPTIMIZERS")
    learning_rate: float = setting(1e-3, "peak learning rate of the schedule")
    beta1: float = setting(0.9, "decay of the first moment in Adam and AdamW; SGD has no momentum")
    beta2: float = setting(0.98, "decay of the second moment in Adam and AdamW")
    weight_decay: float = setting(0.0, "weight decay of matrices: decoupled in AdamW and Adafactor, L2 in the others")
    schedule: str = setting("inverse_sqrt", "learning rate schedule", table="SCHEDULES")
    warmup: int = setting(400, "updates of linear warm-up")
    halve_from: float = setting(0.66, "schedule=luong: share of the updates after which the rate is first halved")
    halve_every: float = setting(
        0.08, "schedule=luong: share of the updates between halvings, which are epochs in the paper"
    )
    plateau_patience: int = setting(2, "schedule=plateau: validations without improvement before the rate falls")
    plateau_factor: float = setting(0.5, "schedule=plateau: factor that the rate is then multiplied by")
    label_smoothing: float = setting(
        0.1, "share of the target probability spread over the vocabulary (Szegedy et al. 2016)"
    )
    coverage_loss: float = setting(0.0, "weight of the coverage loss (See et al. 2017, eq. 12-13)")
    guided_alignment: float = setting(
        0.0, "weight of the loss that guides attention by given word links (Chen et al. 2016)"
    )
    guided_loss: str = setting(
        "cross_entropy", "loss between attention and the links of guided_alignment", table="GUIDED_LOSSES"
    )
    clip: float = setting(1.0, "maximum norm of the gradient; 0: no limit")
    max_updates: int = setting(0, "stop after this many updates; 0: no limit")
    max_epochs: int = setting(0, "stop after this many passes over the corpus; 0: no limit")
    max_minutes: float = setting(0.0, "stop after this many minutes of training, without validation; 0: no limit")
    stop_at: float = setting(0.0, "stop when the monitored score is reached; 0: never")
    validate_every: int = setting(500, "updates between validations; 0: at the end of each epoch")
    monitor: str = setting(
        "bleu", "dev figure that ranks checkpoints and decides when to stop", ("bleu", "chrf", "rouge", "loss")
    )
    rouge_tokenizer: str = setting(
        "default",
        "tokens of ROUGE: default, of a-z and 0-9; unicode, words of any script; chars, characters; or the file of a "
        "SentencePiece model",
    )
    patience: int = setting(8, "stop after this many validations without improvement; 0: never")
    dev_lines: int = setting(0, "decode only the first lines of the dev set in validation; 0: all")
    keep: int = setting(3, "number of best checkpoints that are kept")
    average: str = setting(
        "none",
        "weights of the result: the best checkpoint, or the mean of the best or of the last `keep` checkpoints",
        ("none", "best", "last"),
    )
    ema: float = setting(
        0.0, "decay of an exponential moving average of the weights, which is then what is validated and kept; 0: none"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_at_least(1, "batch_tokens", "accumulate", "pad_to_multiple_of", "keep", "plateau_patience")
        self.check_at_least(0, "warmup", "coverage_loss", "guided_alignment", "clip", "validate_every")
        self.check_at_least(0, "max_updates", "max_epochs", "max_minutes", "stop_at")
        self.check_at_least(0, "learning_rate", "weight_decay", "patience", "dev_lines", "halve_every")
        self.check_within(0, 1, "beta1", "beta2", "label_smoothing", "ema", "halve_from", "plateau_factor")
        if not self.guided_alignment:
            self.refuse_ignored(("guided_loss",), "it belongs to training.guided_alignment")
        if self.optimizer not in ("adam", "adamw"):
            self.refuse_ignored(("beta1", "beta2"), f"training.optimizer={self.optimizer} has no such decay")
        if self.schedule != "luong":
            self.refuse_ignored(("halve_from", "halve_every"), "it belongs to training.schedule=luong")
        elif self.halve_every <= 0:
            raise ConfigError(f"training.halve_every={self.halve_every} must be above 0")
        if self.schedule != "plateau":
            self.refuse_ignored(("plateau_patience", "plateau_factor"), "it belongs to training.schedule=plateau")
        if self.monitor == "loss":
            self.refuse_ignored(("dev_lines",), "training.monitor=loss decodes nothing")


@dataclass(kw_only=True)
class TrainerConfig(Group):
    """Devices, precision and logging; on resuming all but the precision may change."""

    path = "trainer"
    accelerator: str = setting("auto", "type of device; auto: an accelerator if there is one", ("auto", "cpu", "gpu"))
    devices: int = setting(1, "number of devices")
    precision: str = setting("32", "float32, or mixed precision with bfloat16 or float16", ("32", "bf16", "16"))
    threads: int = setting(0, "CPU threads; 0: one per available core")
    graphs: bool = setting(False, "record each shape of batch as a CUDA graph and replay it; needs a GPU")
    log_every: int = setting(50, "updates between rows of metrics.csv and log lines")
    progress: str = setting(
        "auto",
        "show progress as a bar or as log lines; auto: a bar on a terminal, else lines",
        ("auto", "bar", "lines", "none"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_at_least(1, "devices", "log_every")
        self.check_at_least(0, "threads")
