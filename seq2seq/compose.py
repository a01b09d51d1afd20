"""How do the words of a command line become settings? Through Hydra, and this is its only door."""

import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

import hydra
import yaml
from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seq2seq.commands import Parser
from seq2seq.commands.settings_help import settings_help
from seq2seq.config import MODELS, Config
from seq2seq.errors import BusyError, ConfigError, Seq2SeqError, unknown
from seq2seq.grid import BEFORE, ELSEWHERE, FAILED, STOPPED, TRAINED, Grid, Outcome, require_all, summary
from seq2seq.launchers import AT_ONCE, crowded, fair, from_launcher, listening, patience, set_apart
from seq2seq.settings import build_config, sentence, to_yaml
from seq2seq.tables import check_names

log = logging.getLogger("seq2seq")

Task = Callable[[Config], object]
OTHERS = ("tokenizer", "training", "trainer", "search", "data")  # groups that ask for nothing but themselves
EXAMPLE = 'data.licence="free (CC0)"'
EVERY_CELL = "run once for each combination of the values given with commas; given again, it goes on where it was cut off"


def experiment(name: str, purpose: str, argv: Sequence[str], task: Task, cell: Task | None = None) -> None:
    """Be the command `name`: compose the settings in `argv` and give them to `task`; with -m those of each cell of a grid to `cell`.

    Raises ConfigError before any work for settings that cannot be."""
    parser = Parser(name, purpose, add_help=False)
    parser.add_argument("settings", nargs="*", metavar="SETTING=VALUE")
    parser.add_argument("-m", "--multirun", action="store_true", help=EVERY_CELL)
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
        sweep(options.settings, cell or task, folder)
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
    """Run `task` for every combination, by Hydra's sweeper and launcher, and tell what became of each; all are first composed.

    What `task` raises keeps no other cell from running; TrainingError at the end."""
    words = [*(["--config-dir", str(folder)] if folder else []), *map(appended, overrides)]
    swept = any(word.startswith(("hydra/sweeper=", "hydra.sweeper.")) for word in words)  # which combinations there are, only it knows
    cells = [] if swept else combinations([word for word in words if not word.startswith(("hydra/", "hydra."))])
    grid = Grid.under(cells[0][1].runs if cells else Config.runs, [tasks for tasks, _ in cells])
    place = [] if any(word.startswith("hydra.sweep.dir=") for word in words) else [sweep_dir(grid.folder)]
    crash: Exception | None = None
    launched = any(word.startswith("hydra/launcher=") for word in words)
    if launched:
        log.info("%d cells; what becomes of each is noted in %s", len(cells), grid.folder)
    try:
        with patience(grid) if launched else nullcontext():
            hydra_main([*words, *place], Cells(task, grid))
    except KeyboardInterrupt:
        grid.stop()
    except Seq2SeqError:  # before any cell
        raise
    except Exception as error:
        crash = error
    if crash and from_launcher(crash):
        log.error("the launcher gave up: %s", " ".join(str(crash).split()))
    outcomes = grid.outcomes()
    for line in summary(outcomes):
        log.info("%s", line)
    if crash and not from_launcher(crash):
        raise crash
    if grid.stopped:
        raise KeyboardInterrupt
    require_all(outcomes)


def combinations(words: Sequence[str]) -> list[tuple[list[str], Config]]:
    """The words and the settings of each cell. ConfigError, after a line for each, if there are some that cannot be."""
    found: list[tuple[list[str], Config | ConfigError]] = []

    def compose(composed: DictConfig) -> None:
        try:
            found.append((list(HydraConfig.get().overrides.task), to_config(composed)))
        except ConfigError as error:
            found.append((list(HydraConfig.get().overrides.task), error))

    with tempfile.TemporaryDirectory() as nowhere:
        hydra_main([*words, sweep_dir(Path(nowhere))], compose)
    grid = Grid(Path(), [cell for cell, _ in found])
    right = [(cell, config) for cell, config in found if isinstance(config, Config)]
    for cell, error in found:
        if isinstance(error, ConfigError):
            log.error("%s: %s", grid.label(cell), error)
    if len(right) < len(found):
        raise ConfigError(f"{len(found) - len(right)} of {len(found)} cells of the grid cannot be, as told above; none was begun")
    return right


def sweep_dir(folder: Path) -> str:
    """The word that tells Hydra where to leave its record of a sweep."""
    return "hydra.sweep.dir='{}'".format(str(folder).replace("'", r"\'"))


def hydra_main(words: Sequence[str], task: Callable[[DictConfig], None]) -> None:
    """Hydra's own command line in multirun mode, its errors left to us."""
    register()
    before, sys.argv = sys.argv, ["seq2seq train", "--multirun", *words]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints errors its way and exits with 1
    try:
        with one_sentence():
            hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(task)()
    finally:
        sys.argv = before


class Cells:
    """The cells of a grid, each called in whichever process the launcher has for it: how it ended is noted where all can read it."""

    def __init__(self, task: Task, grid: Grid) -> None:
        self.task, self.grid, self.process = task, grid, os.getpid()

    def __call__(self, composed: DictConfig) -> None:
        job, apart = HydraConfig.get(), os.getpid() != self.process
        words = self.grid.label(job.overrides.task)
        if apart:
            set_apart(words)
        if self.grid.stopped:
            return
        outcome = Outcome(FAILED, reason="a bug, with a traceback")
        try:
            with listening(self.grid) if apart else nullcontext():
                config = to_config(composed)
                ended = self.task(self.placed(config, job) if apart else config)
            outcome = ended if isinstance(ended, Outcome) else Outcome(TRAINED)
        except Seq2SeqError as error:
            outcome = Outcome(ELSEWHERE if isinstance(error, BusyError) else FAILED, reason=str(error))
        except KeyboardInterrupt:
            outcome = Outcome(STOPPED)
            if not apart:
                raise
        finally:
            self.grid.note(job.job.num, outcome, words)
        if told := outcome.reason or (f"finished before: {outcome.run}" if outcome.state == BEFORE else ""):
            log.log(logging.ERROR if outcome.state == FAILED else logging.INFO, "%s%s", "" if apart else f"{words}: ", told)

    def placed(self, config: Config, job: HydraConf) -> Config:
        """With a fair share of the machine; the first cell says where more is asked for."""
        where = (job.runtime.choices["hydra/launcher"], job.launcher, len(self.grid.cells))
        if job.job.num == 0 and (advice := crowded(config, *where)):
            log.warning("%s", advice)
        return fair(config, *where)


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
        if group == "hydra/launcher" and name in AT_ONCE:
            return f"{group}={name} needs more packages: pip install 'seq2seq[sweep]'"
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
