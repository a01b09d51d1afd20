"""`seq2seq check`: says which formats a model with some settings can be exported to, and why not to others."""

import logging

from seq2seq.commands.experiment import run_experiment
from seq2seq.config import Config
from seq2seq.export.formats import FORMATS, left_out, reasons

log = logging.getLogger("seq2seq")


def main(argv: list[str]) -> None:
    """`seq2seq check SETTING=VALUE ...`."""
    description = (
        "Compose the settings, train nothing, and say which formats `seq2seq export` can write such a model in. For"
        " each other format the settings that rule it out are named."
    )
    run_experiment("check", description, argv, print_formats)


def print_formats(config: Config) -> None:
    """Print a line for each format, and one for each further reason."""
    for name in FORMATS:
        why = reasons(name, config)
        missing = left_out(name, config)
        without = f", without {', '.join(missing)}" if missing else ""
        print(f"{name:<13}{'yes' + without if not why else 'no: ' + why[0]}")
        for reason in why[1:]:
            print(f"{'':<17}{reason}")
