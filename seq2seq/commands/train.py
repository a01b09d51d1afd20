"""`seq2seq train`: composes the settings and trains a model, or each model of a grid."""

from seq2seq.commands.experiment import run_experiment
from seq2seq.config import Config
from seq2seq.launch.grid import BEFORE, TRAINED, Outcome
from seq2seq.utils import process


def main(argv: list[str]) -> None:
    """`seq2seq train [-m] SETTING=VALUE ...`."""
    description = "Train a model. Settings, tokenizer, weights and metrics are written to a run directory in runs/."
    run_experiment("train", description, argv, train_run, job=train_job, check=check_job)


def train_run(config: Config) -> None:
    """Train one run, new or resumed."""
    process.keep_freed_memory()
    # Imported here, as torch and Lightning are slow to import, so that a wrong setting is reported first.
    if config.resume:
        from seq2seq.training.resume import resume

        resume(config)
    else:
        from seq2seq.training.run import train

        train(config)


def check_job(config: Config) -> None:
    """Raise ConfigError for whatever can be found wrong with a job of a grid without its text."""
    from seq2seq.training.checks import check_settings

    check_settings(config)


def train_job(config: Config) -> Outcome:
    """Train the run of a job of a grid: from the start, from its last checkpoint, or not at all if it is finished."""
    process.keep_freed_memory()
    from seq2seq.training.resume import complete

    folder, trained = complete(config)
    return Outcome(TRAINED if trained else BEFORE, str(folder))
