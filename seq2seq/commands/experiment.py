"""How does a command that takes settings read its command line?"""

from collections.abc import Sequence
from pathlib import Path

from seq2seq.commands import Parser
from seq2seq.commands.settings_help import settings_help
from seq2seq.config.io import to_yaml
from seq2seq.errors import ConfigError
from seq2seq.launch.compose import compose_config, conf_dir, resume_folder
from seq2seq.launch.sweep import Task, sweep

EVERY_CELL = (
    "run once for each combination of the values given with commas; given again, it goes on where it was cut off"
)


def experiment(
    name: str, purpose: str, argv: Sequence[str], task: Task, cell: Task | None = None, check: Task | None = None
) -> None:
    """Be the command `name`: compose the settings in `argv` and give them to `task`; with -m those of each cell of a grid to `cell`,
    once those of all of them have passed `check`.

    Raises ConfigError before any work for settings that cannot be."""
    parser = Parser(name, purpose, add_help=False)
    parser.add_argument("settings", nargs="*", metavar="SETTING=VALUE")
    parser.add_argument("-m", "--multirun", action="store_true", help=EVERY_CELL)
    parser.add_argument(
        "-cd",
        "--config-dir",
        type=Path,
        metavar="DIR",
        help="a folder of your own laid out like conf/, looked into as well",
    )
    parser.add_argument("--cfg", choices=["job"], help="print the settings and stop")
    parser.add_argument("-h", "--help", action="store_true", help="show this, every setting and every named group")
    options = parser.parse_intermixed_args(argv)
    folder = found(options.config_dir)
    if options.help:
        print(parser.format_help() + settings_help([conf_dir(), *([folder] if folder else [])]))
    elif options.multirun and resume_folder(options.settings):
        raise ConfigError("resume continues one run: it cannot be combined with -m")
    elif options.multirun and options.cfg:
        raise ConfigError("--cfg prints one set of settings: leave -m out")
    elif options.multirun:
        sweep(options.settings, cell or task, folder, check)
    else:
        config = compose_config(options.settings, folder)
        print(to_yaml(config), end="") if options.cfg else task(config)


def found(folder: Path | None) -> Path | None:
    """The absolute path of a folder of the user's. Raises ConfigError if there is none."""
    if folder and not folder.is_dir():
        raise ConfigError(f"--config-dir {folder} is no folder")
    return folder.resolve() if folder else None
