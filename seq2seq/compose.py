"""How do the words of a command line become settings? Through Hydra, and this is its only door."""

import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

import hydra
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seq2seq.commands import Parser
from seq2seq.commands.settings_help import settings_help
from seq2seq.config import MODELS, Config
from seq2seq.errors import ConfigError, Seq2SeqError, unknown
from seq2seq.settings import build_config, sentence, to_yaml
from seq2seq.tables import check_names

log = logging.getLogger("seq2seq")

Task = Callable[[Config], object]
OTHERS = ("tokenizer", "training", "trainer", "search", "data")  # groups that ask for nothing but themselves
EXAMPLE = 'data.licence="free (CC0)"'


def experiment(name: str, purpose: str, argv: Sequence[str], task: Task) -> None:
    """Be the command `name`: compose the settings in `argv` and give them to `task`; with -m once for each of a sweep.

    Raises ConfigError before any work for settings that cannot be."""
    parser = Parser(name, purpose, add_help=False)
    parser.add_argument("settings", nargs="*", metavar="SETTING=VALUE")
    parser.add_argument("-m", "--multirun", action="store_true", help="run once for each combination of the values given with commas")
    parser.add_argument(
        "-cd", "--config-dir", type=Path, metavar="DIR", help="a folder of your own laid out like conf/, looked into as well"
    )
    parser.add_argument("--cfg", choices=["job"], help="print the settings and stop")
    parser.add_argument("-h", "--help", action="store_true", help="show this, every setting and every named group")
    options = parser.parse_intermixed_args(argv)
    folder = found(options.config_dir)
    if options.help:
        print(parser.format_help() + settings_help([conf_dir(), *([folder] if folder else [])]))
    elif options.multirun and resumed(options.settings):
        raise ConfigError("resume goes on with one run: it cannot be swept with -m")
    elif options.multirun and options.cfg:
        raise ConfigError("--cfg prints one set of settings: leave -m out")
    elif options.multirun:
        sweep(options.settings, task, folder)
    else:
        config = compose_config(options.settings, folder)
        print(to_yaml(config), end="") if options.cfg else task(config)


def compose_config(overrides: Sequence[str] = (), folder: Path | None = None) -> Config:
    """The settings of conf/train.yaml, or the saved ones of the run that `resume` names, with `overrides`; `folder` is looked
    into for groups before conf/.

    Raises ConfigError, one sentence: a misspelt key, a value of another type, an unknown name, what cannot work together."""
    path = [f"hydra.searchpath=[{folder.as_uri()}]"] if folder else []
    with one_sentence(), hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        primary = register_saved(run) if (run := resumed(overrides)) else register()
        composed = hydra.compose(primary, overrides=[*path, *map(appended, overrides)])
    return to_config(composed)


def resumed(overrides: Sequence[str]) -> str:
    """The run directory in `resume=...`, if any."""
    words = [word for word in overrides if word.startswith("resume=")]
    with one_sentence():
        folder = str(OverridesParser.create().parse_overrides(words)[-1].value() or "") if words else ""
    if words and not folder:
        raise ConfigError("resume= is empty: name the run directory to go on with")
    return folder


def sweep(overrides: Sequence[str], task: Task, folder: Path | None = None) -> None:
    """Run `task` for every combination, by Hydra's sweeper and launcher; Hydra's own are first asked whether all can be."""
    words = [*(["--config-dir", str(folder)] if folder else []), *map(appended, overrides)]
    if not any(word.startswith(("hydra/", "+hydra/", "hydra.sweep")) for word in words):
        with tempfile.TemporaryDirectory() as nowhere:
            hydra_main([*words, f"hydra.sweep.dir={nowhere}"], lambda config: None)
    hydra_main(words, task)


def hydra_main(words: Sequence[str], task: Task) -> None:
    """Hydra's own command line in multirun mode, its errors left to us."""
    register()
    before, sys.argv = sys.argv, ["seq2seq train", "--multirun", *words]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints errors its way and exits with 1
    cells = Cells(task)
    try:
        with one_sentence():
            hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(cells)()
    finally:
        sys.argv = before
    if cells.failed:
        raise ConfigError(f"{cells.failed} of {cells.begun} runs of the sweep failed, as told above")


class Cells:
    """The runs of a sweep: the error of one is told at once and does not keep the others from running."""

    def __init__(self, task: Task) -> None:
        self.task, self.process, self.begun, self.failed = task, os.getpid(), 0, 0

    def __call__(self, composed: DictConfig) -> None:
        self.begun += 1
        try:
            self.task(to_config(composed))
        except Seq2SeqError as error:
            if os.getpid() != self.process:  # a launcher's own, whose counts nobody would see
                raise
            self.failed += 1
            words = HydraConfig.get().job.override_dirname
            log.error("%s: %s", words, error)


def to_config(composed: DictConfig) -> Config:
    """What Hydra composed, as dataclasses; names of tables are checked as well."""
    with one_sentence():
        values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    config = build_config(values)  # type: ignore[arg-type]
    check_names(config)
    return config


def register() -> str:
    """Give Hydra the type and default of every setting: `schema`, model/NAME_schema. Returns the primary config's name."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for name, model in MODELS.items():
        store.store(group="model", name=f"{name}_schema", node=model)
    return "train"


def register_saved(folder: str) -> str:
    """The same with the settings of a run in place of the defaults; no file of conf/ is read unless it is asked for."""
    from seq2seq.runs import Run  # torch takes its time

    saved = Run.open(folder).config
    register()
    store = ConfigStore.instance()
    store.store(name="schema", node=replace(saved, model=MISSING))
    store.store(group="model", name=f"{saved.model.name}_schema", node=saved.model)
    store.store(group="model", name="saved_schema", node={"defaults": [f"{saved.model.name}_schema", {"attention": None}]})
    store.store(group="task", name="saved_schema", node={}, package="_global_")
    for name in MODELS:  # what a file of conf/model takes from its task is what was saved
        store.store(group="model/_task", name=f"{name}_saved_schema", node={"defaults": [{"/model/attention@attention": None}]})
    chosen = [{"model": "saved_schema"}, {"task": "saved_schema"}, *({group: None} for group in OTHERS)]
    store.store(name="saved", node={"defaults": ["schema", *chosen, {"experiment": None}]})
    return "saved"


def conf_dir() -> Path:
    """The folder conf/: inside the package when installed from a wheel, else at the top of the checkout."""
    package = Path(__file__).resolve().parent
    return next(folder for folder in (package / "conf", package.parent / "conf") if (folder / "train.yaml").is_file())


def found(folder: Path | None) -> Path | None:
    """The absolute path of a folder of the user's. Raises ConfigError if there is none."""
    if folder and not folder.is_dir():
        raise ConfigError(f"--config-dir {folder} is no folder")
    return folder.resolve() if folder else None


def appended(override: str) -> str:
    """experiment/NAME=... is not in the defaults list and has to be appended to it."""
    return f"+{override}" if re.match(r"experiment/[^=]+=", override) else override


@contextmanager
def one_sentence() -> Iterator[None]:
    """Errors of Hydra, OmegaConf and YAML become ConfigError."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigError(explain(error)) from None


def explain(error: BaseException) -> str:
    """What Hydra found wrong, in one sentence: the setting, the value, the nearest right name, the choices."""
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override!r} cannot be read: write SETTING=VALUE, a VALUE with blanks or brackets in two pairs of quotes: '{EXAMPLE}'"
        )
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, name = re.findall(r"Could not find '([^']*)'", str(error))[0].rpartition("/")
        return unknown(group, name, [option for option in error.options if not option.endswith("schema")])
    if several := re.match(r"Ambiguous value for argument '([^']*)'", str(error)):
        setting, _, values = several[1].partition("=")
        return f"{several[1]} are several values: add -m to run once for each, or write {setting}=[{values}] for a list"
    file = re.match(r"In '([^']*)'", str(error))
    place = f"{file[1]}.yaml: " if file else ""
    cause: BaseException | None = error
    while cause and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__ or cause.__context__
    if not isinstance(cause, OmegaConfBaseException):
        return " ".join(str(error).split())
    name = str(cause.full_key)
    return place + (no_group(name) if "/" in name else sentence(cause))


def no_group(name: str) -> str:
    """The sentence for a group that conf/ does not have."""
    groups = sorted({str(path.parent.relative_to(conf_dir())) for path in conf_dir().rglob("*.yaml")} - {".", "model/_task"})
    near = get_close_matches(name, groups, n=1)
    return f"{name} is no group{f' (did you mean {near[0]}?)' if near else ''}; choose one of: {', '.join(groups)}"
