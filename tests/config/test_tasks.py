"""Tasks change defaults, and everything else on the command line overrides them."""

from itertools import permutations, product
from pathlib import Path

import pytest

from seq2seq.config import MODELS, Config
from seq2seq.config.choices import CHOICES
from seq2seq.config.io import differences, read_config, write_config
from seq2seq.errors import ConfigError
from seq2seq.evaluation.metrics import METRICS, TASKS, expand_names
from seq2seq.launch.compose import compose_config, conf_dir
from seq2seq.nn.build import build_meta_model

SUMMARIES = "task=summarization"


def test_every_task_has_a_file_and_metrics() -> None:
    assert {path.stem for path in (conf_dir() / "task").glob("*.yaml")} == set(TASKS) == set(CHOICES["TASKS"])
    assert {path.stem for path in (conf_dir() / "model" / "_task").glob("*.yaml")} == {
        f"{m}_{t}" for m, t in product(MODELS, TASKS)
    }
    for metrics in TASKS.values():
        assert set(metrics) <= set(METRICS)
        assert expand_names(metrics) == list(metrics)


@pytest.mark.parametrize(("model", "task"), list(product(MODELS, TASKS)))
def test_model_and_task_combine_in_any_order(model: str, task: str) -> None:
    one, other = (compose_config(words) for words in permutations([f"model={model}", f"task={task}"]))
    assert one == other
    assert (one.model.name, one.task) == (model, task)
    build_meta_model(one.model)


def test_task_translation_changes_no_default() -> None:
    assert compose_config(["task=translation"]) == compose_config()
    same = Config(model=compose_config().model)
    changed = {name for name, *_ in differences(compose_config(["data=mine"]), same)}
    assert changed <= {"data.name", "data.licence", "data.how"}


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


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("model/attention=local_p", "model.attention.window", "local_p"),
        ("model/attention=local_p", "model.attention.coverage", False),
        ("model/attention=cosine", "model.attention.scorer", "cosine"),
        ("model.head=vocabulary", "model.head", "vocabulary"),
        ("training.monitor=loss", "training.monitor", "loss"),
        ("data.truncate_source=50", "data.truncate_source", 50),
        ("search=greedy", "search.beam", 1),
        ("search=greedy", "search.no_repeat", 3),
        ("search=sample", "search.sampling", True),
        ("data=gigaword", "data.truncate_source", 100),
        ("experiment=demo", "data.name", "toy"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_other_groups_and_values_override_the_task(words: str, name: str, value: object, first: bool) -> None:
    config: object = compose_config([SUMMARIES, words] if first else [words, SUMMARIES])
    for part in name.split("."):
        config = getattr(config, part)
    assert config == value


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
def test_summarization_corpora_set_the_task_unless_it_is_given(corpus: str) -> None:
    assert compose_config([f"data={corpus}"]).training.monitor == "rouge"
    assert compose_config([f"data={corpus}", "model=transformer"]).model.head == "copy"
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
        compose_config(["data.truncate_source=-1"])
