"""Tasks change defaults, and everything else on the command line overrides them."""

from itertools import permutations, product
from pathlib import Path

import pytest

from seq2seq.config import MODELS
from seq2seq.config.choices import CHOICES
from seq2seq.config.io import differences, flatten, read_config, write_config
from seq2seq.errors import ConfigError
from seq2seq.evaluation.metrics import METRICS, TASKS, expand_names
from seq2seq.launch.compose import compose_config, conf_dir
from seq2seq.nn.build import build_meta_model
from tests.config.built import built

SUMMARIES = "task=summarization"


def test_every_task_has_a_file_and_metrics() -> None:
    assert {path.stem for path in (conf_dir() / "task").glob("*.yaml")} == set(TASKS) == set(CHOICES["TASKS"])
    assert {path.stem for path in (conf_dir() / "model" / "_task").glob("*.yaml")} == {
        f"{m}_{t}" for m, t in product(MODELS, TASKS)
    }
    for metrics in TASKS.values():
        assert set(metrics) <= set(METRICS)
        assert expand_names(metrics) == list(metrics)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.slow
def test_model_and_task_combine_in_any_order(model: str) -> None:
    one, other = (compose_config(words) for words in permutations([f"model={model}", SUMMARIES]))
    assert one == other
    assert (one.model.name, one.task) == (model, "summarization")
    build_meta_model(one.model)


def test_task_translation_changes_no_default() -> None:
    assert compose_config(["task=translation"]) == compose_config()
    for family, changed in (("rnn", set()), ("transformer", {"model.attention.scorer"})):
        mine = compose_config([f"model={family}", "data=mine"])
        assert {name for name, *_ in differences(mine, built(family=family))} == changed


def test_task_summarization_changes_defaults() -> None:
    recurrent, transformer = (compose_config([SUMMARIES, f"model={name}"]) for name in MODELS)
    attention = recurrent.model.attention
    assert (attention.scorer, attention.coverage, recurrent.model.head) == ("additive", True, "copy")
    attention = transformer.model.attention
    assert (attention.scorer, attention.coverage, transformer.model.head) == ("scaled_dot", False, "copy")
    for config in (recurrent, transformer):
        assert config.training.monitor == "rouge"
        assert config.training.coverage_loss > 0
        assert config.search.no_repeat == 3
        assert (config.data.truncate_source, config.data.truncate_target) == (400, 100)
        assert config.data.max_words >= config.data.truncate_source  # else what was cut would be dropped
        assert config.data.max_ratio * (1 + 3) >= config.data.truncate_source  # of one word a summary may be


OVERRIDES: list[tuple[list[str], dict[str, object]]] = [  # words that do not concern each other -> what they set
    (
        ["model/attention=local_p", "model.head=vocabulary", "training.monitor=loss", "data.truncate_source=50"],
        {
            "model.attention.window": "local_p",
            "model.attention.coverage": False,
            "model.head": "vocabulary",
            "training.monitor": "loss",
            "data.truncate_source": 50,
        },
    ),
    (
        ["model/attention=cosine", "search=greedy", "data=gigaword"],
        {
            "model.attention.scorer": "cosine",
            "search.beam": 1,
            "search.no_repeat": 3,
            "data.truncate_source": 100,
        },
    ),
    (["search=sample", "experiment=demo"], {"search.sampling": True, "data.name": "toy"}),
]


@pytest.mark.parametrize(("words", "values"), OVERRIDES)
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.fast("True-words0-values0", "False-words1-values1")
def test_other_groups_and_values_override_the_task(words: list[str], values: dict[str, object], first: bool) -> None:
    found = flatten(compose_config([SUMMARIES, *words] if first else [*words, SUMMARIES]))
    assert {name: found[name] for name in values} == values


def test_files_of_a_users_folder_override_the_task(tmp_path: Path) -> None:
    for group, text in (
        ("data", "name: own\ntruncate_source: 7"),
        ("training", "monitor: loss"),
        ("search", "no_repeat: 0"),
    ):
        (tmp_path / group).mkdir()
        (tmp_path / group / "own.yaml").write_text(text)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "own.yaml").write_text(
        "defaults: [rnn_schema, _task@_here_: 'rnn_${task}', _self_]\nhead: vocabulary"
    )
    (tmp_path / "experiment").mkdir()
    choices = "defaults: [{override /task: summarization}, {override /model: own}]"
    (tmp_path / "experiment" / "own.yaml").write_text(f"# @package _global_\n{choices}")
    config = compose_config(
        [SUMMARIES, *(f"{group}=own" for group in ("data", "training", "search", "model"))], tmp_path
    )
    assert (config.data.truncate_source, config.training.monitor, config.search.no_repeat) == (7, "loss", 0)
    assert (config.model.head, config.model.attention.coverage) == ("vocabulary", True)
    assert compose_config(["experiment=own"], tmp_path).model == config.model


@pytest.mark.parametrize("corpus", ["toy_summaries", "cnn_dailymail", "xsum", "gigaword", "acl_titles"])
@pytest.mark.fast("xsum")
def test_summarization_corpora_set_the_task_unless_it_is_given(corpus: str) -> None:
    config = compose_config([f"data={corpus}", "model=transformer"])
    assert (config.task, config.training.monitor, config.model.head) == ("summarization", "rouge", "copy")
    if corpus in ("toy_summaries", "xsum"):
        assert compose_config([f"data={corpus}"]).model.head == "copy"
        assert compose_config([f"data={corpus}", "task=translation"]).training.monitor == "bleu"


def test_task_is_saved_and_defaults_to_translation(tmp_path: Path) -> None:
    write_config(compose_config([SUMMARIES]), tmp_path / "config.yaml")
    assert read_config(tmp_path / "config.yaml").task == "summarization"
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.replace("task: summarization\n", ""))
    assert read_config(tmp_path / "config.yaml").task == "translation"


def test_unknown_task_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"task='sumarization' is unknown \(did you mean 'summarization'\?\)"):
        compose_config(["task=sumarization"])
    with pytest.raises(ConfigError, match=r"^data\.truncate_source=-1 is too small"):
        built("data.truncate_source=-1")
