"""Settings that have no effect are refused if the user gives them, and left alone in presets and saved runs."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml

from seq2seq.config import RNNConfig, SearchConfig
from seq2seq.config.data import BREAKS
from seq2seq.config.ignored import IGNORED, Ignored
from seq2seq.config.io import build_config, every_setting
from seq2seq.errors import ConfigError
from seq2seq.launch.compose import compose_config
from seq2seq.runtime.constraints import Constraints
from seq2seq.runtime.penalties import Penalties
from seq2seq.training.budget import resize_to_budget
from seq2seq.training.checkpoint import CheckpointKeeper
from tests.config.built import built

LABELS = (
    "task=classification", "data.targets=label", "model.output=label", "tokenizer.joint=false",
    "training.monitor=accuracy",
)  # fmt: skip
EXAMPLES = {  # settings of which the last has no effect, for each entry of the table in its order
    "search.coverage_penalty_kind": ["search.coverage_penalty_kind=summary"],
    "search.no_repeat": ["search.max_length=5", "search.no_repeat=6"],
    "training.average": ["training.keep=1", "training.average=best"],
    "data.keep_breaks": ["data.keep_breaks=true"],
    "model.hidden": ["model.parameters=1000000", "model.hidden=128"],
    "model.feedforward": ["model.parameters=1000000", "model.feedforward=128"],
    "search.replace_unknown last": [
        "model.attention.scorer=uniform",
        "model.attention.window=last",
        "search.replace_unknown=true",
    ],
    "search.replace_unknown uniform": ["model.attention.scorer=uniform", "search.replace_unknown=true"],
    "search.no_repeat labels": [*LABELS, "search.no_repeat=2"],
    "search.min_length labels": [*LABELS, "search.min_length=2"],
    "search.min_ratio labels": [*LABELS, "search.min_ratio=0.5"],
    "search.replace_unknown labels": [*LABELS, "search.replace_unknown=true"],
}


def family_of(words: list[str]) -> str:
    return "transformer" if any(".feedforward" in word for word in words) else "rnn"


RULES = list(zip(IGNORED, EXAMPLES.values(), strict=True))


@pytest.mark.parametrize(("rule", "words"), RULES, ids=EXAMPLES)
def test_setting_without_effect_is_refused_if_it_is_given(rule: Ignored, words: list[str]) -> None:
    name, _, value = words[-1].partition("=")
    assert name == rule.setting in every_setting()
    with pytest.raises(ConfigError, match=f"^{name}={value} would be ignored: .*{rule.why}$"):
        built(*words, family=family_of(words))


@pytest.mark.parametrize(("rule", "words"), RULES, ids=EXAMPLES)
def test_setting_without_effect_may_be_that_of_a_preset_or_run(rule: Ignored, words: list[str]) -> None:
    plain = dataclasses.asdict(built(*words[:-1], family=family_of(words)))
    name, _, value = words[-1].partition("=")
    group, last = name.split(".")
    plain[group][last] = yaml.safe_load(value)
    assert getattr(getattr(build_config(plain), group), last) == yaml.safe_load(value)


@pytest.mark.parametrize(
    "words",
    [
        ["search.coverage_penalty=0.2", "search.coverage_penalty_kind=summary"],
        ["search.coverage_penalty_kind=gnmt"],
        *([f"data.format={name}", "data.keep_breaks=true"] for name in BREAKS),
        ["training.keep=1", "training.average=last"],
        ["training.keep=2", "training.average=best"],
    ],
)
def test_setting_with_an_effect_passes(words: list[str]) -> None:
    built(*words)


@pytest.mark.parametrize(
    "words",
    [
        ["experiment=demo", "model.parameters=1000000"],  # which sets model.hidden
        ["task=summarization", "data=mine"],  # which sets data.keep_breaks
        ["experiment=luong2015/unk", "model/attention=mean", "model.readout=tanh"],  # which sets search.replace_unknown
    ],
)
def test_setting_of_a_preset_passes(words: list[str]) -> None:
    compose_config(words)


def test_composing_refuses_what_is_given_for_nothing() -> None:
    with pytest.raises(ConfigError, match=r"^search\.coverage_penalty_kind=summary would be ignored"):
        compose_config(["search.coverage_penalty_kind=summary"])


def test_options_of_a_search_are_checked_as_well() -> None:
    saved = SearchConfig(coverage_penalty_kind="summary")
    with pytest.raises(
        ConfigError, match=r"^search\.coverage_penalty_kind=summary would be ignored: search\.coverage_pen"
    ):
        SearchConfig().changed(coverage_penalty_kind="summary")
    assert saved.changed(beam=3).coverage_penalty_kind == "summary"
    assert SearchConfig().changed(coverage_penalty_kind="summary", coverage_penalty=1.0).coverage_penalty == 1.0


def coverage_score(coverage: float, kind: str) -> float:
    return float(Penalties(coverage=coverage, coverage_kind=kind).score(-3.0, 2, np.array([0.5, 1.5]), None))


def result_of(average: str, keep: int) -> list[int]:
    return CheckpointKeeper(Path(), keep, average, {1: (2.0, -1.0), 2: (3.0, -1.0), 3: (1.0, -1.0)}).result_updates()


def chosen_size(parameters: int, size: int) -> int:
    return resize_to_budget(RNNConfig(parameters=parameters, hidden=size), 100, 100).hidden  # type: ignore[attr-defined]


def repeated(no_repeat: int, tokens: int) -> list[int]:
    return Constraints(max_length=9, no_repeat=no_repeat).repeated([4] * tokens)


COMPUTATIONS = {  # what a setting decides -> two values of it, where a rule says that they are the same, and elsewhere
    "coverage_penalty_kind": (
        lambda kind: coverage_score(0.0, kind), lambda kind: coverage_score(1.0, kind), ("gnmt", "summary")
    ),
    "average": (lambda average: result_of(average, 1), lambda average: result_of(average, 2), ("none", "best")),
    "hidden": (lambda size: chosen_size(200_000, size), lambda size: chosen_size(0, size), (64, 128)),
    "no_repeat": (lambda size: repeated(size, 2), lambda size: repeated(size, 9), (3, 4, 0)),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPUTATIONS)
def test_rule_describes_what_is_computed(name: str) -> None:
    without_effect, with_effect, values = COMPUTATIONS[name]
    assert all(without_effect(value) == without_effect(values[0]) for value in values)
    assert any(with_effect(value) != with_effect(values[0]) for value in values)
