"""Settings of training: how the weights are found (`TrainingConfig`), and on which devices (`TrainerConfig`)."""

from dataclasses import dataclass

from seq2seq.runtime.bounds import Bounds
from seq2seq.runtime.fields import Group, setting

COUNT = Bounds(0, 10**9)  # of updates and the like
DECAY = Bounds(0.0, 1.0, below=True)
WEIGHT = Bounds(0.0, 1000.0)  # of a loss beside that of the tokens, whose weight is 1


@dataclass(kw_only=True)
class TrainingConfig(Group):
    """Batches, optimizer, losses, limits and validation."""

    path = "training"
    batch_tokens: int = setting(
        2048,
        "padded tokens of the longer side in one batch of one device",
        bounds=Bounds(1, 10_000_000, "a batch is in memory as a whole"),
    )
    accumulate: int = setting(1, "batches per update, on all devices together", bounds=Bounds(1, 10_000))
    pad_to_multiple_of: int = setting(
        1, "pad lengths to a multiple of this; with 8 a GPU meets few different shapes", bounds=Bounds(1, 1024)
    )
    normalization: str = setting(
        "tokens",
        "divide an update's loss by the number of its target tokens or sentences; clip and SGD depend on it",
        ("tokens", "sentences"),
    )
    optimizer: str = setting("adam", "optimizer", table="OPTIMIZERS")
    learning_rate: float = setting(1e-3, "peak learning rate of the schedule", bounds=Bounds(0.0, 1e6))
    beta1: float = setting(0.9, "decay of the first moment in Adam and AdamW; SGD has no momentum", bounds=DECAY)
    beta2: float = setting(0.98, "decay of the second moment in Adam and AdamW", bounds=DECAY)
    weight_decay: float = setting(
        0.0, "weight decay of matrices: decoupled in AdamW and Adafactor, L2 in the others", bounds=Bounds(0.0, 100.0)
    )
    schedule: str = setting("inverse_sqrt", "learning rate schedule", table="SCHEDULES")
    warmup: int = setting(400, "updates of linear warm-up", bounds=COUNT)
    halve_from: float = setting(
        0.66,
        "schedule=luong: share of the updates after which the rate is first halved",
        bounds=Bounds(0.0, 1.0, below=True),
    )
    halve_every: float = setting(
        0.08,
        "schedule=luong: share of the updates between halvings, which are epochs in the paper",
        bounds=Bounds(1e-6, 1.0, "it is a share of the updates", why_least="the rate would be 0 at once"),
    )
    plateau_patience: int = setting(
        2, "schedule=plateau: validations without improvement before the rate falls", bounds=COUNT._replace(least=1)
    )
    plateau_factor: float = setting(
        0.5, "schedule=plateau: factor that the rate is then multiplied by", bounds=Bounds(0.0, 1.0, below=True)
    )
    label_smoothing: float = setting(
        0.1,
        "share of the target probability spread over the vocabulary (Szegedy et al. 2016)",
        bounds=Bounds(0.0, 1.0, below=True),
    )
    class_weights: str = setting(
        "none",
        "weights of the labels in the loss; balanced: those of rare ones are higher, the sum over the training labels"
        " stays the same",
        ("none", "balanced"),
    )
    coverage_loss: float = setting(0.0, "weight of the coverage loss (See et al. 2017, eq. 12-13)", bounds=WEIGHT)
    guided_alignment: float = setting(
        0.0, "weight of the loss that guides attention by given word links (Chen et al. 2016)", bounds=WEIGHT
    )
    guided_loss: str = setting(
        "cross_entropy", "loss between attention and the links of guided_alignment", table="GUIDED_LOSSES"
    )
    clip: float = setting(1.0, "maximum norm of the gradient; 0: no limit", bounds=Bounds(0.0, 1e9))
    max_skipped: int = setting(
        3,
        "updates in a row that are skipped, as a loss or gradient is not finite, before training stops",
        bounds=COUNT,
    )
    max_updates: int = setting(0, "stop after this many updates; 0: no limit", bounds=COUNT)
    max_epochs: int = setting(0, "stop after this many passes over the corpus; 0: no limit", bounds=COUNT)
    max_minutes: float = setting(
        0.0,
        "stop after this many minutes of training, without validation; 0: no limit",
        bounds=Bounds(0.0, 10_000_000.0, "19 years"),
    )
    stop_at: float = setting(
        0.0, "stop when the monitored score is reached; 0: never", bounds=Bounds(0.0, 100.0, "scores are percentages")
    )
    validate_every: int = setting(500, "updates between validations; 0: at the end of each epoch", bounds=COUNT)
    save_every: int = setting(
        0, "updates between checkpoints, beside those of validations; 0: only these", bounds=COUNT
    )
    save_minutes: float = setting(
        15.0, "minutes between checkpoints, by the clock; 0: no limit", bounds=Bounds(0.0, 100_000.0)
    )
    monitor: str = setting(
        "bleu",
        "dev figure that ranks checkpoints and decides when to stop",
        ("bleu", "chrf", "rouge", "accuracy", "exact_match", "macro_f1", "micro_f1", "entity_f1", "loss"),
    )
    rouge_tokenizer: str = setting(
        "default",
        "tokens of ROUGE: default, of a-z and 0-9; unicode, words of any script; chars, characters; or the file of a "
        "SentencePiece model",
    )
    patience: int = setting(8, "stop after this many validations without improvement; 0: never", bounds=COUNT)
    dev_lines: int = setting(0, "decode only the first lines of the dev set in validation; 0: all", bounds=COUNT)
    show: int = setting(
        3,
        "dev sentences whose source, reference and hypothesis are logged in each validation, always the same ones,"
        " spread over the dev set; 0: none",
        bounds=Bounds(0, 100, "each takes three lines of the log"),
    )
    keep: int = setting(
        3, "number of best checkpoints that are kept", bounds=Bounds(1, 1000, "each has a file of all weights")
    )
    average: str = setting(
        "none",
        "weights of the result: the best checkpoint, or the mean of the best or of the last `keep` checkpoints",
        ("none", "best", "last"),
    )
    ema: float = setting(
        0.0,
        "decay of an exponential moving average of the weights, which is then what is validated and kept; 0: none",
        bounds=DECAY,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.guided_alignment:
            self.refuse_ignored(("guided_loss",), "it belongs to training.guided_alignment")
        if self.optimizer not in ("adam", "adamw"):
            self.refuse_ignored(("beta1", "beta2"), f"training.optimizer={self.optimizer} has no such decay")
        if self.schedule != "luong":
            self.refuse_ignored(("halve_from", "halve_every"), "it belongs to training.schedule=luong")
        if self.schedule != "plateau":
            self.refuse_ignored(("plateau_patience", "plateau_factor"), "it belongs to training.schedule=plateau")
        if self.monitor == "loss":
            ignored = ("dev_lines", "show") if self.show else ("dev_lines",)
            self.refuse_ignored(ignored, "training.monitor=loss decodes nothing")


@dataclass(kw_only=True)
class TrainerConfig(Group):
    """Devices, precision and logging; on resuming all but the precision may change."""

    path = "trainer"
    accelerator: str = setting("auto", "type of device; auto: an accelerator if there is one", ("auto", "cpu", "gpu"))
    devices: int = setting(1, "number of devices of a machine, each with a process of its own", bounds=Bounds(1, 1024))
    nodes: int = setting(1, "number of machines; the command is started on each", bounds=Bounds(1, 1024))
    rendezvous: str = setting("", "nodes > 1: HOST:PORT of one of the machines, which all others can reach")
    precision: str = setting("32", "float32, or mixed precision with bfloat16 or float16", ("32", "bf16", "16"))
    wall_minutes: float = setting(
        0.0,
        "end in time with a checkpoint and exit code 75 if training, with validations, would take more minutes; 0: no "
        "limit",
        bounds=Bounds(0.0, 10_000_000.0, "19 years"),
    )
    threads: int = setting(
        0, "CPU threads; 0: one per available core", bounds=Bounds(0, 1024, "0 takes all available cores")
    )
    graphs: bool = setting(False, "record each shape of batch as a CUDA graph and replay it; needs a GPU")
    log_every: int = setting(50, "updates between rows of metrics.csv and log lines", bounds=COUNT._replace(least=1))
    progress: str = setting(
        "auto",
        "show progress as a bar or as log lines; auto: a bar on a terminal, else lines",
        ("auto", "bar", "lines", "none"),
    )

    @property
    def processes(self) -> int:
        """The number of processes, one for each device of each machine."""
        return self.devices * self.nodes
