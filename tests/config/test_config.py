"""Settings: composing, saving and reading them, and the errors for wrong ones."""

import dataclasses
import importlib
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from seq2seq.commands.attentions import attention_tables
from seq2seq.config import LABEL_TASKS, AttentionConfig, Config, DataConfig, RNNConfig, TransformerConfig, io
from seq2seq.config.choices import CHOICES, check_choices, field_choices
from seq2seq.config.io import (
    ADDED,
    build_config,
    differences,
    every_setting,
    flatten,
    read_config,
    settings_hash,
    write_config,
)
from seq2seq.errors import ConfigError, RunError
from seq2seq.launch.compose import compose_config, conf_dir
from tests.config.built import DEFAULT, built
from tests.each import each

GROUPS = {  # group of conf/ -> its files; those of experiment: test_experiments.py, of model/_task: test_tasks.py
    group: sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
    for group in ("model", "task", "data", "tokenizer", "training", "trainer", "search")
}
ATTENTIONS = sorted(path.stem for path in (conf_dir() / "model" / "attention").glob("*.yaml"))
ROWS = max(map(len, GROUPS.values()))  # the first files of all groups, the second ones, ...: every file at least once
WRONG = {  # overrides -> parts of the error message
    "trainin.learning_rate=1": ("trainin is not a setting", "did you mean training?"),
    "training.leraning_rate=1": (
        "training.leraning_rate is not a setting",
        "did you mean training.learning_rate?",
        "training.warmup",
    ),
    "training.keep=0": ("training.keep=0 is too small: at least 1",),
    "model/attention=": ("model/attention= has no value; choose one of: additive, concat",),
    "data=3": ("data='3' is unknown; choose one of: acl_titles",),
    "model=[rnn]": ("model='[rnn]' is unknown (did you mean 'rnn'?)",),
    "model={}": ("model='{}' is unknown; choose one of: rnn, transformer",),
    "data=nan": ("data='nan' is unknown; choose one of: acl_titles",),
    "data=-inf": ("data='-inf' is unknown",),
    "model=1_000": ("model='1_000' is unknown",),
    "search=1,beam": ("search='1,beam' is unknown",),
    "model/attention=range(1,3)": ("model/attention='range(1,3)' is unknown",),
    "training=interval(0,1)": ("training='interval(0,1)' is unknown",),
    "task=int(5)": ("task='int(5)' is unknown",),
    "model=null": ("model='null' is unknown; choose one of: rnn, transformer",),
    "model.attention=dot": ("model.attention is a group of settings: write model/attention=NAME",),
    "data=mine data.train=[{}]": ("data.train is not a list of names",),
    "data=mine data.format=csv data.columns=1": ("data.columns is a list: write data.columns=[...]",),
    "=1": ("'=1' cannot be read",),
    "+seed=2": ("seed is there already: write seed=... without +",),
    "+model/attention=dot": ("model/attention is there already",),
    "data.test=[a]": ("data.test is not a list of names for each test set",),
    "variant=[a]": ("variant is not text",),
    "learning_rate=1": ("did you mean training.learning_rate?",),
    "modl=rnn": ("did you mean model?",),
    "model=rnnn": ("model='rnnn' is unknown", "did you mean 'rnn'?", "choose one of: rnn, transformer"),
    "model/attention=local_x": ("model/attention='local_x'", "did you mean 'local_", "sparsemax"),
    "model/attentoin=dot": ("model/attentoin is not a group", "did you mean model/attention?"),
    "experiment=luong2015": (
        "experiment=luong2015 is a folder: write experiment/luong2015=NAME",
        "local_p_general, location",
    ),
    "experiment/luong2015=bas": (
        "experiment/luong2015='bas' is unknown (did you mean 'base'?)",
        "choose one of: base, dropout",
    ),
    "experiment=luong2015/bas": (
        "experiment/luong2015='bas' is unknown (did you mean 'base'?)",
        "choose one of: base, dropout",
    ),
    "experiment=luong/base": ("experiment/luong is not a group", "did you mean experiment/luong2015?"),
    "experiment=dmo": ("experiment='dmo'", "did you mean 'demo'?"),
    "experiment/luong_tabel=dot": ("experiment/luong_tabel is not a group", "did you mean experiment/luong_table?"),
    "seed": ("'seed' cannot be read", "SETTING=VALUE"),
    "data.how=a (b) c": ("cannot be read", "quotes"),
    "seed=1,2": ("seed=1,2 are several values: add -m",),
    "data.train=a,b": ("data.train=a,b are several values: add -m", "data.train=[a,b] for a list"),
    "model/attention=glob(*)": ("model/attention=glob(*) are several values: add -m",),
    "model.parameters=1e6": ("model.parameters=1000000.0 is not an integer",),
    "seed=x": ("seed=x is not an integer",),
    "search.sampling=perhaps": ("search.sampling=perhaps is not true or false",),
    "tokenizer.size=1.5": ("tokenizer.size=1.5 is not an integer or auto",),
    "tokenizer.size=null": ("tokenizer.size cannot be null",),
    "tokenizer.size=[8]": ("tokenizer.size=[8] is not an integer or auto",),
    "model.attention=null": ("model.attention cannot be null",),
    "variant=null": ("variant cannot be null; leave it out for the default",),
    "model.dropout=null": ("model.dropout cannot be null",),
    "resume=": ("resume= does not name a run directory to resume",),
    "+resume=": ("+resume= does not name a run directory to resume",),
    "resume=a,b": ("resume=a,b does not name a run directory",),
    "model.heads=4": ("model.heads is a setting of model=transformer only",),
    "+foo=1": ("foo is not a setting",),
    "data.test={mine: [a]}": ("data.test.mine is new", "+data.test.mine=..."),
    "seed=${sed}": ("seed", "sed"),
    "~model": ("model",),
    "model.head=copie": ("did you mean 'copy'?",),
    "search.top_p=0.5": ("would be ignored",),
    "hydra.jobs=1": ("jobs",),
    "experiment/tf_nmt=scaled_luong model.hidden=64": (
        "model.bridge=directions needs encoder_hidden=128, twice model.hidden, not 1024",
    ),
    f"tokenizer.size={'9' * 5000}": ("tokenizer.size='9999", "9... (5,000 characters)' has a number of more than 300"),
    f"model.dropout={'9' * 5000}": ("model.dropout='9999", "has a number of more than 300 digits"),
    f"data.columns=[0,{'9' * 5000}]": ("data.columns='[0,9999", "has a number of more than 300 digits"),
    "seed=${nope}": ("seed refers to ${nope}, which is not a setting",),
    "runs=${runs}": ("runs refers to itself",),
    "runs=${oc.env:NO_SUCH_VARIABLE}": ("the environment variable NO_SUCH_VARIABLE, which is not set",),
    "runs=${oc.foo:x}": ("refers to ${oc.foo:...}, which is unknown",),
    "runs='${'": ("runs",),
    "hydra=1": ("hydra is a group of settings",),
    "hydra.job.num=x": ("hydra.job.num has a value of another type",),
    "hydra.mode=x": ("hydra.mode has a value of another type",),
    "hydra.searchpath=x": ("hydra.searchpath is a list of folders",),
    "hydra.searchpath=[foo://x]": ("cannot be searched",),
    "hydra/sweeper=optuna": ("hydra/sweeper=optuna is not installed; choose one of: basic",),
    "hydra/launcher=slurm": ("hydra/launcher=slurm is not installed; choose one of: basic",),
    "model@x=rnn": ("model@x is not a group (did you mean model?)",),
    "--x": ("'--x' cannot be read",),
    "seed=" + "9" * 2000 + "x": ("(2,001 characters)",),
    "x" * 2000 + "=1": ("(2,000 characters) is not a setting",),
    "data=" + "x" * 2000: ("data='xxx", "(2,000 characters)"),
}
IMPOSSIBLE = {  # settings that Hydra composes, but that cannot be -> parts of the error message
    "training.accumulate=0": ("training.accumulate=0", "at least 1"),
    "training.ema=1": ("training.ema=1", "below 1"),
    "training.learning_rate=-1": ("training.learning_rate=-1", "at least 0"),
    "training.validate_every=-1": ("training.validate_every=-1", "at least 0"),
    "training.halve_from=0.5": ("training.halve_from=0.5 would be ignored", "training.schedule=luong"),
    "training.plateau_patience=3": ("training.plateau_patience=3 would be ignored", "training.schedule=plateau"),
    "training.guided_alignment=-1": ("training.guided_alignment=-1", "at least 0"),
    "training.guided_loss=squared_error": (
        "training.guided_loss=squared_error would be ignored",
        "training.guided_alignment",
    ),
    "trainer.log_every=0": ("trainer.log_every=0", "at least 1"),
    "data.format=toy data.train=[mine]": ("data.train=['mine'] would be ignored", "data=mine"),
    "seed=-1": ("seed=-1 is too small: at least 0",),
    "data.train=[null]": ("data.train=[None] is not a list of names",),
    "data.train=true": ("data.train=True is not a list of names",),
    "+data.test.x=null": ("data.test.x cannot be null",),
    "data.format=csv data.columns=[1,1]": ("data.columns=[1, 1] must be two columns",),
    "data.columns=[1,2]": ("data.columns=[1, 2] would be ignored: it belongs to data.format=tsv, csv and conll",),
    "+data.test.x=[[y]]": ("data.test is not a list of names for each test set",),
    "data.format=tsv data.columns=[{},1]": ("data.columns is not a list of integers",),
    "tokenizer.size=large": ("tokenizer.size='large' is neither an integer nor auto",),
    "tokenizer.size=4": ("tokenizer.size=4 is too small: at least 5",),
    "tokenizer.character_coverage=0.9": ("tokenizer.character_coverage=0.9 is too small: at least 0.98",),
    "training.learning_rate=nan": ("training.learning_rate=nan is not a finite number",),
    "training.learning_rate=inf": ("training.learning_rate=inf is not a finite number",),
    "search.alpha=nan": ("search.alpha=nan is not a finite number",),
    "search.min_ratio=4": ("search.min_ratio=4.0 is above search.max_ratio=3.0",),
    "variant=../evil": ("variant='../evil' is part of a directory's name",),
    "data.name=a/b": ("data.name='a/b' is part of a directory's name",),
    "data.format=toy data.train=train": ("data.train=['train'] would be ignored",),
    "+training.foo=1": ("training.foo is not a setting",),
    "model.attention.scorer=dott": ("model.attention.scorer='dott'", "did you mean 'dot'?", "euclidean"),
    "model.attention.window=lokal_m": ("did you mean 'local_m'?",),
    "training.optimizer=adm": ("training.optimizer='adm'", "adamw"),
    "training.schedule=cosin": ("did you mean 'cosine'?",),
    "search.length_penalty=avrage": ("search.length_penalty='avrage'", "did you mean 'average'?"),
    "model.hidden=7": ("model.hidden=7 must be even",),
    "search.beam=0": ("search.beam=0 is too small",),
    "model.bridge=directions": ("model.bridge=directions needs decoder_layers=2, two for each of the encoder, not 1",),
    "model.parameters=-1": ("model.parameters=-1 is too small: at least 0",),
    f"tokenizer.size={'9' * 300}": (
        "tokenizer.size=1.000e+300 is too large: at most 1000000 (every entry has a place",
    ),
    "model.hidden=2147483648": ("model.hidden=2147483648 is too large: at most 65536",),
    "training.learning_rate=1e400": ("training.learning_rate=inf is not a finite number",),
}
TWINS = {  # reported by the same lines as another one
    "model/attention=local_x",
    "experiment=dmo",
    "seed=x",
    "modl=rnn",
    "experiment/luong2015=bas",
    "experiment/luong_tabel=dot",
    "variant=null",
    "model.dropout=null",
    "seed=${sed}",
    "hydra.mode=x",
    "hydra/sweeper=optuna",
    "tokenizer.size=[8]",
    "+model/attention=dot",
    "training.keep=0",
    "model.heads=4",
    "tokenizer.size=null",
    "training.leraning_rate=1",
    "hydra.jobs=1",
    "experiment=luong2015/bas",
}
FOREIGN = re.compile(
    r"hydra\._|Omega|Traceback|Interpolation|could not be converted|expected one of|object_type|Did you"
)


def words_of(overrides: str) -> list[str]:
    """The words of a command line; one word may have a space."""
    return overrides.split(" ") if overrides.count("=") > 1 else [overrides]


@pytest.mark.parametrize(
    "overrides", [pytest.param(key, marks=pytest.mark.slow if key in TWINS else ()) for key in WRONG]
)
def test_wrong_setting_is_reported_in_one_sentence(overrides: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose_config(words_of(overrides))
    check_sentence(str(caught.value), WRONG[overrides])


@each("overrides", IMPOSSIBLE)
def test_impossible_setting_is_reported_in_one_sentence(overrides: str) -> None:
    with pytest.raises(ConfigError) as caught:
        built(*words_of(overrides))
    check_sentence(str(caught.value), IMPOSSIBLE[overrides])


def check_sentence(message: str, parts: tuple[str, ...]) -> None:
    assert all(words in message for words in parts), message
    assert "\n" not in message
    assert "schema" not in message.split("choose one of:")[0]
    assert not FOREIGN.search(message), "a sentence of another library"
    assert len(message) < 900


def test_file_that_is_not_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/broken.yaml").write_text("name: [\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"data/broken\.yaml is not valid YAML: line 2, column 1$"):
        compose_config(["data=broken"], tmp_path)


@pytest.mark.parametrize(
    ("name", "why"), [("../../x", "is part of a directory's name"), ("..", "names no folder"), ("", "names no folder")]
)
def test_name_of_a_test_set_cannot_leave_its_folder(name: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"data.test={name!r} {why}"):
        build_config({"model": {"name": "rnn"}, "data": {"test": {name: ["a"]}}})


def test_a_single_name_is_a_list_of_one(tmp_path: Path) -> None:
    """On the command line, in a file, and in Python; in place of a list too."""
    words = ["data.train=train", "data.dev=2024", "+data.test.x='my file'", "+data.test.y=a:b@c.d/e"]
    data = compose_config(["data=mine", *words]).data
    assert (data.train, data.dev, data.test) == (["train"], ["2024"], {"x": ["my file"], "y": ["a:b@c.d/e"]})
    assert compose_config(["data=multi30k", "data.test.test_2016_flickr=2024"]).data.test["test_2016_flickr"] == [
        "2024"
    ]
    own = tmp_path / "data" / "own.yaml"
    own.parent.mkdir()
    own.write_text("name: mine\ntrain: train\ndev: 2024\ntest: {x: my file, y: 'a:b@c.d/e'}\n")
    assert compose_config(["data=own"], tmp_path).data == data
    assert DataConfig(train="train", dev="2024", test={"x": "my file", "y": "a:b@c.d/e"}) == data  # type: ignore[arg-type, dict-item]


def test_home_folder_in_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    config = compose_config(["data=mine", "data.root=~/text", "runs=~", "data.train=~/a"])
    assert (config.data.root, config.runs, config.data.train) == ("/home/me/text", "/home/me", ["/home/me/a"])


def outcome(values: dict[str, Any]) -> str:
    """The config of these values, or the error."""
    try:
        return repr(build_config(values))
    except ConfigError as error:
        return f"refused: {error}"


@pytest.mark.parametrize("family", ["rnn", "transformer"])
def test_plain_values_give_what_omegaconf_makes_of_them(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = dataclasses.asdict(built(family=family)) | {"variant": "a", "seed": 7}
    values["data"] |= {"train": ["a", "b"], "test": {"x": ["y"], "z": ["1"]}}
    values["tokenizer"]["size"] = 99
    values["training"] |= {"learning_rate": 0.5, "keep": 9}
    odd: list[object] = [
        "7",
        7,
        7.5,
        "a",
        "",
        None,
        True,
        "???",
        "${seed}",
        "${x}",
        b"a",
        {},
        [],
        Path("a"),
        float("nan"),
    ]
    cases = [values, {"model": {"name": family}}, {**values, "other": 1}, {**values, 1: 2}]
    cases += [{**values, name: value} for name in ("runs", "seed", "data") for value in odd]
    for group, name in (
        ("training", "learning_rate"),
        ("search", "sampling"),
        ("tokenizer", "size"),
        ("data", "train"),
    ):
        cases += [{**values, group: {**values[group], name: value}} for value in (*odd, [1], ["a", None], [["a"]])]
    cases += [{**values, "data": {**values["data"], "test": value}} for value in ({"x": "y"}, {1: ["y"]}, {"x": [1]})]
    plain = [case for case in cases if io._is_plain(Config, case)]  # the others are OmegaConf's
    assert len(cases) > len(plain) > 5
    quick = [outcome(case) for case in plain]
    assert build_config(values).data.train is not values["data"]["train"]
    monkeypatch.setattr(io, "_is_plain", lambda group, values: False)
    assert [outcome(case) for case in plain] == quick
    assert plain[0] == values
    assert not quick[0].startswith("refused")


def test_columns_of_runs_of_earlier_versions_are_read() -> None:
    assert DataConfig(columns=[0, 1]).columns == []
    assert DataConfig(format="tsv", columns=[0, 1]).columns == [0, 1]


@each("value", ["nan", "inf", "-1"])
@each("name", [name for name, field in every_setting().items() if field.type is float])
def test_impossible_numbers_are_refused(name: str, value: str) -> None:
    family = "transformer" if name in flatten(build_config({"model": {"name": "transformer"}})) else "rnn"
    values: Any = float(value)
    for part in reversed(name.split(".")):
        values = {part: values}
    with pytest.raises(ConfigError, match=name):
        build_config({**values, "model": {"name": family, **values.get("model", {})}})


@pytest.mark.parametrize("row", range(ROWS))
@pytest.mark.fast(*map(str, range(4)))  # every file but those of some corpora
def test_every_file_of_conf_composes(row: int) -> None:
    chosen = {group: names[row % len(names)] for group, names in GROUPS.items()}
    if chosen["task"] in LABEL_TASKS:  # other corpora have texts as targets
        chosen["data"] = "mine"
    config = compose_config([f"{group}={name}" for group, name in chosen.items()])
    assert (config.model.name, config.data.name, config.task) == (chosen["model"], chosen["data"], chosen["task"])


@pytest.mark.parametrize("name", GROUPS["data"])
def test_file_of_a_corpus_holds_settings(name: str) -> None:
    path = conf_dir() / "data" / f"{name}.yaml"
    written: Any = OmegaConf.to_container(OmegaConf.load(path))
    defaults = written.pop("defaults", [])
    values = written if path.read_text().startswith("# @package _global_\n") else {"data": written}
    config = build_config({"model": {"name": "rnn"}, **values})
    check_choices(config)
    assert config.data.name == name
    for group, file in (choice for entry in defaults if entry != "_self_" for choice in entry.items()):
        assert (conf_dir() / group.removeprefix("override /") / f"{file}.yaml").is_file()


@each("name", ATTENTIONS)
def test_file_of_an_attention_sets_what_it_holds(name: str) -> None:
    written = dict(OmegaConf.load(conf_dir() / "model" / "attention" / f"{name}.yaml"))
    defaults = dataclasses.asdict(AttentionConfig())
    config = build_config({"model": {"name": "rnn", "attention": written}})
    assert dataclasses.asdict(config.model.attention) == {**defaults, **written}
    check_choices(config)


def test_every_scorer_window_and_normalizer_has_a_named_variant() -> None:
    parts = [
        {**AttentionConfig().__dict__, **OmegaConf.load(conf_dir() / "model" / "attention" / f"{name}.yaml")}
        for name in ATTENTIONS
    ]
    for setting, table in (("scorer", "SCORERS"), ("window", "WINDOWS"), ("normalizer", "NORMALIZERS")):
        assert {part[setting] for part in parts} == set(CHOICES[table])


TABLES = {
    "ACTIVATIONS": "nn.layers", "BRIDGES": "nn.rnn.encoder", "CELLS": "nn.rnn.cells", "FORMATS": "compare.formats",
    "GUIDED_LOSSES": "training.loss", "HEADS": "nn.heads", "INITIALIZERS": "nn.init", "METRICS": "evaluation.metrics",
    "NORMALIZERS": "nn.attention.normalizers", "NORMS": "nn.layers", "OPTIMIZERS": "training.optim",
    "POOLINGS": "nn.attention.pooling",
    "PRECISIONS": "nn.precision", "READOUTS": "nn.rnn.decoder",
    "SCHEDULES": "training.optim", "SCORERS": "nn.attention.scorers", "SYMMETRIZATIONS": "evaluation.symmetrization",
    "TASKS": "evaluation.metrics", "WINDOWS": "nn.attention.windows",
}  # fmt: skip


@each("table", CHOICES)
def test_choices_are_the_keys_of_their_table(table: str) -> None:
    assert CHOICES[table] == tuple(getattr(importlib.import_module(f"seq2seq.{TABLES[table]}"), table))


def test_every_scorer_is_listed_with_its_formula() -> None:
    assert {row[0] for row in attention_tables()[0].rows} == set(CHOICES["SCORERS"])


@pytest.mark.parametrize("name", [name for name, field in every_setting().items() if field.metadata.get("table")])
def test_defaults_are_in_their_tables(name: str) -> None:
    field = every_setting()[name]
    assert field.default in field_choices(field)


def test_overrides_of_values_and_groups_apply() -> None:
    config = compose_config(
        ["model=transformer", "model.size=64", "model/attention=local_m", "search=greedy", "trainer.precision=16"]
    )
    assert isinstance(config.model, TransformerConfig)
    assert (config.model.size, config.model.attention.window, config.search.beam, config.trainer.precision) == (
        64,
        "local_m",
        1,
        "16",
    )
    assert isinstance(compose_config(["experiment=demo"]).model, RNNConfig)
    assert compose_config(["experiment=demo", "model.dropout=0.5"]).model.dropout == 0.5


def test_groups_of_a_users_folder_are_found(tmp_path: Path) -> None:
    for group in ("data", "experiment"):
        (tmp_path / group).mkdir()
    (tmp_path / "data" / "own.yaml").write_text("name: own\ntrain: [a]")
    (tmp_path / "experiment" / "own.yaml").write_text("# @package _global_\ndefaults: [{override /data: own}]\nseed: 7")
    config = compose_config(["experiment=own"], tmp_path)
    assert (config.data.name, config.data.train, config.seed) == ("own", ["a"], 7)
    (tmp_path / "data" / "own.yaml").write_text("nmae: own")
    with pytest.raises(ConfigError, match=r"data\.nmae is not a setting \(did you mean data\.name\?\)"):
        compose_config(["data=own"], tmp_path)
    (tmp_path / "data" / "own.yaml").write_text("name: [own")
    with pytest.raises(ConfigError, match=r"own\.yaml"):
        compose_config(["data=own"], tmp_path)


ALONE = ["été", "a,b", "(x)", "[x]", "a=b", "a%20b"]  # each of which the first name below has as well


@pytest.mark.parametrize(
    "name",
    [
        """it's [my] (own) a,b "été" a=b a%20b/${x}/a\\""",  # three folders
        *(pytest.param(name, marks=pytest.mark.slow) for name in ALONE),
    ],
)
def test_users_folder_may_have_any_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name / "experiment").mkdir(parents=True)
    (tmp_path / name / "experiment" / "own.yaml").write_text("# @package _global_\nseed: 7")
    assert compose_config(["experiment=own"], tmp_path / name).seed == 7


def test_plain_text_in_any_script_needs_no_quotes() -> None:
    config = compose_config(["data=mine", "runs=~/été R&D", "data.source=Français", "data.target=日本語"])
    assert config.runs == str(Path("~/été R&D").expanduser())
    assert (config.data.source, config.data.target) == ("Français", "日本語")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    write_config(built(family="transformer"), tmp_path / "config.yaml")
    return tmp_path / "config.yaml"


@pytest.mark.parametrize(
    "overrides",
    [["model=transformer"], ["experiment=demo"], ["data=mine", 'data.licence="a: {b} #c ü"', "+data.test={x: [y]}"]],
)
def test_written_config_is_read_back(overrides: list[str], tmp_path: Path) -> None:
    config = compose_config(overrides)
    write_config(config, tmp_path / "config.yaml")
    assert read_config(tmp_path / "config.yaml") == config
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seed: 1", "sed: 1", ("sed is not a setting", "did you mean seed?")),
        ("seed: 1", "seed: x", ("seed=x is not an integer",)),
        ("variant: ''", "variant: ${oc.env:HOME}", ("nothing to interpolate",)),
        ("variant: ''", r'variant: "\u0024{oc.env:HOME}"', ("nothing to interpolate",)),
        ("seed: 1", "seed: [", ("YAML", "line")),
        ("seed: 1", "seed: !!python/object/apply:os.system [true]", ("python/object",)),
        ("schema: 1", "schema: 9", ("schema 9", "written by seq2seq 0.", "reads schema 1")),
        ("schema: 1\n", "", ("no `schema`",)),
        ("name: transformer", "name: transformr", ("model.name='transformr'", "did you mean 'transformer'?")),
        ("  name: transformer\n", "", ("model.name is missing",)),
        ("  heads: 4", "  heads: 5", ("model.size=256 must be a multiple",)),
        ("  heads: 4", "  heads: 4\n  cell: gru", ("model.cell is a setting of model=rnn only",)),
        ("  heads: 4", "  heads: 4\n  _target_: os.system", ("model._target_ is not a setting",)),
    ],
)
def test_damaged_config_is_refused(saved: Path, old: str, new: str, words: tuple[str, ...]) -> None:
    text = saved.read_text()
    assert old in text
    saved.write_text(text.replace(old, new, 1))
    with pytest.raises(RunError) as caught:
        read_config(saved)
    assert str(saved) in str(caught.value)
    assert all(word in str(caught.value) for word in words if word != "YAML"), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"- 1\n- 2", b"just text"])
def test_file_that_is_not_a_config_is_refused(saved: Path, content: bytes) -> None:
    saved.write_bytes(content)
    with pytest.raises(RunError, match=r"config\.yaml"):
        read_config(saved)
    saved.unlink()
    with pytest.raises(RunError, match="is missing"):
        read_config(saved)


def other(value: object) -> object:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return [*value, 1] if isinstance(value, list) else {**value, "x": []} if isinstance(value, dict) else f"{value}x"


def changed(config: Config, name: str) -> Config:
    """A copy with one setting changed, which may be invalid: only for comparing and hashing."""
    copy = deepcopy(config)
    *groups, last = name.split(".")
    owner: object = copy
    for group in groups:
        owner = getattr(owner, group)
    setattr(owner, last, other(getattr(owner, last)))
    return copy


@each("name", flatten(DEFAULT))
def test_each_setting_is_compared_and_hashed(name: str) -> None:
    copy = changed(DEFAULT, name)
    assert differences(DEFAULT, copy) == [(name, flatten(DEFAULT)[name], flatten(copy)[name])]
    place = name in ("resume", "runs", "data.root", "data.cache", "data.how", "data.licence")
    device = name.startswith("trainer.") and name != "trainer.precision"
    unchanged = name.startswith(("training.save_", "training.max_skipped", "training.show"))
    assert (settings_hash(copy, "text") == settings_hash(DEFAULT, "text")) == (place or device or unchanged)


OF_LABELS = [  # words of a command -> what the message says
    (
        ["task=classification", "data.targets=labels"],
        "model.output=label does not fit data.targets=labels: task=multilabel",
    ),
    (
        ["task=classification", "training.monitor=entity_f1"],
        "training.monitor=entity_f1 does not fit data.targets=label",
    ),
    (
        ["task=labeling", "training.monitor=bleu"],
        "choose one of accuracy, exact_match, macro_f1, micro_f1, entity_f1, loss",
    ),
    (["task=labeling", "tokenizer.normalizer=nmt_nfkc"], "may change where words end, each of which has a tag"),
    (["task=multilabel", "training.guided_alignment=1"], "all labels of a text have one attention"),
    (
        ["task=labeling", "tokenizer.joint=true"],
        "model.output=tags needs tokenizer.joint=false, which task=labeling sets",
    ),
    (
        ["data.targets=label", "model.output=label"],
        "task=translation does not fit data.targets=label: task=classification",
    ),
    (["training.monitor=entity_f1"], "training.monitor=entity_f1 does not fit data.targets=text"),
    (
        ["task=labeling", "search.no_repeat=2"],
        "search.no_repeat=2 would be ignored: a model of labels gives the likeliest",
    ),
    (["training.class_weights=balanced"], "would be ignored: model.output=text has no classes"),
]


@each(("words", "message"), OF_LABELS)
def test_settings_that_labels_cannot_have_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        compose_config(["data=mine", *words])


def test_schema_cannot_be_set() -> None:
    with pytest.raises(ConfigError, match="schema=2 cannot be set: this version writes 1"):
        compose_config(["schema=2"])


def test_settings_that_were_added_change_the_hash_only_where_they_are_set() -> None:
    """These are the hashes from before the settings of ADDED, so that finished runs are found under their names."""
    assert settings_hash(built(), "text") == "a2ff7df0"
    assert settings_hash(built(family="transformer"), "text") == "285120c5"
    label = ["task=classification", "data=toy_sentiment"]
    hashes = {settings_hash(compose_config([*label, *more]), "text") for more in ([], ["model.pooling=mean"])}
    assert len(hashes) == 2
    assert set(every_setting()) >= ADDED


def test_hash_depends_on_settings_and_text_but_not_on_the_device() -> None:
    assert settings_hash(built("trainer.accelerator=cpu"), "text") == settings_hash(
        built("trainer.accelerator=gpu"), "text"
    )
    assert len(settings_hash(DEFAULT, "text")) == 8
    assert settings_hash(DEFAULT, "text") != settings_hash(DEFAULT, "other text")
    found = {name: values for name, *values in differences(DEFAULT, built(family="transformer"))}
    assert found["model.heads"] == [None, 4]


def test_tying_both_sides_needs_a_joint_vocabulary():
    with pytest.raises(ConfigError, match=r"model\.tie=all needs one vocabulary .* tokenizer\.joint=true"):
        built("model.tie=all", "tokenizer.joint=false")
