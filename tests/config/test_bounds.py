"""Every number among the settings and the options of commands has a least and a largest value."""

import argparse
import dataclasses
import importlib
import math
import re
from functools import partial
from typing import Any

import pytest

from seq2seq import cli
from seq2seq.config import (
    AttentionConfig,
    Config,
    DataConfig,
    RNNConfig,
    SearchConfig,
    TokenizerConfig,
    TrainerConfig,
    TrainingConfig,
    TransformerConfig,
)
from seq2seq.config.io import every_setting
from seq2seq.errors import ConfigError
from seq2seq.runtime.arguments import Parser
from seq2seq.runtime.bounds import Bounds
from seq2seq.runtime.fields import default_value, type_name
from tests.each import each

GROUPS = {
    "": partial(Config, model=RNNConfig()), "data": partial(DataConfig, format="tsv"), "tokenizer": TokenizerConfig,
    "model": RNNConfig, "model.attention": AttentionConfig, "training": TrainingConfig, "trainer": TrainerConfig,
    "search": SearchConfig,
}  # fmt: skip
TYPES = ("int", "float", "list[int]", "int | str")  # the last: or a word such as auto
NUMBERS = {name: field for name, field in every_setting().items() if type_name(field) in TYPES}
WRONG = [-1, -(10**30), 2**31 - 1, 10**299, 1e308, -1e-300, math.nan, math.inf, -math.inf, True, "x", 1.5]


@each("name", NUMBERS)
def test_every_number_has_both_bounds(name: str) -> None:
    field = NUMBERS[name]
    bounds = field.metadata["bounds"]
    assert isinstance(bounds, Bounds), f"{name} needs setting(..., bounds=Bounds(least, most))"
    assert bounds.integer == (type_name(field) != "float")
    assert -math.inf < bounds.least < bounds.most < math.inf or name == "trainer.devices"
    for value in default_value(field) if type_name(field) == "list[int]" else [default_value(field)]:
        assert value in bounds or (value == "auto" and type_name(field) == "int | str")


def test_only_numbers_have_bounds() -> None:
    assert {name for name, field in every_setting().items() if field.metadata.get("bounds")} == set(NUMBERS)


@each("name", NUMBERS)
def test_values_out_of_bounds_are_refused(name: str) -> None:
    field = NUMBERS[name]
    bounds = field.metadata["bounds"]
    group = TransformerConfig if field in dataclasses.fields(TransformerConfig) else GROUPS[name.rpartition(".")[0]]
    for value in [value for value in WRONG if value not in bounds]:
        with pytest.raises(ConfigError, match=f"^{name}=.{{,160}}$"):
            group(**{field.name: [0, value] if type_name(field) == "list[int]" else value})


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_options_of_commands_take_no_unbounded_number(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`type=int` and `type=float` have no bounds; add_number has."""
    unbounded: list[str] = []
    add = argparse._ActionsContainer.add_argument

    def spy(self: Any, *names: Any, **settings: Any) -> Any:
        if settings.get("type") in (int, float):
            unbounded.append(names[0])
        return add(self, *names, **settings)

    def stop(self: Any, *words: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(argparse._ActionsContainer, "add_argument", spy)
    monkeypatch.setattr(Parser, "parse_args", stop)
    monkeypatch.setattr(Parser, "parse_intermixed_args", stop)
    with pytest.raises(KeyboardInterrupt):
        importlib.import_module(f"seq2seq.commands.{command}").main([])
    assert not unbounded


@each("value", ["x", "9" * 5000, "-1", "1e400", "nan", "1.5", "", "1000000000000"])
@each("option", ["--beam", "--shortlist", "--bootstrap", "--batch", "--seed"])
def test_impossible_number_of_an_option(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "RUN", option, value]) == 2
    err = capsys.readouterr().err
    assert re.fullmatch(f".*{option.strip('-')}=.{{,200}}\n", err)
