"""What does `seq2seq train` do? Compose the settings and hand them to the training."""

from seq2seq import process
from seq2seq.compose import experiment
from seq2seq.config import Config


def main(argv: list[str]) -> None:
    """`seq2seq train [-m] SETTING=VALUE ...`."""
    experiment("train", "Train a model; what is made is a run directory.", argv, run)


def run(config: Config) -> None:
    """One run, new or resumed; torch and Lightning are imported only now, so that a wrong setting is told at once."""
    process.keep_freed_memory()
    if config.resume:
        from seq2seq.training.resume import resume as task
    else:
        from seq2seq.training.run import train as task

    task(config)
