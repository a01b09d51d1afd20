"""What can be set, what is it by default, and why? The YAML files in conf/ may set nothing that is not here."""

from dataclasses import dataclass

from omegaconf import MISSING

from seq2seq.config.data import DataConfig, TokenizerConfig
from seq2seq.config.fields import Group, check_name, part, setting
from seq2seq.config.model import MODELS, AttentionConfig, ModelConfig, RNNConfig, TransformerConfig
from seq2seq.config.search import SearchConfig
from seq2seq.config.training import TrainerConfig, TrainingConfig
from seq2seq.errors import ConfigError

SCHEMA = 1  # raised whenever a saved config would be read differently


@dataclass(kw_only=True)
class Config(Group):
    """Everything that makes a run."""

    schema: int = setting(SCHEMA, "version of this layout")
    task: str = setting(
        "translation", "what is learnt: it chooses defaults of other settings and what evaluate measures", table="TASKS"
    )
    variant: str = setting("", "the run's name beside its corpus; empty: model and attention")
    runs: str = setting("runs", "folder that run directories are made in")
    seed: int = setting(1, "seed of weights, order of batches, dropout")
    resume: str = setting(
        "",
        "run directory to go on with; its settings win, only limits, logging, devices and where the text lies may change",
    )
    init_from: str = setting("", "run directory whose weights to start from")
    data: DataConfig = part(DataConfig)
    tokenizer: TokenizerConfig = part(TokenizerConfig)
    model: ModelConfig = MISSING
    training: TrainingConfig = part(TrainingConfig)
    trainer: TrainerConfig = part(TrainerConfig)
    search: SearchConfig = part(SearchConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schema != SCHEMA:
            raise ConfigError(f"schema={self.schema} is not for setting: this version writes {SCHEMA}")
        check_name("variant", self.variant)
        check_name("data.name", self.data.name)
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed={self.seed} is out of range: at least 0 and below 2^32")
        if self.training.guided_alignment and self.tokenizer.sampling:
            why = f"tokenizer.sampling={self.tokenizer.sampling} cuts words into others in each epoch"
            raise ConfigError(
                f"training.guided_alignment={self.training.guided_alignment} needs subwords that stay: {why}"
            )
        chosen = isinstance(self.model, ModelConfig)  # MISSING in a schema that waits for it
        if chosen and self.model.tie == "all" and not self.tokenizer.joint:
            raise ConfigError("model.tie=all needs one vocabulary for both sides: tokenizer.joint=true")


__all__ = [
    "MODELS",
    "SCHEMA",
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
