"""What does `seq2seq train` do? Compose the settings and hand them to the training."""

from seq2seq.commands.experiment import experiment
from seq2seq.config import Config
from seq2seq.launch.grid import BEFORE, TRAINED, Outcome
from seq2seq.utils import process


def main(argv: list[str]) -> None:
    """`seq2seq train [-m] SETTING=VALUE ...`."""
    experiment("train", "Train a model; what is made is a run directory.", argv, run, cell, check)


def run(config: Config) -> None:
    """One run, new or resumed; torch and Lightning are imported only now, so that a wrong setting is told at once."""
    process.keep_freed_memory()
    if config.resume:
        from seq2seq.training.resume import resume as task
    else:
        from seq2seq.training.run import train as task

    task(config)


def check(config: Config) -> None:
    """Whatever can be found wrong with a cell of a grid before there is text."""
    from seq2seq.training.checks import check_settings

    check_settings(config)


def cell(config: Config) -> Outcome:
    """One run of a grid: new, gone on with, or finished before."""
    process.keep_freed_memory()
    from seq2seq.training.resume import complete

    folder, trained = complete(config)
    return Outcome(TRAINED if trained else BEFORE, str(folder))
