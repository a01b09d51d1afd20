"""`seq2seq train`: composes the settings and trains a model, or each model of a grid."""

from functools import partial

from seq2seq.commands.devices import started
from seq2seq.commands.experiment import run_experiment
from seq2seq.config import Config
from seq2seq.errors import ConfigError
from seq2seq.launch.grid import BEFORE, TRAINED, Outcome


def main(argv: list[str]) -> None:
    """`seq2seq train [-m] SETTING=VALUE ...`."""
    description = "Train a model. Settings, tokenizer, weights and metrics are written to a run directory in runs/."
    run_experiment("train", description, argv, partial(train_run, argv), job=train_job, check=check_grid_job)


def train_run(argv: list[str], config: Config) -> None:
    """Train one run, new or resumed."""
    trainer = config.trainer
    if trainer.nodes > 1 and not started():
        from seq2seq.distributed.launch import start_processes

        check_job(config)
        start_processes("seq2seq.worker", ["train", *argv], trainer.devices, trainer.nodes, trainer.rendezvous)
        return
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


def check_grid_job(config: Config) -> None:
    """The same, for a job of a grid that this process starts."""
    if config.trainer.nodes > 1 and not started():
        raise ConfigError(
            f"trainer.nodes={config.trainer.nodes} does not work with -m, as each machine would go through the grid by "
            "itself: start the grid with torchrun, as in torchrun --nnodes 2 ... -m seq2seq.worker train -m ..."
        )
    check_job(config)


def train_job(config: Config) -> Outcome:
    """Train the run of a job of a grid: from the start, from its last checkpoint, or not at all if it is finished."""
    from seq2seq.training.resume import complete

    folder, trained = complete(config)
    return Outcome(TRAINED if trained else BEFORE, str(folder))
