"""Which formats can represent a model, and the sentence for each setting that rules one out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from seq2seq.config import LABEL_TASKS, AttentionConfig, Config, RNNConfig, SearchConfig, TransformerConfig
from seq2seq.config.choices import CHOICES
from seq2seq.config.data import DataConfig, TokenizerConfig
from seq2seq.errors import ConfigError
from seq2seq.export.formats import FORMATS, LINEAR_SCORERS, check_format, left_out, reasons, ruled_out
from seq2seq.launch.compose import compose_config
from tests.each import each

PLAIN = {"ctranslate2", "huggingface", "argos"}  # those of other tools
ALL: set[str] = set()
LANGUAGES = {"source_language": "en", "target_language": "de"}

# setting -> its value -> the formats that it rules out; a value that is missing rules out none
RULED_OUT: dict[str, dict[str, set[str]]] = {
    "model.name": {"rnn": PLAIN},
    "model.head": {"copy": PLAIN},
    "model.attention.scorer": {name: PLAIN for name in CHOICES["SCORERS"] if name not in LINEAR_SCORERS},
    "model.attention.window": {"local_m": PLAIN, "local_p": PLAIN, "last": PLAIN},
    "model.attention.normalizer": {"sparsemax": PLAIN, "entmax": PLAIN},
    "model.norm_order": {},
    "model.norm": {"rms": {"huggingface"}},
    "model.activation": {"swiglu": {"huggingface"}},
    "model.source_end": {"false": {"huggingface"}},
    "model.positions": {"rotary": {"huggingface"}},
    "model.tie": {},
    "tokenizer.joint": {"false": {"argos"}},
    "task": {"summarization": {"argos"}},
    "data.source_language": {"none": {"argos"}, "xx": {"argos"}},
    "data.target_language": {"none": {"argos"}},
}
VALUES: dict[str, Sequence[str]] = {
    "model.name": ("rnn", "transformer"),
    "model.head": ("vocabulary", "copy"),
    "model.attention.scorer": CHOICES["SCORERS"],
    "model.attention.window": CHOICES["WINDOWS"],
    "model.attention.normalizer": CHOICES["NORMALIZERS"],
    "model.norm_order": ("pre", "post"),
    "model.norm": CHOICES["NORMS"],
    "model.activation": CHOICES["ACTIVATIONS"],
    "model.source_end": ("true", "false"),
    "model.positions": ("sinusoidal", "learned", "rotary"),
    "model.tie": ("none", "target", "all"),
    "tokenizer.joint": ("true", "false"),
    "task": [task for task in CHOICES["TASKS"] if task not in LABEL_TASKS],
    "data.source_language": ("none", "xx", "zh-Hant"),
    "data.target_language": ("none", "German"),
}


def config_with(setting: str, value: str) -> Config:
    """Settings that all formats can represent, but for this one."""
    group, name = setting.rpartition(".")[::2]
    chosen = {name: {"true": True, "false": False, "none": "" if group == "data" else value}.get(value, value)}
    given = {wanted: chosen if group == wanted else {} for wanted in ("", "data", "tokenizer", "model.attention")}
    attention = AttentionConfig(**{"scorer": "scaled_dot", **given["model.attention"]})
    model_settings = chosen if group == "model" else {}
    model = RNNConfig() if value == "rnn" else TransformerConfig(attention=attention, **model_settings)
    data = DataConfig(**{"source": "a", "target": "b", **LANGUAGES, **given["data"]})
    return Config(model=model, data=data, tokenizer=TokenizerConfig(**given["tokenizer"]), **given[""])


@each(("setting", "value"), [(setting, value) for setting, values in VALUES.items() for value in values])
def test_the_formats_that_a_setting_rules_out(setting: str, value: str) -> None:
    config = config_with(setting, value)
    found = {name: reasons(name, config) for name in FORMATS}
    assert {name for name, why in found.items() if why} == RULED_OUT[setting].get(value, ALL)
    for name in RULED_OUT[setting].get(value, ALL):
        assert len(found[name]) == 1
        assert found[name][0].startswith(f"{setting}={value} cannot be exported to {FORMATS[name].title}, ")


@each("task", LABEL_TASKS)
def test_other_tools_have_no_labels(task: str) -> None:
    config = compose_config([f"task={task}", "data=mine", "model=transformer"])
    found = {name: reasons(name, config) for name in FORMATS}
    assert {name for name, why in found.items() if why} == PLAIN
    for name in PLAIN:
        assert any(f"model.output={config.model.output}" in reason for reason in found[name])


def test_all_reasons_are_given_and_the_first_is_raised() -> None:
    attention = AttentionConfig(scorer="additive", window="local_p", normalizer="sparsemax")
    config = Config(model=TransformerConfig(attention=attention, head="copy", norm="rms", positions="rotary"))
    found = reasons("huggingface", config)
    names = ["head", "attention.scorer", "attention.window", "attention.normalizer", "norm", "positions"]
    assert [why.split("=")[0] for why in found] == [f"model.{name}" for name in names]
    with pytest.raises(ConfigError, match=r"^model\.head=copy cannot be exported to Hugging Face"):
        check_format("huggingface", config, "float32")


@each(("setting", "value"), [(setting, value) for setting, values in VALUES.items() for value in values])
def test_a_training_logs_what_a_setting_of_the_model_rules_out(setting: str, value: str) -> None:
    found = ruled_out(config_with(setting, value))
    titles = [FORMATS[name].title for name in FORMATS if name in RULED_OUT[setting].get(value, ALL)]
    if not titles or not setting.startswith("model."):
        assert not found
    else:
        (line,) = found
        assert line.startswith(f"{setting}={value} rules out exports to {', '.join(titles)}: ")


def test_settings_without_a_counterpart_are_left_out() -> None:
    changes = {"length_penalty": "gnmt", "coverage_penalty": 0.2, "min_ratio": 0.5, "replace_unknown": True}
    search = SearchConfig(**changes)
    config = replace(config_with("model.tie", "all"), search=search, data=DataConfig(truncate_source=9))
    common = ["search.length_penalty=gnmt", "search.coverage_penalty=0.2", "search.min_ratio=0.5"]
    common += ["search.max_ratio=3.0", "data.truncate_source=9"]
    assert left_out("ctranslate2", config) == common
    assert left_out("huggingface", config) == [*common, "search.replace_unknown=true"]
    assert left_out("argos", config) == [
        "the search settings (it has its own)",
        "data.truncate_source=9",
    ]
    assert left_out("onnx", config) == left_out("weights", config) == []


def test_wrong_names_are_refused_with_the_nearest() -> None:
    config = config_with("model.tie", "all")
    with pytest.raises(ConfigError, match="ctranslate2"):
        reasons("ctranslate", config)
    with pytest.raises(ConfigError, match=r"dtype=.*int8"):
        check_format("ctranslate2", config, "int7")


def test_the_table_of_the_docs_is_what_the_code_says() -> None:
    text = (Path(__file__).parents[2] / "docs" / "how-to" / "export.md").read_text(encoding="utf-8")
    table = text.partition("They represent these values")[2].partition("\n* ")[0]
    rows = [[cell.strip("` ") for cell in line.strip("|").split("|")] for line in table.splitlines() if "| `" in line]
    assert [row[0].strip(" `") for row in rows] == [*RULED_OUT]
    for setting, *cells in rows:
        if setting.startswith("data."):  # any language
            continue
        for name, cell in zip(("ctranslate2", "huggingface", "argos"), cells, strict=True):
            values = [value for value in VALUES[setting] if name not in RULED_OUT[setting].get(value, ALL)]
            assert [value.partition(" (")[0] for value in cell.split(", ")] == values, (setting, name)
