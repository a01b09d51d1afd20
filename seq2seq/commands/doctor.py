"""`seq2seq doctor`: checks the machine, and a training with some settings, and prints a line for each finding."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from seq2seq.commands.experiment import run_experiment
from seq2seq.config import Config
from seq2seq.errors import ConfigError, counted, escaped

if TYPE_CHECKING:
    from seq2seq.doctor.finding import Finding


def main(argv: list[str]) -> None:
    """`seq2seq doctor [SETTING=VALUE ...]`."""
    if grid := next((word for word in argv if word in ("-m", "--multirun")), None):
        raise ConfigError(f"{grid} makes a grid, and doctor checks one training: leave it out")
    description = (
        "Check this machine and, with settings, a training with them: one line each, `good`, `warning` or `bad` with"
        " what to do. The corpus is prepared for it, as `seq2seq prepare` does. The exit code is 2 if anything is bad."
    )
    planned = any("=" in word and not word.startswith("-") for word in argv)
    run_experiment("doctor", description, argv, lambda config: print_findings(config, planned))


def print_findings(config: Config, planned: bool) -> None:
    """Print a line for each check. planned: not of the machine alone. Raises ConfigError if anything is bad."""
    bad = []
    for name, (level, text) in findings(config, planned):
        print(escaped(f"{level:<9}{name:<11}{' '.join(text.split())}"), flush=True)
        bad += [name] if level == "bad" else []
    if bad:
        raise ConfigError(f"{counted(len(bad), 'check')} found something bad: {', '.join(bad)}")


def findings(config: Config, planned: bool) -> Iterator[tuple[str, "Finding"]]:
    """Each check's name, and what it finds, as it is found."""
    # Imported here, as libraries are slow to import, so that a wrong setting is reported first.
    from seq2seq.doctor.finding import found
    from seq2seq.doctor.machine import MACHINE

    for name, check in MACHINE.items():
        yield name, found(check, config)
    if planned:
        yield from training_findings(config)


def training_findings(config: Config) -> Iterator[tuple[str, "Finding"]]:
    """The same of the checks of a training."""
    from seq2seq.doctor.finding import BAD, Finding, failure, found

    try:
        from seq2seq.doctor.training import CORPUS, SETTINGS, prepared_training
    except Exception as error:  # without torch there is nothing to check
        yield "settings", failure(error)
        return
    for name, check in SETTINGS.items():
        yield name, found(check, config)
    try:
        config, prepared = prepared_training(config)
    except Exception as error:
        others = ", ".join(name for name in CORPUS if name != "corpus")
        yield "corpus", Finding(BAD, f"{failure(error).text}; without a corpus these are not checked: {others}")
        return
    for name, check_text in CORPUS.items():
        yield name, found(check_text, config, prepared)
