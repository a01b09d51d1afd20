"""Commands that take settings, `train` and `prepare`: their command line, help, and grids with -m."""

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

from seq2seq.commands.settings_help import settings_help
from seq2seq.config.io import to_yaml
from seq2seq.errors import ConfigError
from seq2seq.launch.compose import compose_config, conf_dir, resume_folder
from seq2seq.launch.sweep import Task, sweep
from seq2seq.runtime.arguments import Parser

log = logging.getLogger("seq2seq")


def run_experiment(
    command: str,
    description: str,
    argv: Sequence[str],
    task: Task,
    *,
    job: Task | None = None,
    check: Task | None = None,
) -> None:
    """Compose the settings in `argv` and give them to `task`; with -m give those of each job of the grid to `job`.

    job: `task` if None; check: called with the settings of all jobs before any starts, raises ConfigError. Raises
    ConfigError for invalid settings, before any work."""
    parser = _parser(command, description)
    options = parser.parse_intermixed_args(argv)
    folder = _existing_folder(options.config_dir)
    _refuse_folders(command, options.settings)
    if not (options.help or options.cfg or command in ("check", "doctor")):
        _log_default_data(options.settings)
    if options.help:
        print(parser.format_help() + settings_help([conf_dir(), *([folder] if folder else [])]))
    elif options.multirun and resume_folder(options.settings):
        raise ConfigError("resume continues one run: it cannot be combined with -m")
    elif options.multirun and options.cfg:
        raise ConfigError("--cfg prints the settings of one run: it cannot be combined with -m")
    elif options.multirun:
        sweep(options.settings, job or task, folder, check)
    else:
        config = compose_config(options.settings, folder)
        if options.cfg:
            print(to_yaml(config), end="")
        else:
            task(config)


def _log_default_data(settings: Sequence[str]) -> None:
    """Log which text is taken if the settings choose none."""
    if not any(re.match(r"\+*(data|experiment|resume)\b", word) for word in settings):
        log.info("no data given: this takes the embedded toy corpus, data=toy; data=mine reads files of your own")


def _refuse_folders(command: str, settings: Sequence[str]) -> None:
    """ConfigError for a file or folder, such as a run directory, in place of a setting."""
    for word in settings:
        if "=" not in word and os.path.exists(word):
            kind = "folder" if os.path.isdir(word) else "file"
            run = f"; resume={word} takes those of the run" if os.path.exists(os.path.join(word, "run.json")) else ""
            raise ConfigError(f"{word} is a {kind}, not a setting: {command} takes settings, as SETTING=VALUE{run}")


def _parser(command: str, description: str) -> Parser:
    """The parser of a command that takes settings."""
    parser = Parser(
        command,
        description,
        usage=f"seq2seq {command} [-m] [-cd DIR] [--cfg job] [GROUP=NAME | SETTING=VALUE ...]",
        add_help=False,
    )
    parser.add_argument(
        "settings", nargs="*", metavar="SETTING=VALUE", help="settings, and groups of settings, as listed below"
    )
    parser.add_argument(
        "-m",
        "--multirun",
        action="store_true",
        help="a grid: one run for each combination of values that are separated by commas; repeat the command to"
        " continue a grid that was interrupted",
    )
    parser.add_argument(
        "-cd",
        "--config-dir",
        type=Path,
        metavar="DIR",
        help="a folder of your own, laid out like conf/, with more groups and files",
    )
    parser.add_argument("--cfg", choices=["job"], help="print the settings as YAML, and stop")
    parser.add_argument("-h", "--help", action="store_true", help="show this help with all groups and settings")
    return parser


def _existing_folder(folder: Path | None) -> Path | None:
    """The absolute path of --config-dir; ConfigError if it is not a folder."""
    if folder and not folder.is_dir():
        raise ConfigError(f"--config-dir {folder} is not a folder")
    return folder.resolve() if folder else None
