"""All settings of a run as dataclasses, with default and help. The YAML files in conf/ set nothing else."""

from dataclasses import dataclass

from omegaconf import MISSING

from seq2seq.config.data import DataConfig, TokenizerConfig
from seq2seq.config.model import MODELS, AttentionConfig, ModelConfig, RNNConfig, TransformerConfig
from seq2seq.config.training import TrainerConfig, TrainingConfig
from seq2seq.errors import ConfigError
from seq2seq.runtime.bounds import SEEDS, Bounds
from seq2seq.runtime.fields import Group, check_path_part, setting, subgroup
from seq2seq.runtime.search_config import SearchConfig

TARGETS_OF = {  # task -> what its targets are, data.targets
    "translation": "text",
    "summarization": "text",
    "classification": "label",
    "multilabel": "labels",
    "labeling": "tags",
}
LABEL_TASKS = tuple(task for task, targets in TARGETS_OF.items() if targets != "text")
MONITORS = {  # data.targets -> the choices of training.monitor that score them
    "text": ("bleu", "chrf", "rouge", "accuracy", "exact_match", "macro_f1", "micro_f1", "loss"),
    "label": ("accuracy", "macro_f1", "micro_f1", "loss"),
    "labels": ("micro_f1", "macro_f1", "exact_match", "loss"),
    "tags": ("accuracy", "exact_match", "macro_f1", "micro_f1", "entity_f1", "loss"),
}
SCHEMA = 1  # raised whenever a saved config would be read differently


@dataclass(kw_only=True)
class Config(Group):
    """All settings of a run."""

    schema: int = setting(SCHEMA, "version of the layout of saved settings", bounds=Bounds(1, 10_000))
    task: str = setting(
        "translation", "chooses the defaults of other settings, and the metrics of evaluate", table="TASKS"
    )
    variant: str = setting("", "name of the run, after that of its corpus; empty: model and attention")
    runs: str = setting("runs", "folder of run directories")
    seed: int = setting(1, "seed of weights, batch order and dropout", bounds=Bounds(0, SEEDS))
    resume: str = setting(
        "", "run directory to resume with its own settings; only limits, logging, devices and data paths may change"
    )
    init_from: str = setting("", "run directory whose weights to start from, with its model and tokenizer")
    data: DataConfig = subgroup(DataConfig)
    tokenizer: TokenizerConfig = subgroup(TokenizerConfig)
    model: ModelConfig = MISSING
    training: TrainingConfig = subgroup(TrainingConfig)
    trainer: TrainerConfig = subgroup(TrainerConfig)
    search: SearchConfig = subgroup(SearchConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schema != SCHEMA:
            raise ConfigError(f"schema={self.schema} cannot be set: this version writes {SCHEMA}")
        check_path_part("variant", self.variant)
        check_path_part("data.name", self.data.name)
        if self.training.guided_alignment:
            self.data.check_word_links()
        if self.training.guided_alignment and self.tokenizer.sampling:
            raise ConfigError(
                f"training.guided_alignment={self.training.guided_alignment} needs a fixed segmentation:"
                f" tokenizer.sampling={self.tokenizer.sampling} splits words differently in each epoch"
            )
        chosen = isinstance(self.model, ModelConfig)  # MISSING while Hydra composes
        if chosen:
            self._check_labels()
        if chosen and self.model.tie == "all" and not self.tokenizer.joint:
            raise ConfigError("model.tie=all needs one vocabulary for both sides: tokenizer.joint=true")

    def _check_labels(self) -> None:
        """Refuse a model for targets of another kind, and settings that belong to labels where there are none."""
        output, targets = self.model.output, self.data.targets
        task = f"task={next(task for task, of_task in TARGETS_OF.items() if of_task == targets)}"
        if output != targets:
            raise ConfigError(f"model.output={output} does not fit data.targets={targets}: {task} sets both")
        if TARGETS_OF.get(self.task, targets) != targets:  # choices are checked elsewhere
            raise ConfigError(f"task={self.task} does not fit data.targets={targets}: {task} does")
        if output != "text" and self.tokenizer.joint:
            raise ConfigError(f"model.output={output} needs tokenizer.joint=false, which {task} sets")
        if output == "labels" and self.training.guided_alignment:
            guided = f"training.guided_alignment={self.training.guided_alignment}"
            raise ConfigError(f"{guided} does not fit data.targets=labels: all labels of a text have one attention")
        if output == "tags" and self.tokenizer.normalizer != "identity":
            normalizer = f"tokenizer.normalizer={self.tokenizer.normalizer}"
            raise ConfigError(f"{normalizer} may change where words end, each of which has a tag: identity does not")
        monitors = MONITORS[targets]
        if self.training.monitor not in monitors:
            monitor = f"training.monitor={self.training.monitor}"
            raise ConfigError(f"{monitor} does not fit data.targets={targets}: choose one of {', '.join(monitors)}")
        if output == "text" and self.training.class_weights != "none":
            weights = f"training.class_weights={self.training.class_weights}"
            raise ConfigError(f"{weights} would be ignored: model.output=text has no classes")


__all__ = [
    "LABEL_TASKS",
    "MODELS",
    "SCHEMA",
    "TARGETS_OF",
    "AttentionConfig",
    "Config",
    "DataConfig",
    "Group",
    "ModelConfig",
    "RNNConfig",
    "SearchConfig",
    "TokenizerConfig",
    "TrainerConfig",
    "TrainingConfig",
    "TransformerConfig",
]
