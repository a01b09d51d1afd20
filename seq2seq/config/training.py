"""Which settings say how the weights are found, and on what?"""

from dataclasses import dataclass

from seq2seq.config.fields import Group, setting
from seq2seq.errors import ConfigError


@dataclass(kw_only=True)
class TrainingConfig(Group):
    """How the weights are found."""

    path = "training"
    batch_tokens: int = setting(2048, "padded tokens of the longer side in one batch of one device")
    accumulate: int = setting(1, "batches per update")
    pad_to_multiple_of: int = setting(
        1, "lengths of a batch are filled up to a multiple of this; with 8 a GPU meets few shapes"
    )
    normalization: str = setting(
        "tokens", "by whose number an update's loss is divided, which clip and SGD feel", ("tokens", "sentences")
    )
    optimizer: str = setting("adam", "how gradients move the weights", table="OPTIMIZERS")
    learning_rate: float = setting(1e-3, "the peak of the schedule")
    beta1: float = setting(0.9, "decay of Adam's and AdamW's mean; momentum of SGD is 0")
    beta2: float = setting(0.98, "decay of Adam's and AdamW's variance")
    weight_decay: float = setting(0.0, "decoupled weight decay of AdamW and Adafactor; L2 of SGD and Adam")
    schedule: str = setting("inverse_sqrt", "learning rate over time", table="SCHEDULES")
    warmup: int = setting(400, "updates of linear warm-up")
    halve_from: float = setting(
        0.66, "schedule=luong: share of the updates after which the rate is halved for the first time"
    )
    halve_every: float = setting(0.08, "schedule=luong: share of the updates between halvings; epochs in the paper")
    plateau_patience: int = setting(2, "schedule=plateau: validations without progress before the rate falls")
    plateau_factor: float = setting(0.5, "schedule=plateau: what the rate is then multiplied by")
    label_smoothing: float = setting(0.1, "share of the target spread over the vocabulary (Szegedy et al. 2016)")
    coverage_loss: float = setting(0.0, "weight of the coverage loss (See et al. 2017, eq. 12-13)")
    guided_alignment: float = setting(
        0.0, "weight of the loss that guides attention by given word links (Chen et al. 2016)"
    )
    guided_loss: str = setting(
        "cross_entropy", "how far attention is from the links of guided_alignment", table="GUIDED_LOSSES"
    )
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
    average: str = setting(
        "none",
        "weights of the result: the best checkpoint, the mean of the kept best, of the last `keep`",
        ("none", "best", "last"),
    )
    ema: float = setting(
        0.0, "decay of an exponential moving average of the weights, which is then what is validated and kept; 0: none"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_at_least(1, "batch_tokens", "accumulate", "pad_to_multiple_of", "keep", "plateau_patience")
        self.check_at_least(
            0,
            "warmup",
            "coverage_loss",
            "guided_alignment",
            "clip",
            "max_updates",
            "max_epochs",
            "max_minutes",
            "stop_at",
            "validate_every",
        )
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
    """On what it runs, and what it says; on resuming all but the precision may change."""

    path = "trainer"
    accelerator: str = setting("auto", "kind of device", ("auto", "cpu", "gpu"))
    devices: int = setting(1, "devices to use")
    precision: str = setting("32", "arithmetic of training", ("32", "bf16", "16"))
    threads: int = setting(0, "threads of the processor; 0: as many as there are cores")
    graphs: bool = setting(False, "record each shape of batch as a CUDA graph, and replay it; needs a GPU")
    log_every: int = setting(50, "updates between lines of the log")
    progress: str = setting("auto", "progress as a bar on a terminal, else lines", ("auto", "bar", "lines", "none"))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_at_least(1, "devices", "log_every")
        self.check_at_least(0, "threads")
